"""``Silence``: finds trials whose silence is long enough to tell the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

_LEAST_SECONDS = 120.0
_TIMES_LONGEST = 5.0
"""A trial is mentioned after this many times the longest pause between two results of any trial."""

_MAX_MENTIONED = 3


class Silence:
    """The time of each trial's last result. ``clock`` returns seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[int, float] = {}
        self._longest = 0.0
        self._mentioned: set[int] = set()

    def started(self, trial: int) -> None:
        """Record that a trial started or restarted."""
        self._heard[trial] = self._clock()

    def heard(self, trial: int) -> None:
        """Record that a trial reported a result."""
        now = self._clock()
        self._longest = max(self._longest, now - self._heard.get(trial, now))
        self._heard[trial] = now

    def seconds(self, running: Collection[int]) -> float:
        """Return the longest time since the last result of any of the running trials."""
        now = self._clock()
        return max((now - self._heard[trial] for trial in running if trial in self._heard), default=0.0)

    def to_mention(self, running: Collection[int]) -> list[tuple[int, float]]:
        """Return trials to mention now, with their seconds without a result. Each is returned once."""
        limit = max(_LEAST_SECONDS, _TIMES_LONGEST * self._longest)
        now = self._clock()
        silent = [(trial, now - self._heard[trial]) for trial in sorted(running) if trial in self._heard]
        new = [each for each in silent if each[1] >= limit and each[0] not in self._mentioned]
        new = new[: max(0, _MAX_MENTIONED - len(self._mentioned))]
        self._mentioned.update(trial for trial, _ in new)
        return new
