"""Our own loggers, as Ray Tune callbacks. ``tuner.logger`` lists their short names."""
