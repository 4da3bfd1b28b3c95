"""``SaveTimes``: when the running trials of a sweep were last saved, and when they are to be saved again."""

from __future__ import annotations

import time
from collections.abc import Callable

_COST = 0.05
"""The largest part of a trial's time that saving may take."""


class SaveTimes:
    """``every``: seconds between a trial's checkpoints (``None``: none are due). ``clock`` gives seconds."""

    def __init__(self, every: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._every = every
        self._clock = clock
        self._saved: dict[int, float] = {}
        self._began: dict[int, float] = {}
        self._took = 0.0

    def begins(self, trial: int) -> None:
        """A trial is told to save itself."""
        self._began[trial] = self._clock()

    def now(self, trial: int) -> None:
        """A trial has been saved, or has started."""
        self._saved[trial] = self._clock()
        if trial in self._began:
            self._took = self._saved[trial] - self._began.pop(trial)

    def due_in(self, trial: int) -> float | None:
        """Seconds until a trial is to be saved; ``None``: it need not be."""
        if self._every is None or trial not in self._saved:
            return None
        every = max(self._every, self._took / _COST)
        return max(0.0, self._saved[trial] + every - self._clock())
