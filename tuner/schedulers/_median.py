"""Stop a trial that is behind the others at the same point, by the median rule or by a percentile."""

from __future__ import annotations

import sys
from abc import abstractmethod
from bisect import insort
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tuner.errors import Problem
from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.spec import Count, Number


class _PeerSettings(SchedulerSpec):
    """Settings shared by ``median`` and ``percentile``."""

    grace_period: Count = Field(default=1, description="resource before which no trial is stopped")
    interval: Count = Field(default=1, description="resource between two comparisons of a trial")
    min_trials: Count = Field(
        default=3,
        description="number of other trials that must reach the same point before a trial can be stopped",
    )

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        return problems + self.starts_too_late(self.grace_period, iterations)


class Median(_PeerSettings):
    """The median rule (Golovin et al. 2017, Google Vizier, section 3.2.1).

    Stop a trial whose best value is worse than the median of the others' running averages at the same point.
    """

    kind: Literal["median"] = "median"

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        return _MedianScheduler(self, objective, iterations)


class Percentile(_PeerSettings):
    """Stop a trial whose best value is not among the best of the others' values at the same point."""

    kind: Literal["percentile"] = "percentile"
    percentile: Annotated[Number, Field(gt=0, lt=100)] = Field(
        default=50.0,
        description="percentage of the trials that each comparison keeps; a small one with a small "
        "interval leaves few trials",
    )

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        return _PercentileScheduler(self, objective, iterations)


class _TrialScores:
    """A trial's scores so far."""

    def __init__(self) -> None:
        self.best = -sys.float_info.max
        self.last = 0.0
        self.mean = 0.0
        self.count = 0
        self.last_point = 0
        """The last point at which it was compared."""

    def add(self, score: float) -> None:
        self.best = max(self.best, score)
        self.last = score
        self.count += 1
        self.mean += (score - self.mean) / self.count


class _PeersScheduler(Scheduler):
    """Compares a trial with all others at points, which are the multiples of ``interval``."""

    cutoff_name: ClassVar[str]
    """Describes the cutoff in the reason of a decision."""

    def __init__(self, spec: _PeerSettings, objective: Objective, maximum: int | None) -> None:
        self._objective = objective
        self._maximum = maximum
        self._grace, self._interval, self._min_trials = spec.grace_period, spec.interval, spec.min_trials
        self._scores_of: dict[int, _TrialScores] = {}
        self._points: dict[int, list[float]] = {}  # point -> the trials' scores there, ascending
        self._ended: list[tuple[int, float]] = []  # last point and score of completed trials

    @abstractmethod
    def _score(self, scores: _TrialScores) -> float:
        """Return the score with which a trial enters comparisons at its current point."""

    @abstractmethod
    def _cutoff(self, others: list[float]) -> float:
        """Return the lowest best score that may continue, given at least one other score, ascending."""

    def add(self, trial: int) -> None:
        self._scores_of[trial] = _TrialScores()

    def report(self, trial: int, resource: float, value: float) -> Decision:
        scores, score = self._scores_of[trial], self._objective.score(value)
        scores.add(score)
        if self._maximum is not None and resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value)
        point = int(resource // self._interval)
        if resource < self._grace or point <= scores.last_point:
            return Decision(trial, Action.CONTINUE, resource, value)
        scores.last_point = point
        others = self._at(point)
        cutoff = self._cutoff(others) if len(others) >= self._min_trials else None
        insort(others, self._score(scores))
        if cutoff is None or scores.best >= cutoff:
            return Decision(trial, Action.CONTINUE, resource, value)
        return Decision(
            trial,
            Action.STOP,
            resource,
            value,
            cutoff=self._objective.score(cutoff),  # a score's score is the value again
            of=len(others),
            reason=f"its best is worse than {self.cutoff_name}",
        )

    def decides_at(self, trial: int) -> int:
        following = (self._scores_of[trial].last_point + 1) * self._interval
        return min(max(following, self._grace), self._maximum or sys.maxsize)

    def end(self, trial: int, ending: Ending) -> None:
        scores = self._scores_of.pop(trial)  # its scores stay in self._points for later trials
        if ending == "completed" and scores.count:
            # The trial ends here, so its last score counts at all later points.
            score = self._score(scores)
            self._ended.append((scores.last_point, score))
            for point, others in self._points.items():
                if point > scores.last_point:
                    insort(others, score)

    def _at(self, point: int) -> list[float]:
        """Return the ascending scores of the trials that reached a point or completed before it."""
        if point not in self._points:
            self._points[point] = sorted(score for last, score in self._ended if last < point)
        return self._points[point]


class _MedianScheduler(_PeersScheduler):
    cutoff_name = "the median of the others' averages"

    def _score(self, scores: _TrialScores) -> float:
        return scores.mean

    def _cutoff(self, others: list[float]) -> float:
        middle = len(others) // 2
        return others[middle] if len(others) % 2 else others[middle - 1] / 2 + others[middle] / 2


class _PercentileScheduler(_PeersScheduler):
    def __init__(self, spec: Percentile, objective: Objective, maximum: int | None) -> None:
        super().__init__(spec, objective, maximum)
        self._percentile = spec.percentile
        self.cutoff_name = f"the best {spec.percentile:g} % of the others"  # type: ignore[misc]

    def _score(self, scores: _TrialScores) -> float:
        return scores.last

    def _cutoff(self, others: list[float]) -> float:
        kept = max(1, int(len(others) * self._percentile / 100))
        return others[-kept]
