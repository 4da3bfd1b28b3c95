"""What a sweep is after and what it may cost: ``Objective``, ``Budget``, ``Resources``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)

from tuner.errors import Problem, SpecError
from tuner.spec import Count, Number, Spec, describe

ITERATIONS = "iterations"
"""What trials are measured by unless a sweep says otherwise."""

SECONDS = "seconds"

Ending = Literal["completed", "stopped", "failed"]
"""How a trial ended: by itself or at its maximum, by a decision or a budget, or with an error."""


class Objective(Spec):
    """The metric to optimise and its direction.

    ``others``: further objectives, of equal weight, each without others; a sweep file writes them all as one
    list. The single values that this class compares are those of the first.
    """

    metric: Annotated[str, Field(min_length=1)]
    mode: Literal["min", "max"]
    others: tuple[Objective, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        if not isinstance(data, (list, tuple)):
            return data
        parts: list[Objective] = []
        problems: list[Problem] = []
        for number, part in enumerate(data):
            try:
                parts.append(part if isinstance(part, Objective) else cls(**_as_mapping(part)))
            except SpecError as error:
                problems += [problem.inside(str(number)) for problem in error.problems]
        if not data:
            problems.append(Problem("", "must have at least one objective, got []"))
        if problems:
            raise SpecError(problems)
        first, *others = parts
        return {"metric": first.metric, "mode": first.mode, "others": others}

    @model_validator(mode="after")
    def _check(self) -> Objective:
        metrics = self.metrics
        twice = next((metric for metric in metrics if metrics.count(metric) > 1), None)
        if twice is not None:
            raise SpecError([Problem("", f"the metric '{twice}' stands twice")])
        if any(other.others for other in self.others):
            raise SpecError([Problem("", "must be one list, whose objectives have no others")])
        return self

    @model_serializer(mode="wrap")
    def _to_list(self, write: SerializerFunctionWrapHandler) -> Any:
        first = {"metric": self.metric, "mode": self.mode}
        return [first, *(other.model_dump() for other in self.others)] if self.others else first

    @property
    def all(self) -> tuple[Objective, ...]:
        """This one and the others."""
        return (self, *self.others)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of all objectives, the first one first."""
        return tuple(one.metric for one in self.all)

    def scores(self, values: Sequence[float]) -> tuple[float, ...]:
        """The values of all objectives, each with its sign turned so that higher is better."""
        return tuple(one.score(value) for one, value in zip(self.all, values, strict=True))

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


def _as_mapping(part: Any) -> Mapping[str, Any]:
    if not isinstance(part, Mapping):
        raise SpecError([Problem("", f"must be a mapping with 'metric' and 'mode', got {describe(part)}")])
    return part


_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _in_seconds(value: Any) -> Any:
    """The seconds that a text like ``15min`` means; anything else as it is."""
    if not isinstance(value, str):
        return value
    written = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(s|min|h|d)", value)
    if written is None:
        raise ValueError(f"must be seconds, or text like 90s, 15min, 2h, got {describe(value)}")
    return float(written[1]) * _UNITS[written[2]]


Seconds = Annotated[Number, Field(gt=0), BeforeValidator(_in_seconds)]
"""A duration above 0, written as a number of seconds or like ``15min``."""


class Budget(Spec):
    """What a sweep may cost.

    Of the sweep: ``trials``, how many configurations (``None``: as many as the grid has, or as the rest
    allows); ``total_iterations`` of all trials together; ``seconds`` of wall time; ``gpu_seconds``, GPUs held
    by trials times seconds; ``failures``, so many failed trials are tolerated (``None``: any number);
    ``concurrent``, trials at once (``None``: as many as the cluster holds).

    Of one trial: at most so many ``iterations``; ``trial_seconds`` on a worker, after which it is stopped;
    ``silence``, seconds without a result after which it is ended and counts as failed; ``retries``, how many
    errors without progress in between it may have before it counts as failed. Each time it continues from its
    last checkpoint in a fresh process. ``None``: one error, unless it is known to come up there too.

    Seconds are numbers, or text like ``90s``, ``15min``, ``2h``.
    """

    trials: Count | None = None
    total_iterations: Count | None = None
    seconds: Seconds | None = None
    gpu_seconds: Seconds | None = None
    failures: Annotated[int, Field(ge=0, strict=True)] | None = None
    concurrent: Count | None = None
    iterations: Count | None = None
    trial_seconds: Seconds | None = None
    silence: Seconds | None = None
    retries: Annotated[int, Field(ge=0, strict=True)] | None = None

    @property
    def is_limited(self) -> bool:
        """Whether a sweep without end of its own ends by one of these."""
        limits = (self.trials, self.total_iterations, self.seconds, self.gpu_seconds)
        return any(limit is not None for limit in limits)


def _lanes(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Let one sentence stand for what is wrong with both kinds of value."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(f"must be auto, or a whole number from 1, got {describe(value)}") from None


class Resources(Spec):
    """What one trial holds while it runs.

    Fractions share a device; above 1, whole numbers only (Ray's rule).
    """

    cpu: Annotated[Number, Field(ge=0)] = 1
    gpu: Annotated[Number, Field(ge=0)] = 0
    lanes: Annotated[Literal["auto"] | Count, WrapValidator(_lanes)] = "auto"
    isolation: Literal["worker", "process"] = "worker"

    @model_validator(mode="after")
    def _check(self) -> Resources:
        problems = [
            Problem(name, f"above 1 it must be a whole number, got {amount}")
            for name, amount in (("cpu", self.cpu), ("gpu", self.gpu))
            if amount > 1 and amount != int(amount)
        ]
        if self.isolation == "process" and self.lanes not in ("auto", 1):
            what = f"must be 1 with isolation: process, where each trial has its own, got {self.lanes}"
            problems.append(Problem("lanes", what))
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
