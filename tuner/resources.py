"""``Resources``: the processes of a trial, their devices, and where they run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
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

from tuner import amounts
from tuner.amounts import VARIES, Varying
from tuner.errors import Problem, SpecError
from tuner.space import Config, SearchSpace
from tuner.space.values import written
from tuner.spec import ALIKE, Count, Number, Spec, describe, likely
from tuner.synonyms import others


def _lanes(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Report one problem for the whole union, instead of one for each of its types."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(f"must be auto, or a whole number from 1, got {describe(value)}") from None


def _share_in_schema(schema: JsonDict) -> None:
    """Require a whole number above 1, in each form of the amount."""
    schema["anyOf"] = [{"maximum": 1}, {"multipleOf": 1}]
    amounts.in_schema(schema)


_STRATEGIES = {
    "pack": "PACK",
    "spread": "SPREAD",
    "one_machine": "STRICT_PACK",
    "one_per_machine": "STRICT_SPREAD",
}
"""Placement -> Ray's name for it."""

_SAMPLES = 500
"""Configurations of the space for which the amounts are checked before a sweep starts."""

_FEW = 20
"""As many of them are checked with each value that a scheduler gives to running trials."""

_SHARE_OF_ACCELERATOR = 0.001
"""The amount of an accelerator's type that a process requests. Each node of this type has an amount of 1."""


def _custom_in_schema(schema: JsonDict) -> None:
    """Allow other keys in the JSON Schema, as amounts of custom resources, but not misspelled names."""
    names = Resources.model_fields
    meant = {name for name, _ in others(names)} | {f"{name}s" for name in names}
    wrong: list[Any] = sorted(meant - names.keys())
    schema["propertyNames"] = {"not": {"enum": wrong}}
    custom: JsonDict = {"type": "number", "exclusiveMinimum": 0}
    amounts.in_schema(custom)
    schema["additionalProperties"] = custom


