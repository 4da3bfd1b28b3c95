"""What a scheduler is: ``Scheduler`` decides who goes on; ``SchedulerSpec`` holds its settings and builds it.

Neither knows Ray. A scheduler is driven by five calls and answers with ``Decision``s, so that the same object
runs on a cluster, in a simulation, and again from a journal. It sees finite values only: what is wrong with a
result is settled before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from tuner.errors import Problem
from tuner.journal.events import Decision
from tuner.objective import ITERATIONS, Ending, Objective
from tuner.space import Config, SearchSpace
from tuner.spec import Count, Spec


class Scheduler(ABC):
    """Decides which trials go on, pause and stop.

    A trial is added, then reports after each iteration with a resource that only ever rises, and leaves by
    ``end``. It is either running or, after ``Action.PAUSE``, paused; only ``resume`` sets it running again
    and only ``drop`` ends it while paused. Every paused trial leaves sooner or later: once ``close`` was
    called and no trial runs, either ``resume`` or ``drop`` has an answer until none is paused.
    """

    @abstractmethod
    def add(self, trial: int) -> None:
        """A new trial is about to run."""

    @abstractmethod
    def report(self, trial: int, resource: float, value: float) -> Decision:
        """Decide on a running trial: CONTINUE, PAUSE, STOP, or COMPLETE at the maximum resource."""

    def decides_at(self, trial: int) -> int | None:
        """The next resource at which this running trial may not simply continue; ``None``: any.

        Up to there its reports may come late and together, in order.
        """
        return None

    @abstractmethod
    def end(self, trial: int, ending: Ending) -> None:
        """A running or paused trial has ended.

        A trial that ``completed`` below the maximum ended by itself: it cannot be trained further, so it
        counts as trained in full.
        """

    def close(self) -> None:
        """No trial will be added any more."""
        return

    def resume(self) -> Decision | None:
        """A paused trial that should have the free slot, now running again; ``None``: none is ready."""
        return None

    def drop(self) -> list[Decision]:
        """The paused trials that can never go on; the caller ends them. Each comes once."""
        return []


class SchedulerSpec(Spec):
    """The settings of a scheduler, as ``scheduler:`` in a sweep file gives them."""

    resource: Annotated[str, Field(min_length=1)] = Field(
        default=ITERATIONS,
        description="measure of a trial's progress: iterations, seconds of training, or a metric that "
        "rises from result to result, such as samples",
    )
    maximum: Count | None = Field(
        default=None,
        description="most of the resource that a trial may use (R); none: budget.iterations, or no limit "
        "for another resource",
    )

    pauses: ClassVar[bool] = False
    """Whether trials are paused and resumed, so that checkpoints save work."""
    needs_maximum: ClassVar[bool] = False
    """Whether the maximum resource of a trial must be known."""
    compares: ClassVar[bool] = True
    """Whether what becomes of a trial depends on the others, so that it matters who is first."""
    many_objectives: ClassVar[bool] = False
    """Whether it compares by all objectives of a sweep; it is then told the values of all, as a tuple."""
    runs_in_full: ClassVar[bool] = True
    """Whether, when nothing goes wrong, someone gets the maximum resource."""
    reconfigures: ClassVar[bool] = False
    """Whether hyperparameters change while a trial runs, so that it must be able to save and load."""

    def most(self, iterations: int | None) -> int | None:
        """The maximum resource of a trial, for a budget of so many iterations."""
        return iterations if self.resource == ITERATIONS else self.maximum

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        """What is wrong with these settings for trials of at most ``iterations``; empty when nothing.

        ``trials``: how many there will be (``None``: nobody knows).
        """
        if self.resource == ITERATIONS and self.maximum is not None:
            return [Problem("maximum", "for iterations, budget.iterations says it; leave it out")]
        if self.needs_maximum and self.resource != ITERATIONS and self.maximum is None:
            return [Problem("maximum", f"must be given: how much of '{self.resource}' a trial may use")]
        if self.needs_maximum and self.most(iterations) is None:
            return [Problem("", "needs to know how long a trial may run; set budget.iterations")]
        return []

    def space_problems(self, space: SearchSpace) -> list[Problem]:
        """What is wrong with these settings for trials of ``space``; empty when nothing."""
        return []

    def new_values(self) -> list[tuple[str, Any]]:
        """The hyperparameters, with their values, that these settings themselves give to running trials."""
        return []

    def reconfigured(
        self, config: Config, decision: Decision, *, space: SearchSpace, rng: np.random.Generator
    ) -> Config:
        """What the trial of a ``decision`` with a ``source`` goes on with; ``config`` is the source's."""
        return config

    def starts_too_late(self, grace_period: int, iterations: int | None) -> list[Problem]:
        """The problem of a grace period that no trial lives to see the end of."""
        most = self.most(iterations)
        if most is None or grace_period <= most:
            return []
        limit = "budget.iterations" if self.resource == ITERATIONS else "maximum"
        return [Problem("grace_period", f"must be at most {limit} ({most}), got {grace_period}")]

    @abstractmethod
    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        """A new scheduler; ``iterations``: the maximum resource of a trial (``None``: no limit).

        ``seed``: of all that it draws at random.
        """
