"""``LiveView``: a running sweep at one moment, as plain values."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tuner.journal.history import STATES
from tuner.live.pace import Pace
from tuner.live.recent import FailureKind, Recent
from tuner.state import SweepState, TrialState

# More rows than any terminal shows.
_MAX_RUNNING = 200

# Finding the front of thousands of trials takes about 0.1 s.
_SECONDS_BETWEEN_FRONTS = 2.0


class WorkerCounts(NamedTuple):
    """The workers of a sweep and their lanes."""

    workers: int
    """Workers that are ready for trials."""
    starting: int
    """Workers that are starting."""
    busy: int
    """Workers that have at least one trial."""
    trials: int
    """Trials that all workers hold now."""
    lanes: int | None
    """Trials that all workers can hold at once; ``None`` until measured."""
    processes: int | None = None
    """Processes of all workers, if a worker can have several; else ``None``."""


@dataclass(frozen=True)
class Leader:
    """A trial that is the best by one objective."""

    metric: str
    trial: int
    iteration: int
    """The iteration that ``values`` come from."""
    values: tuple[float, ...]
    """One value per objective, in the sweep's order."""
    config: Mapping[str, Any]


@dataclass(frozen=True)
class RunningTrial:
    """A trial that is on a worker now."""

    trial: int
    iteration: int
    values: tuple[float, ...]
    """The latest value of each objective; empty before the first result."""
    best: float | None
    """The best value of the first objective so far."""
    config: Mapping[str, Any]


@dataclass(frozen=True)
class LiveView:
    """A running sweep at one moment."""

    metrics: tuple[str, ...]
    """One metric per objective."""
    modes: tuple[str, ...]
    """``min`` or ``max`` for each objective."""
    trials: int
    """Trials suggested so far."""
    total: int | None
    """Trials that the sweep will run; ``None`` if unknown."""
    counts: Mapping[str, int]
    """Number of trials in each state, including zeros."""
    iterations: int
    """Iterations done by all trials together."""
    most_iterations: int | None
    """Most iterations that all trials together can do; ``None`` if unknown."""
    trial_iterations: int | None
    """Most iterations that one trial can do; ``None`` if unknown."""
    seconds: float
    """Seconds since the sweep was first shown."""
    seconds_left: float | None
    """Estimated seconds until the end; ``None`` if it is too early to tell."""
    done: float | None
    """Share of the sweep that is done, from 0 to 1; ``None`` if its end is unknown."""
    leaders: tuple[Leader, ...]
    """The best trial for each objective; empty before the first result."""
    front: int | None
    """Number of non-dominated trials; ``None`` with one objective."""
    workers: WorkerCounts | None
    failures: tuple[FailureKind, ...]
    """Kinds of failures, the most frequent first."""
    decisions: tuple[str, ...]
    """The latest decisions in words, newest first."""
    running: tuple[RunningTrial, ...]
    """At most 200 running trials, by number. ``counts`` has the total."""
    reason: str | None
    """Why the sweep stops before every trial has run, as in ``SweepState.reason``."""


class Viewer:
    """Follows a running sweep and returns a ``LiveView`` on request."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace(clock)
        self._front: list[TrialState] = []
        self._compared: float | None = None

    def see(self, state: SweepState, *, before: float = 0.0) -> None:
        """Update the estimate of the time left. Call it several times a second.

        ``before``: seconds of ``budget.seconds`` that earlier runs of the sweep have used.
        """
        self._pace.see(state, before=before)

    def view(self, state: SweepState, recent: Recent, workers: WorkerCounts | None = None) -> LiveView:
        """Return the view of this moment."""
        objective, budget = state.sweep.objective, state.sweep.budget
        several, counts = bool(objective.others), state.counts()
        running = [trial for trial in state.trials.values() if trial.state == "running"]
        return LiveView(
            metrics=objective.metrics,
            modes=tuple(one.mode for one in objective.all),
            trials=len(state.trials),
            total=state.total,
            counts={name: counts[name] for name in STATES},
            iterations=state.iterations,
            most_iterations=_most_iterations(state),
            trial_iterations=budget.iterations,
            seconds=self._pace.seconds,
            seconds_left=self._pace.remaining(state),
            done=self._pace.done(state),
            leaders=self._extremes(state) if several else _incumbent(state),
            front=len(self._front) if several else None,
            workers=workers,
            failures=tuple(recent.failures),
            decisions=tuple(recent.lines),
            running=tuple(_running(trial, several=several) for trial in running[:_MAX_RUNNING]),
            reason=state.reason,
        )

    def _extremes(self, state: SweepState) -> tuple[Leader, ...]:
        """Return the best trial of the front by each objective."""
        now = self._clock()
        is_due = self._compared is None or now - self._compared >= _SECONDS_BETWEEN_FRONTS
        if is_due or not state.counts()["running"]:
            self._front, self._compared = state.front(), now
        if not self._front:
            return ()
        leaders = []
        for place, one in enumerate(state.sweep.objective.all):
            best = min(self._front, key=lambda trial: -one.score(trial.last_values[place]))
            leaders.append(Leader(one.metric, best.number, best.iteration, best.last_values, best.config))
        return tuple(leaders)


def _running(trial: TrialState, *, several: bool) -> RunningTrial:
    values = trial.last_values if several else () if trial.last is None else (trial.last,)
    return RunningTrial(trial.number, trial.iteration, values, trial.best, trial.config)


def _incumbent(state: SweepState) -> tuple[Leader, ...]:
    trial = state.incumbent
    if trial is None or trial.best is None:
        return ()
    metric = state.sweep.objective.metric
    return (Leader(metric, trial.number, trial.best_iteration, (trial.best,), trial.best_config),)


def _most_iterations(state: SweepState) -> int | None:
    """Return the maximum number of iterations of all trials together; ``None`` if it is unknown."""
    budget = state.sweep.budget
    of_trials = state.total * budget.iterations if state.total and budget.iterations else None
    return min((most for most in (of_trials, budget.total_iterations) if most is not None), default=None)