class Resources(Spec):
    """The processes of a trial and their devices, and how trials share a process.

    Any other key is the amount of a custom resource of Ray that each process needs, as in ``license: 1``.

    Each amount may depend on the trial's hyperparameters, as ``{when: {model: {large: 8, small: 1}}}`` or as
    an expression such as ``"max(1, hidden // 512)"``. It is then a ``Varying`` here, and ``of`` returns the
    numbers of one trial.
    """

    model_config = ConfigDict(json_schema_extra=_custom_in_schema)

    cpu: Annotated[Number, Field(ge=0), *VARIES] = Field(
        default=1,
        description="CPUs of one worker process; a fraction shares one CPU; Ray needs a whole number above 1",
        json_schema_extra=_share_in_schema,
    )
    gpu: Annotated[Number, Field(ge=0), *VARIES] = Field(
        default=0,
        description="GPUs of one worker process; a fraction shares one GPU; Ray needs a whole number above 1",
        json_schema_extra=_share_in_schema,
    )
    processes: Annotated[Count, *VARIES] = Field(
        default=1,
        description="processes of one trial, each with this cpu and gpu; they start together and can train "
        "as one with torch.distributed",
        json_schema_extra=amounts.in_schema,
    )
    placement: Literal["pack", "spread", "one_machine", "one_per_machine"] = Field(
        default="pack",
        description="where the processes of a trial run. pack: on as few machines as possible; spread: on as "
        "many as possible; one_machine: all on one; one_per_machine: each on its own",
    )
    accelerator: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="type of the GPU, as Ray names it, such as H100; none: any"
    )
    custom: SkipJsonSchema[dict[str, Annotated[Number, Field(gt=0), *VARIES]]] = Field(
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
        form = write(self)
        return {**{name: value for name, value in form.items() if name != "custom"}, **form["custom"]}

    @model_validator(mode="after")
    def _check(self) -> Resources:
        varying = self.varying
        problems = [
            Problem(where, f"must be a whole number if it is above 1, got {amount:g}")
            for name, given in {"cpu": self.cpu, "gpu": self.gpu, **self.custom}.items()
            for where, amount in _amounts(name, given).items()
            if amount > 1 and amount != int(amount)
        ]
        if self.lanes not in ("auto", 1):
            several = "processes" in varying or self.processes > 1
            if several or varying:
                having = "several processes per trial" if several else "amounts that depend on the trial"
                problems.append(Problem("lanes", f"must be 1 with {having}, got {self.lanes}"))
        if self.isolation == "process" and self.lanes not in ("auto", 1):
            what = f"must be 1 with isolation: process, which gives each trial its own, got {self.lanes}"
            problems.append(Problem("lanes", what))
        if not {"cpu", "gpu"} & varying.keys() and self.cpu == 0 and self.gpu == 0:
            problems.append(Problem("", "must give a trial some cpu or gpu, got cpu=0, gpu=0"))
        if problems:
            raise SpecError(problems)
        return self

    @property
    def varying(self) -> dict[str, Varying]:
        """The amounts that depend on a trial's hyperparameters, by name."""
        named = {"cpu": self.cpu, "gpu": self.gpu, "processes": self.processes, **self.custom}
        return {name: amount for name, amount in named.items() if isinstance(amount, Varying)}

    @property
    def depends(self) -> bool:
        """Whether any amount depends on a trial's hyperparameters."""
        return bool(self.varying)

    @property
    def has_gangs(self) -> bool:
        """Whether some trials can have several processes."""
        return "processes" in self.varying or self.processes > 1

    def of(self, config: Mapping[str, Any]) -> Resources:
        """Return the resources of a trial with these hyperparameters, as numbers only.

        Raises SpecError if an amount is impossible.
        """
        if not (varying := self.varying):
            return self
        found = {}
        for name, amount in varying.items():
            try:
                found[name] = amount.of(config)
            except SpecError as error:
                raise SpecError([problem.inside(name) for problem in error.problems]) from None
        try:
            return Resources(**{**self.model_dump(), **found})
        except SpecError as error:
            raise SpecError([self._at(problem, config) for problem in error.problems]) from None

    def _at(self, problem: Problem, config: Mapping[str, Any]) -> Problem:
        """Return the problem with the values of the trial that has it."""
        words = {word for amount in self.varying.values() for word in re.findall(r"[\w.]+", repr(amount))}
        values = ", ".join(f"{name}={written(value)}" for name, value in config.items() if name in words)
        return Problem(problem.where.removeprefix("custom."), f"{problem.what}, for a trial with {values}")

    def among(self, configs: Iterable[Mapping[str, Any]]) -> list[Resources]:
        """Return the different resources of trials with these hyperparameters."""
        if not self.depends:
            return [self]
        return list({str(found): found for found in map(self.of, configs)}.values())

    def problems(self, space: SearchSpace, *, new_values: Sequence[tuple[str, Any]] = ()) -> list[Problem]:
        """Return what is wrong with the amounts that depend on hyperparameters.

        ``new_values``: hyperparameters and values that a scheduler gives to running trials.
        """
        found = [
            problem.inside(name)
            for name, amount in self.varying.items()
            for problem in amount.problems(space)
        ]
        if found or not self.depends or space.tightness is not None:
            return found
        configs = _sample(space)
        configs += [{**config, name: value} for name, value in new_values for config in configs[:_FEW]]
        try:
            self.among(configs)
        except SpecError as error:
            return list(error.problems)
        return []

    def possible(self, space: SearchSpace) -> list[Resources]:
        """Return the different resources of many trials of a space. ``problems`` must find nothing in it."""
        return self.among(_sample(space)) if self.depends else [self]

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


def _sample(space: SearchSpace) -> list[Config]:
    rng = np.random.default_rng(0)
    return [space.sample(rng) for _ in range(_SAMPLES)]


def _amounts(name: str, amount: float | Varying) -> dict[str, float]:
    """Return the amounts that are known without a configuration, by their places."""
    if isinstance(amount, Varying):
        return {f"{name}.{where}": each for where, each in amount.amounts.items()}
    return {name: amount}
