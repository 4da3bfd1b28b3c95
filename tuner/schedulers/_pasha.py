"""ASHA whose maximum grows only while the ranking changes (Bohdal et al. 2023, arXiv:2207.06940)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import ClassVar, Literal

from tuner.journal.events import Decision
from tuner.objective import Objective
from tuner.schedulers._asha import Asha, AshaScheduler, Rung
from tuner.schedulers.base import Scheduler

_EQUAL_PERCENTILE = 90
"""The percentile of the gaps between crossing curves within which trials count as equal (N in the paper)."""

_MAX_COMPARED = 32
"""Only this many of the best trials are compared.

Lower ranks do not matter for the decision, and the number of pairs grows with the square.
"""


class Pasha(Asha):
    """Progressive ``asha`` (Bohdal et al. 2023, arXiv:2207.06940): rungs are added while the ranking changes.

    It starts with two rungs. It adds a rung when the two highest rank their trials differently. Trials whose
    curves cross repeatedly count as equal.
    """

    kind: Literal["pasha"] = "pasha"  # type: ignore[assignment]

    runs_in_full: ClassVar[bool] = False
    many_objectives: ClassVar[bool] = False

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        return _PashaScheduler(self, objective, iterations)


class _PashaScheduler(AshaScheduler):
    def __init__(self, spec: Pasha, objective: Objective, iterations: int) -> None:
        super().__init__(spec, objective, iterations)
        self._top = min(1, len(self._rungs))  # index of the highest rung, which promotes no trial yet
        self._reached_top = False
        self._curves: dict[int, dict[float, float]] = defaultdict(dict)

    @property
    def _open_rungs(self) -> Sequence[Rung]:
        return self._rungs[: self._top]

    @property
    def _best_in_full(self) -> float:
        return math.inf if self._reached_top else super()._best_in_full

    def _kept(self, rung: Rung) -> int:
        return super()._kept(rung) if rung in self._open_rungs else 0

    def report(self, trial: int, resource: float, value: float | tuple[float, ...]) -> Decision:
        assert isinstance(value, float | int)
        self._curves[trial][resource] = self._objective.score(value)
        decision = super().report(trial, resource, value)
        if self._top < len(self._rungs) and trial in self._rungs[self._top].scores:
            self._reached_top = True  # at present, no trial trains further than this rung
            if decision.rung == self._rungs[self._top].resource and not self._is_stable():
                self._top += 1
                self._reached_top = False
        return decision

    def _is_stable(self) -> bool:
        """Return whether the highest rung ranks its trials as the rung below does."""
        below, top = self._rungs[self._top - 1], self._rungs[self._top]
        ranking = top.best(_MAX_COMPARED)
        # A trial that reports rarely may have skipped the rung below.
        ranking = [trial for trial in ranking if trial in below.scores]
        before = sorted(ranking, key=lambda trial: -below.scores[trial])
        tolerance = self._tolerance(ranking)
        return all(
            abs(below.scores[now] - below.scores[then]) <= tolerance
            for now, then in zip(ranking, before, strict=True)
        )

    def _tolerance(self, trials: Sequence[int]) -> float:
        """Return the difference within which trials count as equal.

        It is a percentile of the differences between trials that overtake each other at least twice.
        """
        gaps = []
        for one, other in combinations(trials, 2):
            first, second = self._curves[one], self._curves[other]
            common = sorted(first.keys() & second.keys())
            ahead = [first[at] > second[at] for at in common if first[at] != second[at]]
            if sum(now != before for before, now in pairwise(ahead)) >= 2:
                gaps.append(abs(first[common[-1]] - second[common[-1]]))
        gaps.sort()
        return gaps[min(len(gaps) * _EQUAL_PERCENTILE // 100, len(gaps) - 1)] if gaps else 0.0
