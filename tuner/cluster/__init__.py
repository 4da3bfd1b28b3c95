"""Run a sweep on a Ray cluster: connection, worker pools, controller and driver.

Only this package starts or joins a cluster. Importing it does not import Ray.
"""
