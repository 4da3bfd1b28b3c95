"""Code that runs in a worker process: training rounds, lanes, health checks, and checks of results."""

from tuner.code.importing import import_tune

import_tune()  # must run before a module of this package imports ray.tune
