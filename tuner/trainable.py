"""What is tuned: ``TrainableSpec`` names a trainable, loads it, and checks a sweep against what it declares.

``tuner.contract`` says what a trainable may declare.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from tuner import contract
from tuner.code.functions import misfit
from tuner.code.importing import importing
from tuner.code.modules import import_path
from tuner.errors import Problem, SpecError, said
from tuner.space import RESERVED, Config, Float, Int, SearchSpace, is_json, misplaced_problems
from tuner.spec import (
    Spec,
    describe,
    did_you_mean,
    kind_and_settings,
    locate,
    nearest,
    problems_of,
)

if TYPE_CHECKING:
    from ray.tune import Trainable


# So many configurations are shown to a trainable that checks them: enough to meet each choice of a few.
_SAMPLES = 32


class Entry(Protocol):
    """What a table of trainables says of one: import paths, and a line about it."""

    @property
    def path(self) -> str: ...
    @property
    def config(self) -> str: ...
    @property
    def settings(self) -> str: ...
    @property
    def summary(self) -> str: ...


@cache
def trainables() -> dict[str, Entry]:
    """Short name -> entry, from every installed package with an entry point in ``tuner.trainables``."""
    found: dict[str, Entry] = {}
    for point in entry_points(group="tuner.trainables"):
        found.update(point.load())
    return found


class TrainableSpec(Spec):
    """A trainable and its settings.

    ``kind``: a short name, ``package.module:Class``, ``file.py:Class`` or ``:function``, or the class or
    function itself. ``settings``: all else that stands under ``trainable:``.
    """

    kind: str | type | Callable[..., Any]
    settings: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> TrainableSpec:
        """From what a sweep holds: a name, a mapping with ``kind`` and settings, a class or a function."""
        if isinstance(value, TrainableSpec):
            return value
        if isinstance(value, Mapping):
            kind, rest = kind_and_settings(value, what="trainable")
            large = "; bind objects to the trainable with ray.tune.with_parameters"
            problems = [
                problem.inside(key)
                for key, item in rest.items()
                for problem in misplaced_problems(item, instead="write a hyperparameter under 'space'")
            ]
            problems += [
                Problem(
                    key, f"a setting must be a value that JSON can write, got {type(item).__name__}{large}"
                )
                for key, item in rest.items()
                if not is_json(item) and not any(problem.where.split(".")[0] == key for problem in problems)
            ]
            if problems:
                raise SpecError(problems)
            return cls(kind=kind, settings=rest)
        if isinstance(value, str) or callable(value):
            return cls(kind=value)
        raise SpecError(
            [
                Problem(
                    "", f"must be a name, a mapping with 'kind', a class or a function, got {describe(value)}"
                )
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """As a sweep file writes it."""
        return {"kind": self.name, **self.settings}

    @property
    def name(self) -> str:
        """The name it goes by in files and messages."""
        if isinstance(self.kind, str):
            return self.kind
        return import_path(self.kind)

    def is_importable(self) -> bool:
        """Whether its name is enough to find it, in another process too."""
        if isinstance(self.kind, str):
            return True
        if self.kind.__module__ == "__main__":
            return False
        try:
            return locate(self.name, {}, what="trainable") is self.kind
        except SpecError:
            return False

    def load(self) -> type[Trainable] | Callable[..., Any]:
        """Import and return the class or function. Raises SpecError when that is not possible."""
        with importing():
            return self._load()

    def _load(self) -> type[Trainable] | Callable[..., Any]:
        found = self.kind
        if isinstance(found, str):
            paths = {name: entry.path for name, entry in trainables().items()}
            found = locate(found, paths, what="trainable")
        if inspect.isclass(found):
            from ray.tune import Trainable

            if not issubclass(found, Trainable):
                raise SpecError(
                    [Problem("", f"'{self.name}' must be a subclass of ray.tune.Trainable or a function")]
                )
            return found
        if not callable(found):
            raise SpecError(
                [Problem("", f"'{self.name}' must be a class or a function, got {describe(found)}")]
            )
        if (what := misfit(found, self.name)) is not None:
            raise SpecError([Problem("", what)])
        return found

    def problems(
        self,
        *,
        space: SearchSpace | None,
        metrics: Sequence[str],
        iterations: int | None,
        reads_data: bool = True,
    ) -> list[Problem]:
        """What is wrong between the trainable and the rest of the sweep, each seen from the sweep.

        Imports the user's code, and reads the data unless told not to; ``None`` for a part that is wrong by
        itself.
        """
        try:
            trainable = self.load()
        except SpecError as error:
            return [problem.inside("trainable") for problem in error.problems]
        problems = [
            Problem(
                "trainable",
                f"'{self.name}'.{part} must be a pydantic model, got {getattr(trainable, part)!r}",
            )
            for part in ("Config", "Settings")
            if hasattr(trainable, part) and _model(trainable, part) is None
        ]
        problems += contract.problems(trainable, self.name)
        problems += self._settings_problems(trainable, space)
        settings_are_wrong = bool(problems)
        if space is not None:
            problems += self._space_problems(trainable, space)
            if not problems and reads_data and isinstance(trainable, contract.ChecksConfigurations):
                problems += self._sample_problems(trainable, space)
                settings_are_wrong = bool(problems)  # nor need they be asked for the metrics
        if inspect.isclass(trainable) and iterations is None:
            problems.append(
                Problem("budget.iterations", "must be given: a class trainable runs until it is stopped")
            )
        if metrics and not settings_are_wrong and isinstance(trainable, contract.NamesMetrics):
            try:
                with importing():  # what reads the data
                    known = tuple(trainable.metrics(dict(self.settings)))
            except ValueError as error:
                pointed = _pointed(str(error), _fields(trainable, "Settings"))
                problems += [problem.inside("trainable") for problem in pointed]
            except Exception as error:
                what = f"{self.name}.metrics() raised {said(error)}"
                problems.append(Problem("trainable", what))
            else:
                for number, metric in enumerate(metrics):
                    if metric in known:
                        continue
                    where = "objective.metric" if len(metrics) == 1 else f"objective.{number}.metric"
                    # A suggestion only where it is surely a typo: metrics of one prefix look alike.
                    hint = did_you_mean(metric, known, likeness=0.7)
                    problems.append(Problem(where, f"{self.name} reports no '{metric}'{hint}"))
        return problems

    def can_save(self) -> bool:
        """Whether its trials can write checkpoints, as far as is known before they run."""
        from ray.tune import Trainable

        trainable = self.load()
        inherited = getattr(Trainable, "save_checkpoint")  # noqa: B009
        return not inspect.isclass(trainable) or getattr(trainable, "save_checkpoint") is not inherited  # noqa: B009

    def seems_to_save(self) -> bool:
        """Whether its trials seem to write checkpoints: of a function, whether its file speaks of them."""
        trainable = self.load()
        if inspect.isclass(trainable):
            return self.can_save()
        try:
            module = inspect.getmodule(inspect.unwrap(trainable))
            text = inspect.getsource(module if module is not None else trainable)
        except (OSError, TypeError):  # of a notebook's cell, a C extension
            return True
        return "checkpoint" in text.lower()

    def value_problems(self, name: str, value: Any) -> list[Problem]:
        """What is wrong with a hyperparameter's value, by what the trainable declares."""
        model = _model(self.load(), "Config")
        return [] if model is None else _invalid(model, {name: value}, only=name)

    def gpu_problems(self, gpus: float) -> list[Problem]:
        """What is wrong with a trial of it that holds so many GPUs."""
        trainable = self.load()
        if not isinstance(trainable, contract.BoundsGpus) or gpus <= trainable.most_gpus:
            return []
        most = trainable.most_gpus
        uses = "no more" if most else "none"
        idle = f"a trial of {self.name} uses {uses}; must be at most {most}, got {gpus:g}"
        return [Problem("resources.gpu", idle)]

    def _sample_problems(self, trainable: Any, space: SearchSpace) -> list[Problem]:
        """What the trainable has against the first of some configurations that it refuses."""
        rng = np.random.default_rng(0)
        for number in range(_SAMPLES):
            given = self.given(space.sample(rng), seed=number, sweep_seed=0)
            try:
                with importing():  # what reads the data
                    trainable.check(given)
            except ValueError as error:
                settings = _fields(trainable, "Settings")
                pointed = _pointed(str(error), (*settings, *_fields(trainable, "Config"), *space.names))
                return [
                    problem.inside("trainable" if problem.where in ("", *settings) else "space")
                    for problem in pointed
                ]
            except Exception as error:
                return [Problem("trainable", f"{self.name}.check() raised {said(error)}")]
        return []

    def lanes(self, samples: Sequence[Mapping[str, Any]]) -> str | None:
        """Whether trials like ``samples`` can be trained as one, in words; ``None``: it does not say.

        Raises SpecError when such trials cannot be made at all.
        """
        trainable: Any = self.load()
        if not (
            isinstance(trainable, contract.TrainsInLanes) and isinstance(trainable, contract.ExplainsLanes)
        ):
            return None
        try:
            reason = trainable.why_alone(samples)
            together = 0 if reason is not None else trainable.fitting(samples)
        except Exception as error:
            what = f"{self.name} raised {type(error).__name__} for a trial of this sweep: {error}"
            raise SpecError([Problem("trainable", what)]) from error
        if reason is not None:
            return f"trials train one after the other: {reason}"
        return (
            "trials of one shape train together "
            f"({together} of {len(samples)} sampled trials fit with another)"
        )

    def shared(self, *, seed: int) -> Any:
        """What all trials of a sweep with this seed read and none changes; ``None``: nothing is."""
        trainable = self.load()
        if not isinstance(trainable, contract.SharesData):
            return None
        return trainable.shared(dict(self.settings), sweep_seed=seed)

    def repeated(self, *, seed: int, repeats: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Settings for repeats of a trial of a sweep with this seed, and what each adds to its configuration.

        Raises SpecError when the trainable cannot be evaluated.
        """
        shared, additions = self._evaluated("repeated", sweep_seed=seed, repeats=repeats)
        return dict(shared), list(additions)

    def final(self, *, seed: int, iterations: int, metric: str) -> tuple[dict[str, Any], str]:
        """Settings of a trial that ends on the test rows, and the name that ``metric`` has there.

        Raises SpecError when the trainable cannot be evaluated.
        """
        settings, name = self._evaluated("final", sweep_seed=seed, iterations=iterations, metric=metric)
        return dict(settings), str(name)

    def _evaluated(self, method: str, **arguments: Any) -> Any:
        trainable = self.load()
        if not isinstance(trainable, contract.CanBeEvaluated):
            needs = "its class must have 'repeated' and 'final' (tuner.contract.CanBeEvaluated)"
            what = f"cannot be evaluated; {needs}"
            raise SpecError([Problem("trainable", f"'{self.name}' {what}")])
        try:
            return getattr(trainable, method)(dict(self.settings), **arguments)
        except ValueError as error:
            pointed = _pointed(str(error), _fields(trainable, "Settings"))
            raise SpecError(problem.inside("trainable") for problem in pointed) from error

    def _settings_problems(self, trainable: Any, space: SearchSpace | None) -> list[Problem]:
        problems: list[Problem] = []
        rest = dict(self.settings)
        model, fields = _model(trainable, "Settings"), _fields(trainable, "Settings")
        for key in self.settings:
            where = f"trainable.{key}"
            if key in RESERVED:
                problems.append(
                    Problem(where, "tuner sets this itself, from the sweep's own 'seed'; choose another name")
                )
            elif model is not None and key not in fields and key in _fields(trainable, "Config"):
                there = space is not None and key in space.names
                what = "it stands there already, leave it out here" if there else "write it there"
                problems.append(Problem(where, f"is a hyperparameter, so it belongs under 'space'; {what}"))
            else:
                continue
            del rest[key]
        if model is not None:
            for problem in _invalid(model, rest):
                pointed = [problem] if problem.where else _pointed(problem.what, fields)
                problems += [each.inside("trainable") for each in pointed]
        return problems

    def _space_problems(self, trainable: Any, space: SearchSpace) -> list[Problem]:
        problems: list[Problem] = []
        model, hyperparameters = _model(trainable, "Config"), _fields(trainable, "Config")
        settings = _fields(trainable, "Settings")
        misspelled = set()
        for name in space.names:
            where = f"space.{name}"
            if name in settings:
                what = (
                    "it stands there already, leave it out here"
                    if name in self.settings
                    else "write it there"
                )
                problems.append(Problem(where, f"is a setting, so it belongs under 'trainable'; {what}"))
            elif name in self.settings and not (settings and name in hyperparameters):
                problems.append(Problem(where, "stands under 'trainable' already; leave one out"))
            elif (
                model is not None
                and name not in hyperparameters
                and model.model_config.get("extra") == "allow"
            ):
                continue  # `check` judges it
            elif model is not None and name not in hyperparameters:
                misspelled.add(nearest(name, hyperparameters))
                hint = did_you_mean(name, hyperparameters)
                problems.append(Problem(where, f"{self.name} has no hyperparameter '{name}'{hint}"))
            elif model is not None:
                wrong = _wrong_values(model, name, space)
                problems += [Problem(where, f"{what} ({self.name})") for what in wrong]
        for name, field in hyperparameters.items():
            if not field.is_required() or name in misspelled or name in self.settings:
                continue
            if name not in space.names:
                problems.append(Problem(f"space.{name}", f"must be given: {self.name} has no default for it"))
            elif not space.always(name):
                what = f"must have no condition ('when'): {self.name} has no default for it"
                problems.append(Problem(f"space.{name}", what))
        return problems

    def given(self, config: Config, *, seed: int, sweep_seed: int) -> dict[str, Any]:
        """What the trainable receives: hyperparameters, settings, and the two seeds."""
        return {**config, **self.settings, "seed": seed, "sweep_seed": sweep_seed}


def _model(trainable: Any, part: str) -> type[BaseModel] | None:
    """The pydantic model that a trainable declares as ``part``; ``None`` when it has none."""
    model = getattr(trainable, part, None)
    return model if inspect.isclass(model) and issubclass(model, BaseModel) else None


def _fields(trainable: Any, part: str) -> dict[str, FieldInfo]:
    model = _model(trainable, part)
    return {} if model is None else dict(model.model_fields)


def _wrong_values(model: type[BaseModel], name: str, space: SearchSpace) -> list[str]:
    """What the model says against the values that ``name`` can take; of a range, each complaint once."""
    found: list[str] = []
    for dimension in space.standing_for(name):
        wrong = [
            problem.what
            for value in dimension.extremes()
            for problem in _invalid(model, {name: value}, only=name)
        ]
        if isinstance(dimension, (Float, Int)):
            wrong = list({what.partition(", got ")[0]: what for what in reversed(wrong)}.values())[::-1]
        found += wrong
    return list(dict.fromkeys(found))


def _pointed(text: str, fields: Collection[str]) -> list[Problem]:
    """The problems of an error whose lines read ``field: what is wrong``; any other text is one problem."""
    lines = [line.partition(": ") for line in text.splitlines()]
    if all(field in fields for field, _, _ in lines):
        return [Problem(field, what) for field, _, what in lines]
    return [Problem("", text)]


def _invalid(model: type[BaseModel], values: Mapping[str, Any], *, only: str | None = None) -> list[Problem]:
    """What is wrong with ``values``; with ``only``, what is wrong with that one, whatever else is missing."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        problems = problems_of(error, model)
        return [p for p in problems if only is None or p.where.split(".")[0] == only]
    return []
