"""After a sweep: repeat the best configurations, and score the best one on the test rows."""
