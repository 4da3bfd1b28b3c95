"""The engine: the only part that starts or joins a cluster. Importing it does not import Ray."""

from tuner.engine.runner import Progress, resume, run

__all__ = ["Progress", "resume", "run"]
