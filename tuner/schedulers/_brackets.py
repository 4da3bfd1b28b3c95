"""Brackets of trials that are halved together, for successive halving and HyperBand."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler

Plan = tuple[int | None, Sequence[int]]
"""A bracket's number of trials (``None``: all of the sweep), and the resources at which they are compared.

The resources rise strictly up to the maximum.
"""


class BracketsScheduler(Scheduler):
    """Fills one bracket after another. It cycles through ``plan``, which describes the brackets."""

    def __init__(self, plan: Sequence[Plan], *, reduction_factor: int, objective: Objective) -> None:
        self._objective = objective
        self._factor = reduction_factor
        self._maximum = plan[0][1][-1]
        self._plan = plan
        self._brackets: list[_Bracket] = []
        self._bracket_of: dict[int, _Bracket] = {}
        self._resumable: list[Decision] = []
        self._dropped: list[Decision] = []

    def add(self, trial: int) -> None:
        if not self._brackets or self._brackets[-1].is_full:
            size, resources = self._plan[len(self._brackets) % len(self._plan)]
            self._brackets.append(
                _Bracket(len(self._brackets), size, resources, self._factor, self._objective)
            )
        self._brackets[-1].add(trial)
        self._bracket_of[trial] = self._brackets[-1]

    def report(self, trial: int, resource: float, value: float) -> Decision:
        if resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value, bracket=self._bracket_of[trial].index)
        bracket = self._bracket_of[trial]
        if resource < bracket.rung:
            return Decision(trial, Action.CONTINUE, resource, value, bracket=bracket.index)
        bracket.report(trial, resource=resource, score=self._objective.score(value))
        # The trial pauses in any case. Its round may end now, which decides about all its trials.
        decision = Decision(trial, Action.PAUSE, resource, value, rung=bracket.rung, bracket=bracket.index)
        self._collect(bracket)
        return decision

    def decides_at(self, trial: int) -> int:
        return self._bracket_of[trial].rung

    def end(self, trial: int, ending: Ending) -> None:
        bracket = self._bracket_of[trial]
        bracket.end(trial)
        self._resumable = [decision for decision in self._resumable if decision.trial != trial]
        self._dropped = [decision for decision in self._dropped if decision.trial != trial]
        self._collect(bracket)

    def close(self) -> None:
        if self._brackets:
            self._brackets[-1].is_full = True
            self._collect(self._brackets[-1])

    def resume(self) -> Decision | None:
        # The oldest bracket is the nearest to its end.
        self._resumable.sort(key=lambda decision: decision.bracket or 0)
        return self._resumable.pop(0) if self._resumable else None

    def drop(self) -> list[Decision]:
        dropped, self._dropped = self._dropped, []
        return dropped

    def _collect(self, bracket: _Bracket) -> None:
        for decision in bracket.settle():
            (self._resumable if decision.action is Action.RESUME else self._dropped).append(decision)


class _Bracket:
    """Trials that are halved together. ``scores`` holds the trials that wait for the end of the round."""

    def __init__(
        self, index: int, size: int | None, resources: Sequence[int], factor: int, objective: Objective
    ) -> None:
        self.index = index
        self.is_full = False
        self.running: set[int] = set()
        self.scores: dict[int, float] = {}
        self._done: dict[int, float] = {}
        self._size = size
        self._resources = resources
        self._round = 0
        self._added = 0
        self._factor = factor
        self._objective = objective

    @property
    def rung(self) -> int:
        """Return the resource at which the current round is decided."""
        return self._resources[self._round]

    def add(self, trial: int) -> None:
        self.running.add(trial)
        self._added += 1
        self.is_full = self._added == self._size

    def report(self, trial: int, *, resource: float, score: float) -> None:
        """Record that a trial waits. ``resource`` may exceed ``rung`` if the trial reports rarely."""
        self.running.discard(trial)
        self.scores[trial] = score
        self._done[trial] = resource

    def end(self, trial: int) -> None:
        self.running.discard(trial)
        self.scores.pop(trial, None)

    def settle(self) -> list[Decision]:
        """Return the round's decisions once the bracket is full and none of its trials runs; else nothing."""
        if not self.is_full or self.running or not self.scores:
            return []
        ranked = sorted(self.scores, key=lambda trial: -self.scores[trial])
        kept = max(1, len(ranked) // self._factor)
        cutoff = self._objective.score(self.scores[ranked[kept - 1]])
        decisions = [
            Decision(
                trial,
                Action.RESUME if rank <= kept else Action.STOP,
                self._done[trial],
                value=self._objective.score(self.scores[trial]),
                cutoff=cutoff,
                rank=rank,
                of=len(ranked),
                rung=self.rung,
                bracket=self.index,
            )
            for rank, trial in enumerate(ranked, start=1)
        ]
        self.running = set(ranked[:kept])
        self.scores = {}
        self._round += 1
        return decisions
