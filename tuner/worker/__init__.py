"""Code that runs in a worker process: training rounds, lanes, health checks, and checks of results."""
