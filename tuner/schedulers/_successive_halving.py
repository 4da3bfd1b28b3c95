"""Synchronous successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tuner.errors import Problem
from tuner.objective import Objective
from tuner.schedulers._asha import rung_resources
from tuner.schedulers._brackets import BracketsScheduler
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.spec import Count


class SuccessiveHalving(SchedulerSpec):
    """Synchronous successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943).

    All trials start with a small resource. The best ones continue to reduction_factor times as much. Each
    round waits for all its trials.
    """

    kind: Literal["successive_halving"] = "successive_halving"
    grace_period: Count = Field(
        default=1,
        description="resource of the first round; each further round has reduction_factor times as much",
    )
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = Field(
        default=2, description="the best 1/reduction_factor of each round are kept (eta)"
    )
    size: Count | None = Field(
        default=None,
        description="number of trials that are halved together before the next ones start; none: all "
        "trials of the sweep",
    )

    pauses: ClassVar[bool] = True
    needs_maximum: ClassVar[bool] = True

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        problems += self.starts_too_late(self.grace_period, iterations)
        if self.size is None and trials is None:
            what = "must be set if budget.trials is not, because each round waits for all of its trials"
            problems.append(Problem("size", what))
        return problems

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        resources = [*rung_resources(self.grace_period, self.reduction_factor, iterations), iterations]
        plan = [(self.size, resources)]
        return BracketsScheduler(plan, reduction_factor=self.reduction_factor, objective=objective)
