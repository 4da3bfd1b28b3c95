"""``Sweep``: all parts of one sweep and the rules between them, read from and written as YAML."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from tuner import rules
from tuner.code.modules import refuse_hiding
from tuner.components import component, written_out
from tuner.errors import Problem, SpecError
from tuner.hints import flow
from tuner.logger import LoggerSpec
from tuner.lookup import looked_up
from tuner.objective import Budget, Objective, Seconds
from tuner.resources import Resources
from tuner.schedulers import SCHEDULERS, Fifo, SchedulerSpec
from tuner.searchers import SEARCHERS, Random, SearcherSpec, beginning, start
from tuner.space import Config, SearchSpace
from tuner.space.foreign import as_dimensions, reads_like_options
from tuner.spec import Seed, Spec, describe
from tuner.trainable import TrainableSpec
from tuner.yaml12 import override, read_yaml, to_yaml

_SAMPLES = 32
"""Enough to estimate how often two trials have the same shape, and few enough to build at once."""


_LONGEST_NAME = 200
"""Characters of a folder's name. Most file systems allow 255, and a number may be appended."""

_FOLDER_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")
_URL = re.compile("^[A-Za-z][A-Za-z0-9+.-]*://")


def _folder_name(name: str) -> str:
    if not _FOLDER_NAME.fullmatch(name):
        raise ValueError(
            "must begin with a letter or digit and contain only letters, digits, '.', '_' and '-', "
            f"got {describe(name)}"
        )
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"must have at most {_LONGEST_NAME} characters, got {len(name)}")
    return name


def _local(out: str) -> str:
    if _URL.match(out):
        raise ValueError(f"must be a folder (a mounted one is possible), not a URL, got '{out}'")
    if "\0" in out:
        raise ValueError(f"must be the path of a folder, got {out!r}")
    return out


def _name_of(path: Path) -> str:
    """Derive a sweep's name from its file's name. '_' replaces characters that folder names lack."""
    if _FOLDER_NAME.fullmatch(path.stem):
        return path.stem
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9.-]+", "_", plain).strip("_.-") or "sweep"


