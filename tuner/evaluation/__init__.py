"""After a sweep: the best configurations repeated, and the best of them scored on the test rows."""
