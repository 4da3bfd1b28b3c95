"""First in, first out: no early stopping."""

from __future__ import annotations

import sys
from typing import ClassVar, Literal

from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler, SchedulerSpec


class Fifo(SchedulerSpec):
    """No early stopping: every trial runs to its end."""

    kind: Literal["fifo"] = "fifo"

    compares: ClassVar[bool] = False

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        return _FifoScheduler(iterations)


class _FifoScheduler(Scheduler):
    def __init__(self, iterations: int | None) -> None:
        self._iterations = iterations

    def add(self, trial: int) -> None:
        return

    def report(self, trial: int, resource: float, value: float) -> Decision:
        done = self._iterations is not None and resource >= self._iterations
        return Decision(trial, Action.COMPLETE if done else Action.CONTINUE, resource, value)

    def decides_at(self, trial: int) -> int:
        return self._iterations or sys.maxsize

    def end(self, trial: int, ending: Ending) -> None:
        return
