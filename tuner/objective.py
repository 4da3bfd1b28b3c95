"""The goal of a sweep and its limits: ``Objective`` and ``Budget``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from tuner import hints
from tuner.errors import Problem, SpecError
from tuner.hints import flow
from tuner.spec import Count, Number, Spec, describe
from tuner.synonyms import mode_of

ITERATIONS = "iterations"
"""The default fidelity: what schedulers measure trials by."""

SECONDS = "seconds"

Ending = Literal["completed", "stopped", "failed"]
"""How a trial ended: on its own or at its maximum; by a decision or a budget; or with an error."""


def _without_mode(schema: JsonDict) -> None:
    """Make ``mode`` optional in the JSON Schema."""
    schema["required"] = ["metric"]


class Objective(Spec):
    """The metric to optimise and its direction.

    A sweep file writes several objectives as a list. The methods that take single values use the first one.
    The name of a standard metric is enough, as in ``objective: val_accuracy``.
    """

    model_config = ConfigDict(json_schema_extra=_without_mode)

    metric: Annotated[str, Field(min_length=1)] = Field(
        description="name of the metric to optimise, as trials report it"
    )
    mode: Literal["min", "max"] = Field(
        description="whether to minimise or maximise the metric; not needed for a standard metric, such as "
        "val_accuracy or loss"
    )
    others: SkipJsonSchema[tuple[Objective, ...]] = Field(
        default=(), description="further objectives of equal weight; a sweep file writes a list instead"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, data: Any) -> Any:
        """Read a list of objectives, the name of a standard metric, and a mapping without a mode."""
        if not isinstance(data, (list, tuple)):
            return _with_mode(data)
        parts: list[Objective] = []
        problems: list[Problem] = []
        for number, part in enumerate(data):
            try:
                parts.append(part if isinstance(part, Objective) else cls(**_with_mode(part)))
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
            raise SpecError([Problem("", f"duplicate metric '{twice}'")])
        if any(other.others for other in self.others):
            raise SpecError([Problem("", "must be one flat list of objectives")])
        return self

    @model_serializer(mode="wrap")
    def _to_list(self, write: SerializerFunctionWrapHandler) -> Any:
        first = {"metric": self.metric, "mode": self.mode}
        return [first, *(other.model_dump() for other in self.others)] if self.others else first

    @property
    def all(self) -> tuple[Objective, ...]:
        """This objective and the others."""
        return (self, *self.others)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of all objectives, in order."""
        return tuple(one.metric for one in self.all)

    def scores(self, values: Sequence[float]) -> tuple[float, ...]:
        """Return one value per objective, with signs changed so that higher is better."""
        return tuple(one.score(value) for one, value in zip(self.all, values, strict=True))

    def score(self, value: float) -> float:
        """Return the value, with its sign changed so that higher is better."""
        return value if self.mode == "max" else -value

    def better(self, value: float, than: float | None) -> bool:
        """Return whether ``value`` is strictly better. Any value is better than ``None``."""
        return than is None or self.score(value) > self.score(than)

    def best(self, values: list[float]) -> float:
        """Return the best of at least one value."""
        return max(values) if self.mode == "max" else min(values)

    def worst(self, values: list[float]) -> float:
        """Return the worst of at least one value."""
        return min(values) if self.mode == "max" else max(values)


def _with_mode(data: Any) -> dict[str, Any]:
    """Return one objective as a mapping, with the mode of a standard metric. Raises SpecError otherwise."""
    if isinstance(data, str):
        if mode := mode_of(data):
            return {"metric": data, "mode": mode}
        what = "must be a standard metric, or a mapping with 'metric' and 'mode'"
        raise SpecError([Problem("", f"{what}, got {describe(data)}; write {hints.objective(data)}")])
    if not isinstance(data, Mapping):
        what = f"must be a mapping with 'metric' and 'mode', got {describe(data)}"
        raise SpecError([Problem("", what)])
    metric, given = data.get("metric"), {str(key): value for key, value in data.items()}
    if isinstance(metric, str) and metric and data.keys() == {"metric"}:
        if mode := mode_of(metric):
            return {**given, "mode": mode}
        what = f"must be given, since '{metric}' is not a standard metric"
        raise SpecError([Problem("mode", f"{what}; write {hints.objective(given)}")])
    if hints.meant_as_objective(given):
        what = f"must have 'metric' and 'mode', got {flow(given)}; write {hints.objective(given)}"
        raise SpecError([Problem("", what)])
    return given


_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = r"^([0-9]+\.?[0-9]*|\.[0-9]+) ?(s|min|h|d)$"


def _in_seconds(value: Any) -> Any:
    """Convert text like ``15min`` to seconds. Return any other value unchanged."""
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
        description="number of trials; none: all of the grid, or as many as the other limits allow",
    )
    total_iterations: Count | None = Field(
        default=None, description="total iterations of all trials; none: no limit"
    )
    seconds: Seconds | None = Field(
        default=None, description="wall-clock time of the sweep, in seconds; none: no limit"
    )
    gpu_seconds: Seconds | None = Field(
        default=None,
        description="GPUs that trials hold, times seconds; none: no limit",
    )
    failures: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None, description="number of failed trials to tolerate; none: any number"
    )
    concurrent: Count | None = Field(
        default=None,
        description="number of trials at the same time, each with all its processes; none: as many as fit on "
        "the cluster",
    )
    iterations: Count | None = Field(
        default=None,
        description="maximum iterations of one trial (R in the papers on early stopping); none: a trial runs "
        "until it ends on its own",
    )
    trial_seconds: Seconds | None = Field(
        default=None,
        description="maximum seconds of one trial on a worker; it is stopped then; none: no limit",
    )
    silence: Seconds | None = Field(
        default=None,
        description="maximum seconds between two results of a trial; it fails after that; none: no limit",
    )
    retries: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None,
        description="number of retries of a trial after errors with no progress in between, each in a fresh "
        "process and from its last checkpoint; none: one, unless the error is known to occur there too",
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_a_single_value(cls, data: Any) -> Any:
        count = isinstance(data, int) and not isinstance(data, bool)
        if count or (isinstance(data, str) and re.fullmatch(_DURATION, data)):
            limit = "trials" if count else "seconds"
            what = f"must be a mapping, got {describe(data)}; write {{{limit}: {data}}}"
            raise SpecError([Problem("", what)])
        return data

    @property
    def is_limited(self) -> bool:
        """Whether a limit ends the sweep even if the searcher never does."""
        limits = (self.trials, self.total_iterations, self.seconds, self.gpu_seconds)
        return any(limit is not None for limit in limits)
