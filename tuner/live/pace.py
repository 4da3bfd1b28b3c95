"""``Pace``: the share of a sweep that is done, and an estimate of the time that is left."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tuner.state import SweepState


class Pace:
    """Measures the rate of a sweep since its first trial began to train, without the start-up.

    ``clock`` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._before = 0.0  # seconds of the budget that earlier runs of the sweep have used
        self._began = clock()
        self._ready_at: float | None = None  # when the cluster and the data were ready
        self._first_started: float | None = None  # when the first trial had a worker
        self._first_trained: float | None = None  # when the first trial began to train
        self._iteration_of: dict[int, int] = {}  # trial -> its iteration at the start
        self._iterations = 0  # of all trials at the start: a sweep may have been resumed
        self._done = 0.0  # trials that were done at the start, with parts (see ``_count_done``)

    @property
    def seconds(self) -> float:
        """Seconds since this object was created, start-up included."""
        return self._clock() - self._began

    def see(self, state: SweepState, *, before: float = 0.0) -> None:
        """Note when the sweep is ready, and when its first trial trains.

        ``before``: seconds of ``budget.seconds`` that earlier runs of the sweep have used.
        """
        self._before = before
        self._ready_at = self._ready_at or self._clock()
        if self._first_started is None and state.counts()["running"]:
            self._first_started = self._clock()
            self._done, self._iterations = _count_done(state), state.iterations
            self._iteration_of = {number: trial.iteration for number, trial in state.trials.items()}
        if self._first_started is not None and self._first_trained is None:
            reported = [
                trial.seconds
                for number, trial in state.trials.items()
                if trial.iteration > self._iteration_of.get(number, 0)
            ]
            if reported or _count_done(state) > self._done:
                # A trial has trained for these seconds. The time before was start-up.
                self._first_trained = max(
                    self._first_started, self._clock() - max(reported, default=math.inf)
                )

    def remaining(self, state: SweepState) -> float | None:
        """Estimate the seconds that are left; ``None`` if it is too early for that."""
        guesses = []
        if self._first_trained is not None:
            elapsed = self._clock() - self._first_trained
            for done, before, most in self._limits(state):
                if done > before and done < most:
                    guesses.append(elapsed * (most - done) / (done - before))
        if state.sweep.budget.seconds is not None and self._ready_at is not None:
            guesses.append(max(state.sweep.budget.seconds - self._driven_for(), 0.0))
        return min(guesses, default=None)

    def done(self, state: SweepState) -> float | None:
        """Return the share of the sweep that is done, from 0 to 1; ``None`` if its end is unknown."""
        shares = [done / most for done, _, most in self._limits(state) if most]
        if state.sweep.budget.seconds is not None:
            shares.append(self._driven_for() / state.sweep.budget.seconds)
        return min(1.0, max(shares)) if shares else None

    def _driven_for(self) -> float:
        return self._before + (0.0 if self._ready_at is None else self._clock() - self._ready_at)

    def _limits(self, state: SweepState) -> list[tuple[float, float, float]]:
        """Return (done, done at the start, maximum) for each count that ends the sweep."""
        limits: list[tuple[float, float, float]] = []
        if state.total is not None:
            limits.append((_count_done(state), self._done, state.total))
        if state.sweep.budget.total_iterations is not None:
            limits.append((state.iterations, self._iterations, state.sweep.budget.total_iterations))
        return limits


def _count_done(state: SweepState) -> float:
    """Count the trials that are done. Each other trial counts with the done part of its iterations.

    A scheduler that stops trials may stop any of them early, so a trial counts once it has left its worker.
    """
    counts, limit, scheduler = state.counts(), state.sweep.budget.iterations, state.sweep.scheduler
    done = counts["completed"] + counts["stopped"] + counts["failed"]
    # A scheduler that reconfigures trials, such as pbt, stops none.
    if limit is None or (scheduler.compares and not scheduler.reconfigures):
        return float(done + counts["paused"])
    alive = (trial for trial in state.trials.values() if not trial.has_ended)
    return done + sum(min(trial.iteration / limit, 1.0) for trial in alive)
