"""Inside a worker process: rounds of training, lanes, the process's health, what trials report."""
