"""HyperBand (Li et al. 2018, arXiv:1603.06560)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tuner.objective import Objective
from tuner.schedulers._brackets import BracketsScheduler
from tuner.schedulers.base import Scheduler, SchedulerSpec


class HyperBand(SchedulerSpec):
    """HyperBand (Li et al. 2018, arXiv:1603.06560): brackets of successive halving, short trials first.

    Bracket s starts its trials with R / reduction_factor**s of the resource, where R is the maximum. s falls
    from the largest to 0 and starts again, until all trials of the sweep have started. Free slots start the
    next bracket while paused trials wait for the others of their round.
    """

    kind: Literal["hyperband"] = "hyperband"
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = Field(
        default=3, description="the best 1/reduction_factor of each round are kept (eta)"
    )

    pauses: ClassVar[bool] = True
    needs_maximum: ClassVar[bool] = True

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        plan = bracket_plan(iterations, self.reduction_factor)
        return BracketsScheduler(plan, reduction_factor=self.reduction_factor, objective=objective)


def bracket_plan(maximum: int, factor: int) -> list[tuple[int, list[int]]]:
    """Return, for each bracket, its number of trials and the resources at which they are compared.

    The bracket with the most trials comes first. Resources rise strictly and end with ``maximum``.
    """
    largest = 0
    while factor ** (largest + 1) <= maximum:
        largest += 1
    plan = []
    for s in range(largest, -1, -1):
        trials = math.ceil((largest + 1) / (s + 1) * factor**s)
        resources = sorted({max(1, maximum // factor**power) for power in range(s + 1)})
        plan.append((trials, resources))
    return plan
