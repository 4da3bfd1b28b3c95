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
    """All trials run ``grace_period``; the best 1/reduction_factor go on, reduction_factor times as far.

    Each round waits for all of its trials. ``size``: how many trials are halved together (``None``: all of
    the sweep's); the next ones begin anew.
    """

    kind: Literal["successive_halving"] = "successive_halving"
    grace_period: Count = 1
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = 2
    size: Count | None = None

    pauses: ClassVar[bool] = True
    needs_maximum: ClassVar[bool] = True

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        problems += self.starts_too_late(self.grace_period, iterations)
        if self.size is None and trials is None:
            what = "must be given where budget.trials is not: each round waits for all of its trials"
            problems.append(Problem("size", what))
        return problems

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        resources = [*rung_resources(self.grace_period, self.reduction_factor, iterations), iterations]
        plan = [(self.size, resources)]
        return BracketsScheduler(plan, reduction_factor=self.reduction_factor, objective=objective)
