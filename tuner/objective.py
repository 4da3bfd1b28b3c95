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
    WithJsonSchema,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from tuner.errors import Problem, SpecError
from tuner.spec import Count, Number, Spec, describe

ITERATIONS = "iterations"
"""What trials are measured by unless a sweep says otherwise."""

SECONDS = "seconds"

Ending = Literal["completed", "stopped", "failed"]
"""How a trial ended: by itself or at its maximum, by a decision or a budget, or with an error."""


class Objective(Spec):
    """The metric to optimise and its direction.

    A sweep file writes several objectives as one list. The single values that this class compares are those
    of the first.
    """

    metric: Annotated[str, Field(min_length=1)] = Field(
        description="name of the metric to optimise, as trials report it"
    )
    mode: Literal["min", "max"] = Field(description="whether the metric is to become small or large")
    others: SkipJsonSchema[tuple[Objective, ...]] = Field(
        default=(), description="further objectives of equal weight; a sweep file writes one list instead"
    )

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
_DURATION = r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(s|min|h|d)$"


def _in_seconds(value: Any) -> Any:
    """The seconds that a text like ``15min`` means; anything else as it is."""
    if not isinstance(value, str):
        return value
    written = re.fullmatch(_DURATION, value)
    if written is None:
        raise ValueError(f"must be seconds, or text like 90s, 15min, 2h, got {describe(value)}")
    return float(written[1]) * _UNITS[written[2]]


Seconds = Annotated[
    Number,
    Field(gt=0),
    BeforeValidator(_in_seconds),
    WithJsonSchema(
        {
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "pattern": _DURATION,
            "examples": ["90s", "15min", "2h"],
        },
        mode="validation",
    ),
]
"""A duration above 0, written as a number of seconds or like ``15min``."""


class Budget(Spec):
    """Limits of a sweep and of each of its trials."""

    trials: Count | None = Field(
        default=None,
        description="number of trials; none: as many as the grid has or the other limits allow",
    )
    total_iterations: Count | None = Field(
        default=None, description="iterations of all trials together; none: no limit"
    )
    seconds: Seconds | None = Field(
        default=None, description="wall-clock time of the sweep, in seconds; none: no limit"
    )
    gpu_seconds: Seconds | None = Field(
        default=None,
        description="GPUs held by trials times seconds; none: no limit",
    )
    failures: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None, description="number of failed trials that are tolerated; none: any number"
    )
    concurrent: Count | None = Field(
        default=None, description="number of trials at once; none: as many as the cluster holds"
    )
    iterations: Count | None = Field(
        default=None,
        description="most iterations of one trial (R in the papers on early stopping); none: a trial runs "
        "until it ends by itself",
    )
    trial_seconds: Seconds | None = Field(
        default=None,
        description="seconds on a worker after which a trial is stopped; none: no limit",
    )
    silence: Seconds | None = Field(
        default=None,
        description="seconds without a result after which a trial is ended and counts as failed; "
        "none: no limit",
    )
    retries: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None,
        description="how many times a trial is tried again after errors without progress in between, each "
        "time in a fresh process and from its last checkpoint; none: once, unless the error is known to "
        "appear there too",
    )

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


_WHOLE_ABOVE_1: JsonDict = {"anyOf": [{"maximum": 1}, {"multipleOf": 1}]}


class Resources(Spec):
    """The devices of one worker process, and how trials share it."""

    cpu: Annotated[Number, Field(ge=0)] = Field(
        default=1,
        description="CPUs of one worker process; a fraction shares a CPU, above 1 it is a whole number "
        "(Ray's rule)",
        json_schema_extra=_WHOLE_ABOVE_1,
    )
    gpu: Annotated[Number, Field(ge=0)] = Field(
        default=0,
        description="GPUs of one worker process; a fraction shares a GPU, above 1 it is a whole number "
        "(Ray's rule)",
        json_schema_extra=_WHOLE_ABOVE_1,
    )
    lanes: Annotated[Literal["auto"] | Count, WrapValidator(_lanes)] = Field(
        default="auto",
        description="trials that train at once in one worker, as one stacked model; auto: the number that "
        "trains fastest, which the first worker measures",
    )
    isolation: Literal["worker", "process"] = Field(
        default="worker",
        description="worker: trials follow one another in a process; process: each trial has a fresh one",
    )

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
