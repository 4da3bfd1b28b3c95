"""``SaveTimes``: schedules the periodic checkpoints of running trials."""

from __future__ import annotations

import time
from collections.abc import Callable

_COST = 0.05
"""The largest fraction of a trial's time that saving may take."""


class SaveTimes:
    """The times of the last checkpoints.

    ``every`` is the number of seconds between a trial's checkpoints; ``None`` means no periodic checkpoints.
    ``clock`` returns seconds.
    """

    def __init__(self, every: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._saved: dict[int, float] = {}
        self._began: dict[int, float] = {}
        self._took = 0.0

    def begins(self, trial: int) -> None:
        """Record that a trial begins to write a checkpoint."""
        self._began[trial] = self._clock()

    def now(self, trial: int) -> None:
        """Record that a trial was saved or started."""
        self._saved[trial] = self._clock()
        if trial in self._began:
            self._took = self._saved[trial] - self._began.pop(trial)

    def due_in(self, trial: int) -> float | None:
        """Return the seconds until a trial's next checkpoint; ``None`` if none is due."""
        if self._every is None or trial not in self._saved:
            return None
        every = max(self._every, self._took / _COST)
        return max(0.0, self._saved[trial] + every - self._clock())