class Sweep(Spec):
    """One sweep: a trainable, its search space, the objective, and the means to search.

    The constructor checks everything that needs no import of the trainable. ``check`` checks the rest. Both
    raise SpecError with every problem found.
    """

    trainable: Annotated[
        TrainableSpec, PlainValidator(TrainableSpec.parse), PlainSerializer(TrainableSpec.to_dict)
    ] = Field(description="the trainable to tune: a name, or a mapping with kind and settings")
    space: SearchSpace = Field(
        description="the search space: hyperparameters, constants and constraints; required, unless the "
        "trainable is an Optuna objective"
    )
    objective: Objective = Field(description="the metric to optimise and its direction, or a list of several")
    budget: Budget = Field(description="limits of the sweep and of each of its trials")
    searcher: Annotated[
        SearcherSpec,
        PlainValidator(lambda value: component(value, SearcherSpec, SEARCHERS, "searcher")),
        PlainSerializer(written_out),
    ] = Field(
        default=Random(), description="proposes configurations: a name, or a mapping with kind and settings"
    )
    scheduler: Annotated[
        SchedulerSpec,
        PlainValidator(lambda value: component(value, SchedulerSpec, SCHEDULERS, "scheduler")),
        PlainSerializer(written_out),
    ] = Field(default=Fifo(), description="stops trials early: a name, or a mapping with kind and settings")
    resources: Resources = Field(
        default=Resources(), description="devices of one worker process, and how trials share it"
    )
    loggers: tuple[
        Annotated[LoggerSpec, PlainValidator(LoggerSpec.parse), PlainSerializer(LoggerSpec.to_dict)], ...
    ] = Field(
        default=(),
        description="what receives each result: mlflow, wandb, trackio, tensorboard, csv, json or "
        "package.module:Class; each is a name, or a mapping with kind and settings",
    )
    seed: Seed = Field(default=0, description="seed of all randomness in the sweep")
    checkpoint_every: Seconds | None = Field(
        default=60.0,
        description="seconds between two checkpoints of a running trial; it is also saved at its best values "
        "and when the sweep is interrupted; none: only then",
    )
    name: Annotated[str, AfterValidator(_folder_name)] = Field(
        default="sweep",
        description="name of the results folder; the default for a sweep file is the file's own name",
        json_schema_extra={"pattern": f"^{_FOLDER_NAME.pattern}$"},
    )
    out: Annotated[str, AfterValidator(_local)] = Field(
        default="results",
        description="folder that holds the results folders, relative to the current folder",
        json_schema_extra={"not": {"pattern": _URL.pattern}},
    )

    def __repr__(self) -> str:
        names = ", ".join(self.space.names)
        return f"<Sweep {self.name}: {self.trainable.name}, {names}, {self.objective.metrics[0]}>"

    @model_validator(mode="before")
    @classmethod
    def _libraries_are_found(cls, data: Any) -> Any:
        # Ray's processes import from the current folder first. Python imports from the script's folder first.
        for folder in {os.getcwd(), sys.path[0] or os.getcwd()}:
            refuse_hiding(Path(folder))
        return data

    @model_validator(mode="before")
    @classmethod
    def _open_space(cls, data: Any) -> Any:
        """An Optuna objective names its hyperparameters while it runs, unless the sweep has a space."""
        if not isinstance(data, Mapping) or data.get("space"):
            return data
        with suppress(SpecError):  # reported with the other problems
            if TrainableSpec.parse(data.get("trainable")).takes_trial:
                return {**data, "space": SearchSpace.defined_by_run()}
        return data

    @model_validator(mode="after")
    def _check_rules(self) -> Sweep:
        problems = rules.between(self._parts())
        if problems:
            raise SpecError(problems)
        return self

    @cached_property
    def trials(self) -> int | None:
        """The number of trials, or ``None`` for as many as the other limits allow."""
        limits = (self.budget.trials, self.searcher.size(self.space))
        return min((limit for limit in limits if limit is not None), default=None)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other parts, without checking it again."""
        copy = super().model_copy(update=update, deep=deep)
        for name in ("trials", "drawn", "samples"):
            copy.__dict__.pop(name, None)
        return copy

    def with_parts(self, **parts: Any) -> Self:
        """Return a copy with other parts. Raises SpecError as the constructor does."""
        return type(self)(**{**self._parts(), **parts})

    def unequal_grid(self) -> str | None:
        """Return a note if the grid's size differs from ``budget.trials``, else ``None``."""
        size, asked = self.searcher.size(self.space), self.budget.trials
        if size is None or asked is None or size == asked:
            return None
        return f"the grid has {size} configurations and budget.trials is {asked}; {min(size, asked)} will run"

    def beginnings(self) -> str | None:
        """Return a note on how trials of an earlier sweep (``warm_start``) are used, or ``None``."""
        return beginning.beginnings(self.searcher, self.space, objective=self.objective)

    def repetition(self) -> str | None:
        """Return a note if trials repeat work because they write no checkpoints, else ``None``."""
        if not self.scheduler.pauses or self.trainable.seems_to_save():
            return None
        kind = getattr(self.scheduler, "kind", type(self.scheduler).__name__)
        what = f"{self.trainable.name} writes no checkpoints, so {kind} restarts paused trials from the start"
        return f"{what}; report a checkpoint with each result, or use the scheduler asha_stop or median"

    def constant_lists(self) -> str | None:
        """Return a note on undeclared constants that are lists and may be meant as options, or ``None``."""
        lists = {name: value for name, value in self.space.constants.items() if reads_like_options(value)}
        declared = self.trainable.declared() if lists else set()
        notes = [
            f"{name} is the constant {flow(value)}; to search it, write {' or '.join(as_dimensions(value))}"
            for name, value in lists.items()
            if name not in declared
        ]
        return "; ".join(notes) or None

    @cached_property
    def drawn(self) -> list[Config]:
        """32 random configurations, as trials of this sweep may have them."""
        rng = np.random.default_rng([self.seed, _SAMPLES])
        if self.searcher.exhaustive:  # draw from the grid: constraints may leave few points of the space
            searcher = start(self.searcher, self.space, objective=self.objective, seed=self.seed)
            drawn = rng.integers(self.searcher.size(self.space) or 1, size=_SAMPLES)
            return [searcher.suggest(int(trial)) or {} for trial in drawn]
        return [self.space.sample(rng) for _ in range(_SAMPLES)]

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The inputs of the trainable for the configurations in ``drawn``."""
        return [
            self.trainable.given(config, seed=number, sweep_seed=self.seed)
            for number, config in enumerate(self.drawn)
        ]

    def _parts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields}

    def is_plausible(self) -> bool:
        """Return whether the sweep fits its trainable, which is imported, without reading the data."""
        return not self.trainable.problems(
            space=self.space,
            metrics=(),
            iterations=rules.end_of_a_trial(self.budget, self.scheduler),
            reads_data=False,
        )

    def check(self) -> None:
        """Check the sweep against its trainable, which is imported, and against the files that it names.

        Raises SpecError with every problem found.
        """
        if problems := rules.outside(self._parts(), metrics=self.objective.metrics):
            raise SpecError(problems)

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = (), *, check: bool = True) -> Sweep:
        """Read and check a sweep file, including its trainable.

        - ``overrides``: texts ``dotted.key=value`` with a YAML value.
        - ``check``: ``False`` leaves the trainable to ``Sweep.check``, which ``run`` calls, unless there are
          other problems.

        The sweep's default ``name`` is that of its file. Raises SpecError with every problem found.
        """
        data = read_yaml(Path(path))
        for each in overrides:
            override(data, each)
        data.setdefault("name", _name_of(Path(path)))
        data = looked_up(data, Path(path).parent)
        problems: list[Problem] = []
        try:
            sweep = cls(**data)
            parts = sweep._parts()
        except SpecError as error:
            problems += error.problems
            parts = rules.sound_parts(data, problems, cls.model_fields)
            problems += [problem for problem in rules.between(parts) if problem not in problems]
        if problems or check:
            problems += rules.outside(parts, known=problems, metrics=rules.metrics_of(data.get("objective")))
        if problems:
            raise SpecError(problems)
        return sweep

    def to_dict(self) -> dict[str, Any]:
        """Return the sweep with every default, JSON-ready. ``Sweep(**result)`` restores it."""
        return self.model_dump(mode="json")

    def to_yaml(self, *, leave_out: Collection[str] = ()) -> str:
        """Return the sweep as YAML, without the parts in ``leave_out``."""
        return to_yaml({name: part for name, part in self.to_dict().items() if name not in leave_out})
