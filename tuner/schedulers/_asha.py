"""Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934)."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tuner.errors import Problem
from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.pareto import ranking
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.spec import Count


class Asha(SchedulerSpec):
    """Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934).

    A trial pauses at each rung. The best of a rung are promoted without waiting for the others. A free slot
    goes to the trial at the highest rung that can be promoted, else to a new configuration. With several
    objectives, trials are ranked by non-dominated sorting (Schmucker et al. 2021, arXiv:2106.12639).
    """

    kind: Literal["asha"] = "asha"
    grace_period: Count = Field(
        default=1,
        description="resource of the first rung (r); each further rung has reduction_factor times as much",
    )
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = Field(
        default=3, description="the best 1/reduction_factor of each rung are kept (eta)"
    )

    pauses: ClassVar[bool] = True
    needs_maximum: ClassVar[bool] = True
    many_objectives: ClassVar[bool] = True

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        return problems + self.starts_too_late(self.grace_period, iterations)

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        return AshaScheduler(self, objective, iterations)


def rung_resources(grace_period: int, reduction_factor: int, maximum: int) -> list[int]:
    """Return the resources below ``maximum`` where trials are compared: geometric from ``grace_period``."""
    resources = []
    while grace_period < maximum:
        resources.append(grace_period)
        grace_period *= reduction_factor
    return resources


class Rung:
    """The trials that reached ``resource``, with their scores there; higher is better."""

    def __init__(self, resource: int) -> None:
        self.resource = resource
        self.scores: dict[int, float] = {}
        self._done: dict[int, float] = {}
        self._ranking: list[tuple[float, int, int]] = []  # best first: (-score, order of arrival, trial)
        self._places: dict[int, tuple[float, int, int]] = {}

    def add(self, trial: int, *, done: float, scores: Sequence[float]) -> None:
        """Add a trial that has used ``done`` of the resource.

        ``done`` may exceed the rung's resource if the trial reports rarely. ``scores`` has one number per
        objective; higher is better.
        """
        self.scores[trial] = scores[0]
        self._done[trial] = done
        self._places[trial] = (-scores[0], len(self.scores), trial)
        insort(self._ranking, self._places[trial])

    def best(self, count: int) -> list[int]:
        """Return the best ``count`` trials, best first. Equal trials keep their order of arrival."""
        return [trial for _, _, trial in self._ranking[:count]]

    def rank(self, trial: int) -> int:
        """Return a trial's rank in this rung; 1 is the best."""
        return bisect_left(self._ranking, self._places[trial]) + 1

    def decision(self, trial: int, action: Action, objective: Objective, *, kept: int) -> Decision:
        """Return ``action`` on a trial of this rung.

        It records the trial's rank, and as cut-off the value of the worst of the ``kept`` best trials.
        """
        return Decision(
            trial,
            action,
            self._done[trial],
            value=objective.score(self.scores[trial]),  # score() is its own inverse
            cutoff=objective.score(-self._ranking[kept - 1][0]) if kept else None,
            rank=self.rank(trial),
            of=len(self._ranking),
            rung=self.resource,
        )


class ParetoRung(Rung):
    """A rung that compares trials by several objectives."""

    def __init__(self, resource: int) -> None:
        super().__init__(resource)
        self._all_scores: dict[int, Sequence[float]] = {}
        self._ranked: list[int] | None = None  # best first; None after an arrival

    def add(self, trial: int, *, done: float, scores: Sequence[float]) -> None:
        super().add(trial, done=done, scores=scores)
        self._all_scores[trial] = scores
        self._ranked = None

    def best(self, count: int) -> list[int]:
        if self._ranked is None:
            trials = list(self._all_scores)
            self._ranked = [trials[i] for i in ranking(list(self._all_scores.values()))]
        return self._ranked[:count]

    def rank(self, trial: int) -> int:
        return self.best(len(self.scores)).index(trial) + 1

    def decision(self, trial: int, action: Action, objective: Objective, *, kept: int) -> Decision:
        decision = super().decision(trial, action, objective, kept=0)
        return replace(decision, reason="ranked by all objectives")


