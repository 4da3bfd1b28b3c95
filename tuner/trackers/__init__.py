"""Trackers: MLflow, W&B, Trackio and TensorBoard, filled from the journal by separate processes.

``updates`` turns events into the changes of each run, ``sender`` delivers them and remembers how far it is,
and one private file per tracker talks to its library. The same code serves a running sweep, a resume, a
tracker that was down, and ``tuner sync``. ``tuner.logger`` lists the short names.
"""
