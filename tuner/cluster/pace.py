"""``Pace``: how fast a sweep gets through its trials, and so how long the rest will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.cluster.driver import SweepDriver


class Pace:
    """Follows a sweep from the moment in which its first trial trains; start-up is no part of the rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._driven: float | None = None  # when the cluster and the data were ready
        self._started: float | None = None  # when the first trial had a worker
        self._trained: float | None = None  # when one began to train
        self._known: dict[int, int] = {}  # trial -> iterations that it had then
        self._before = 0.0  # trials that were through then: a sweep may have been resumed

    @property
    def seconds(self) -> float:
        """How long the sweep has been shown, its start-up included."""
        return self._clock() - self._began

    def see(self, driver: SweepDriver) -> None:
        """Take note of the moments in which the sweep is ready, and in which its first trial trains."""
        self._driven = self._driven or self._clock()
        if self._started is None and driver.state.counts()["running"]:
            self._started = self._clock()
            self._before = _through(driver)
            self._known = {number: trial.iteration for number, trial in driver.state.trials.items()}
        if self._started is not None and self._trained is None:
            reported = [
                c.seconds for n, c in driver.state.trials.items() if c.iteration > self._known.get(n, 0)
            ]
            if reported or _through(driver) > self._before:
                # By then it had trained for some time, and before it had only been started.
                self._trained = max(self._started, self._clock() - max(reported, default=math.inf))

    def remaining(self, driver: SweepDriver) -> float | None:
        """A guess in seconds; ``None`` before the first trial is through."""
        guesses = []
        total = driver.state.total
        done = _through(driver) - self._before
        rest = 0.0 if total is None else total - _through(driver)
        if self._trained is not None and done > 0 and rest > 0:
            guesses.append((self._clock() - self._trained) * rest / done)
        if driver.sweep.budget.seconds is not None and self._driven is not None:
            guesses.append(max(driver.sweep.budget.seconds - (self._clock() - self._driven), 0.0))
        return min(guesses, default=None)


def _through(driver: SweepDriver) -> float:
    """How many trials are through; of those that run, the part of their iterations that they have done.

    Where a scheduler stops trials, nobody knows how far one that runs will go: it counts when it has left.
    """
    counts = driver.state.counts()
    done = float(counts["completed"] + counts["stopped"] + counts["failed"] + counts["paused"])
    limit = driver.sweep.budget.iterations
    if limit is not None and not driver.sweep.scheduler.compares:
        done += sum(
            min(trial.iteration / limit, 1.0)
            for trial in driver.state.trials.values()
            if trial.state in ("running", "pending")
        )
    return done
