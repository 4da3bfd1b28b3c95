"""A sweep on a Ray cluster: connection, pools of workers, Ray's controller, the driver of the state.

This is the only part that starts or joins a cluster. Importing it does not import Ray.
"""
