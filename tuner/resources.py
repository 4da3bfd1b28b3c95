"""``Resources``: the processes of a trial, their devices, and where they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import SkipJsonSchema

from tuner.errors import Problem, SpecError
from tuner.spec import ALIKE, Count, Number, Spec, describe, likely
from tuner.synonyms import others


def _lanes(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Report one problem for the whole union, instead of one for each of its types."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(f"must be auto, or a whole number from 1, got {describe(value)}") from None


_WHOLE_ABOVE_1: JsonDict = {"anyOf": [{"maximum": 1}, {"multipleOf": 1}]}


_STRATEGIES = {
    "pack": "PACK",
    "spread": "SPREAD",
    "one_machine": "STRICT_PACK",
    "one_per_machine": "STRICT_SPREAD",
}
"""Placement -> Ray's name for it."""

_SHARE_OF_ACCELERATOR = 0.001
"""The amount of an accelerator's type that a process requests. Each node of this type has an amount of 1."""


def _custom_in_schema(schema: JsonDict) -> None:
    """Allow other keys in the JSON Schema, as amounts of custom resources, but not misspelled names."""
    names = Resources.model_fields
    meant = {name for name, _ in others(names)} | {f"{name}s" for name in names}
    wrong: list[Any] = sorted(meant - names.keys())
    schema["propertyNames"] = {"not": {"enum": wrong}}
    schema["additionalProperties"] = {"type": "number", "exclusiveMinimum": 0}


class Resources(Spec):
    """The processes of a trial and their devices, and how trials share a process.

    Any other key is the amount of a custom resource of Ray that each process needs, as in ``license: 1``.
    """

    model_config = ConfigDict(json_schema_extra=_custom_in_schema)

    cpu: Annotated[Number, Field(ge=0)] = Field(
        default=1,
        description="CPUs of one worker process; a fraction shares one CPU; Ray needs a whole number above 1",
        json_schema_extra=_WHOLE_ABOVE_1,
    )
    gpu: Annotated[Number, Field(ge=0)] = Field(
        default=0,
        description="GPUs of one worker process; a fraction shares one GPU; Ray needs a whole number above 1",
        json_schema_extra=_WHOLE_ABOVE_1,
    )
    processes: Count = Field(
        default=1,
        description="processes of one trial, each with this cpu and gpu; they start together and can train "
        "as one with torch.distributed",
    )
    placement: Literal["pack", "spread", "one_machine", "one_per_machine"] = Field(
        default="pack",
        description="where the processes of a trial run. pack: on as few machines as possible; spread: on as "
        "many as possible; one_machine: all on one; one_per_machine: each on its own",
    )
    accelerator: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="type of the GPU, as Ray names it, such as H100; none: any"
    )
    custom: SkipJsonSchema[dict[str, Annotated[Number, Field(gt=0)]]] = Field(
        default={}, description="amounts of custom resources; a sweep file writes them as keys of their own"
    )
    lanes: Annotated[Literal["auto"] | Count, WrapValidator(_lanes)] = Field(
        default="auto",
        description="number of trials that train together in one worker, as one stacked model; auto: the "
        "fastest number, which the first worker measures",
    )
    isolation: Literal["worker", "process"] = Field(
        default="worker",
        description="worker: trials run one after another in a process; process: each trial gets a fresh one",
    )

    @model_validator(mode="before")
    @classmethod
    def _collect_custom(cls, data: Any) -> Any:
        """Move the amounts of custom resources to ``custom``. A misspelled key stays, and is refused."""
        if not isinstance(data, Mapping):
            return data
        unknown = [name for name in data if name not in cls.model_fields]
        custom = {
            name: data[name] for name in unknown if likely(name, cls.model_fields, likeness=ALIKE) is None
        }
        if not custom:
            return data
        others = {name: value for name, value in data.items() if name not in custom}
        return {**others, "custom": {**others.get("custom", {}), **custom}}

    @model_serializer(mode="wrap")
    def _with_custom(self, write: SerializerFunctionWrapHandler) -> Any:
        written = write(self)
        return {**{name: value for name, value in written.items() if name != "custom"}, **self.custom}

    @model_validator(mode="after")
    def _check(self) -> Resources:
        problems = [
            Problem(name, f"must be a whole number if it is above 1, got {amount}")
            for name, amount in (("cpu", self.cpu), ("gpu", self.gpu))
            if amount > 1 and amount != int(amount)
        ]
        if self.processes > 1 and self.lanes not in ("auto", 1):
            what = f"must be 1 with several processes per trial, got {self.lanes}"
            problems.append(Problem("lanes", what))
        if self.isolation == "process" and self.lanes not in ("auto", 1):
            what = f"must be 1 with isolation: process, which gives each trial its own, got {self.lanes}"
            problems.append(Problem("lanes", what))
        if self.cpu == 0 and self.gpu == 0:
            problems.append(Problem("", "must give a trial some cpu or gpu, got cpu=0, gpu=0"))
        if problems:
            raise SpecError(problems)
        return self

    @property
    def bundle(self) -> dict[str, float]:
        """What each process requests, as Ray names it."""
        kind = f"accelerator_type:{self.accelerator}"
        accelerator = {} if self.accelerator is None else {kind: _SHARE_OF_ACCELERATOR}
        return {"CPU": self.cpu, "GPU": self.gpu, **accelerator, **self.custom}

    @property
    def strategy(self) -> str:
        """The placement of a trial's processes, as Ray names it."""
        return _STRATEGIES[self.placement]

    @property
    def threads(self) -> int:
        """CPU threads of one trial: ``cpu`` rounded down, at least 1."""
        return max(1, int(self.cpu))