class AshaScheduler(Scheduler):
    def __init__(self, spec: Asha, objective: Objective, iterations: int) -> None:
        self._objective = objective
        self._factor = spec.reduction_factor
        self._maximum = iterations
        rung = ParetoRung if objective.others else Rung
        self._rungs = [rung(r) for r in rung_resources(spec.grace_period, spec.reduction_factor, iterations)]
        self._reached: dict[int, int] = {}  # trial -> number of rungs it has passed
        self._running: set[int] = set()
        self._paused: set[int] = set()
        self._is_closed = False
        self._best: dict[int, float] = {}  # trial -> its best score so far
        self._best_complete_score = -math.inf
        """Best score of the completed trials; inf once a trial has had the maximum."""

    def add(self, trial: int) -> None:
        self._running.add(trial)
        self._reached[trial] = 0

    def report(self, trial: int, resource: float, value: float | tuple[float, ...]) -> Decision:
        values = value if isinstance(value, tuple) else (value,)
        scores = self._objective.scores(values)
        self._best[trial] = max(scores[0], self._best.get(trial, -math.inf))
        if resource >= self._maximum:
            self._best_complete_score = math.inf
            return Decision(trial, Action.COMPLETE, resource, values[0])
        # A trial that reports rarely may pass several rungs at once. It is compared in the highest.
        passed = sum(resource >= rung.resource for rung in self._rungs)
        if passed <= self._reached[trial]:
            return Decision(trial, Action.CONTINUE, resource, values[0])
        self._reached[trial] = passed
        rung = self._rungs[passed - 1]
        rung.add(trial, done=resource, scores=scores)
        self._running.discard(trial)
        self._paused.add(trial)
        return rung.decision(trial, Action.PAUSE, self._objective, kept=self._kept(rung))

    def decides_at(self, trial: int) -> int:
        ahead = self._rungs[self._reached[trial] :]
        return ahead[0].resource if ahead else self._maximum

    def end(self, trial: int, ending: Ending) -> None:
        best = self._best.pop(trial, -math.inf)
        if ending == "completed":
            # Several objectives have no best score, so one trial that was trained in full is enough.
            self._best_complete_score = max(
                self._best_complete_score, math.inf if self._objective.others else best
            )
        # The trial's scores stay in the rungs, because cut-offs compare configurations, not live trials.
        self._running.discard(trial)
        self._paused.discard(trial)

    def close(self) -> None:
        self._is_closed = True

    def resume(self) -> Decision | None:
        promotable = self._promotable()
        if promotable is None:
            return None
        trial, rung, kept = promotable
        self._paused.discard(trial)
        self._running.add(trial)
        return rung.decision(trial, Action.RESUME, self._objective, kept=kept)

    def drop(self) -> list[Decision]:
        if not self._is_idle or self._promotable() is not None:
            return []
        dropped = []
        for trial in sorted(self._paused):
            rung = self._rungs[self._reached[trial] - 1]
            kept = self._kept(rung)
            dropped.append(rung.decision(trial, Action.STOP, self._objective, kept=kept))
        self._paused.clear()
        return dropped

    def _kept(self, rung: Rung) -> int:
        """Return how many trials of a rung are promoted."""
        return len(rung.scores) // self._factor

    @property
    def _open_rungs(self) -> Sequence[Rung]:
        """Return the rungs from which trials are promoted at present."""
        return self._rungs

    @property
    def _best_in_full(self) -> float:
        """Return the score that a trial must exceed to continue when no rung promotes it."""
        return self._best_complete_score

    @property
    def _is_idle(self) -> bool:
        return self._is_closed and not self._running

    def _promotable(self) -> tuple[int, Rung, int] | None:
        """Return the trial to promote, its rung and the number of trials that the rung promotes."""
        for passed, rung in reversed(list(enumerate(self._open_rungs, start=1))):
            kept = self._kept(rung)
            for trial in rung.best(kept):
                if trial in self._paused and self._reached[trial] == passed:
                    return trial, rung, kept
        if self._is_idle and self._paused:
            # There are too few trials for a promotion. The best of the highest rung continues, unless it is
            # already worse than a trial that was trained in full.
            highest = max(self._reached[trial] for trial in self._paused)
            rung = self._rungs[highest - 1]
            waiting = [
                t for t in rung.best(len(rung.scores)) if t in self._paused and self._reached[t] == highest
            ]
            if self._best[waiting[0]] > self._best_in_full:
                return waiting[0], rung, rung.rank(waiting[0])
        return None
