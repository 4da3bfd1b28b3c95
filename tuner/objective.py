"""What a sweep is after and what it may cost: ``Objective``, ``Budget``, ``Resources``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tuner.errors import Problem, SpecError
from tuner.spec import Count, Number, Spec


class Objective(Spec):
    """The metric to optimise and its direction."""

    metric: Annotated[str, Field(min_length=1)]
    mode: Literal["min", "max"]

    def score(self, value: float) -> float:
        """The value with its sign turned so that higher is better."""
        return value if self.mode == "max" else -value

    def better(self, value: float, than: float | None) -> bool:
        """Whether ``value`` is strictly better; anything is better than ``None``."""
        return than is None or self.score(value) > self.score(than)

    def best(self, values: list[float]) -> float:
        """The best of at least one value."""
        return max(values) if self.mode == "max" else min(values)

    def worst(self, values: list[float]) -> float:
        """The worst of at least one value."""
        return min(values) if self.mode == "max" else max(values)


class Budget(Spec):
    """What a sweep may cost.

    ``trials``: how many configurations (``None``: as many as the grid has, or as ``seconds`` allow);
    ``iterations``: at most so many per trial; ``seconds``: wall time of the sweep; ``concurrent``: trials
    at once (``None``: as many as the cluster holds); ``failures``: so many failed trials are tolerated
    before the sweep is ended (``None``: any number).
    """

    trials: Count | None = None
    iterations: Count | None = None
    seconds: Annotated[Number, Field(gt=0)] | None = None
    concurrent: Count | None = None
    failures: Annotated[int, Field(ge=0, strict=True)] | None = None


class Resources(Spec):
    """What one trial holds while it runs.

    Fractions share a device; above 1, whole numbers only (Ray's rule).
    """

    cpu: Annotated[Number, Field(ge=0)] = 1
    gpu: Annotated[Number, Field(ge=0)] = 0
    lanes: Literal["auto"] | Count = "auto"
    isolation: Literal["worker", "process"] = "worker"

    @model_validator(mode="after")
    def _check(self) -> Resources:
        problems = [
            Problem(name, f"above 1 it must be a whole number, got {amount}")
            for name, amount in (("cpu", self.cpu), ("gpu", self.gpu))
            if amount > 1 and amount != int(amount)
        ]
        if self.cpu == 0 and self.gpu == 0:
            problems.append(Problem("", "a trial must hold some cpu or gpu, got cpu=0, gpu=0"))
        if problems:
            raise SpecError(problems)
        return self

    @property
    def bundle(self) -> dict[str, float]:
        """The same in Ray's words."""
        return {"CPU": self.cpu, "GPU": self.gpu}

    @property
    def threads(self) -> int:
        """CPU threads for one trial: its whole CPUs, at least 1."""
        return max(1, int(self.cpu))
