"""Loggers of our own, as Ray Tune callbacks; see ``tuner.logger`` for their short names."""
