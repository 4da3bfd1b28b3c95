"""The interface of schedulers: ``SchedulerSpec`` holds the settings and builds a ``Scheduler``.

Neither depends on Ray. The same object runs on a cluster, in a simulation, and again from a journal. It sees
finite values only, because trials with invalid results fail earlier.
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
    """Decides which trials continue, pause and stop.

    A trial starts with ``add``, reports results with a rising resource, and finishes with ``end``. After
    ``Action.PAUSE`` it is paused: only ``resume`` runs it again, and only ``drop`` ends it. Once ``close``
    was called and no trial runs, ``resume`` or ``drop`` must return trials until none is paused.
    """

    @abstractmethod
    def add(self, trial: int) -> None:
        """Record that a new trial starts."""

    @abstractmethod
    def report(self, trial: int, resource: float, value: float) -> Decision:
        """Decide on a running trial: CONTINUE, PAUSE, STOP, or COMPLETE at the maximum resource."""

    def decides_at(self, trial: int) -> int | None:
        """Return the next resource at which ``report`` may not return CONTINUE; ``None`` means any.

        Reports below that resource may arrive late and several at once, but in order.
        """
        return None

    @abstractmethod
    def end(self, trial: int, ending: Ending) -> None:
        """Record that a running or paused trial has ended.

        A trial that is ``completed`` below the maximum cannot be trained further, so it counts as trained in
        full.
        """

    def close(self) -> None:
        """Record that no more trials will be added."""
        return

    def resume(self) -> Decision | None:
        """Return a decision to resume a paused trial in a free slot; ``None`` if no trial is ready."""
        return None

    def drop(self) -> list[Decision]:
        """Return decisions to end paused trials that can never continue. Each trial is returned once."""
        return []


class SchedulerSpec(Spec):
    """The settings of a scheduler, under ``scheduler:`` in a sweep file."""

    resource: Annotated[str, Field(min_length=1)] = Field(
        default=ITERATIONS,
        description="how a trial's progress is measured: iterations, seconds of training, or a metric "
        "that rises with each result, such as samples",
    )
    maximum: Count | None = Field(
        default=None,
        description="maximum resource of a trial (R); none: budget.iterations, or no limit for another "
        "resource",
    )

    pauses: ClassVar[bool] = False
    """Whether trials are paused and resumed, so that checkpoints save work."""
    needs_maximum: ClassVar[bool] = False
    """Whether the maximum resource of a trial must be known."""
    compares: ClassVar[bool] = True
    """Whether decisions about a trial depend on other trials, and therefore on their order."""
    many_objectives: ClassVar[bool] = False
    """Whether it compares trials by all objectives. It then receives the values as a tuple."""
    runs_in_full: ClassVar[bool] = True
    """Whether at least one trial gets the maximum resource if none fails."""
    reconfigures: ClassVar[bool] = False
    """Whether hyperparameters change while a trial runs, which must then save and load checkpoints."""

    def most(self, iterations: int | None) -> int | None:
        """Return the maximum resource of a trial, or ``None`` without a limit.

        ``iterations`` is ``budget.iterations`` of the sweep.
        """
        return iterations if self.resource == ITERATIONS else self.maximum

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        """Return what is wrong with these settings; empty if nothing is.

        ``iterations`` is the budget of a trial, ``trials`` the number of trials (``None``: unknown).
        """
        if self.resource == ITERATIONS and self.maximum is not None:
            return [Problem("maximum", "must be left out for iterations; set budget.iterations instead")]
        if self.needs_maximum and self.resource != ITERATIONS and self.maximum is None:
            return [Problem("maximum", f"must be set to the most '{self.resource}' that a trial may use")]
        if self.needs_maximum and self.most(iterations) is None:
            return [Problem("", "needs the maximum resource of a trial; set budget.iterations")]
        return []

    def space_problems(self, space: SearchSpace) -> list[Problem]:
        """Return what is wrong with these settings for trials of ``space``; empty if nothing is."""
        return []

    def new_values(self) -> list[tuple[str, Any]]:
        """Return the hyperparameters and values that these settings give to running trials."""
        return []

    def reconfigured(
        self, config: Config, decision: Decision, *, space: SearchSpace, rng: np.random.Generator
    ) -> Config:
        """Return the configuration with which a trial continues, given its source's ``config``.

        It is called for each ``decision`` that has a ``source``.
        """
        return config

    def starts_too_late(self, grace_period: int, iterations: int | None) -> list[Problem]:
        """Return a problem if the grace period exceeds the maximum resource; else nothing."""
        most = self.most(iterations)
        if most is None or grace_period <= most:
            return []
        limit = "budget.iterations" if self.resource == ITERATIONS else "maximum"
        return [Problem("grace_period", f"must be at most {limit} ({most}), got {grace_period}")]

    @abstractmethod
    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        """Return a new scheduler.

        ``iterations`` is the maximum resource of a trial (``None``: no limit). ``seed`` seeds all random
        draws.
        """
