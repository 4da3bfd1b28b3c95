"""Compare a sweep with the models that its trainable declares (see ``tuner.contract``)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tuner.code.importing import importing
from tuner.errors import Problem, said
from tuner.hints import for_key
from tuner.space import RESERVED, Config, Float, Int, SearchSpace
from tuner.space.foreign import as_dimensions, in_our_form
from tuner.spec import ALIKE, did_you_mean, likely, problems_of
from tuner.synonyms import synonym

_SAMPLES = 32
"""Configurations shown to a trainable's ``check``: enough to meet each value of a few small choices."""


_NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_RANGE = rf"\s*{_NUMBER}\s*(?:\.\.+|-|:|,|to)\s*{_NUMBER}\s*"
"""A range in words, such as ``0.001..0.1`` or ``1e-4 - 1``."""


class Given(Protocol):
    """The part of a ``TrainableSpec`` that the checks below need."""

    @property
    def settings(self) -> dict[str, Any]: ...

    @property
    def name(self) -> str: ...

    @property
    def listed(self) -> bool: ...

    def given(self, config: Config, *, seed: int, sweep_seed: int) -> dict[str, Any]: ...


def sample_problems(spec: Given, trainable: Any, space: SearchSpace) -> list[Problem]:
    """Return the trainable's problems with the first of 32 random configurations that it refuses."""
    rng = np.random.default_rng(0)
    for number in range(_SAMPLES):
        given = spec.given(space.sample(rng), seed=number, sweep_seed=0)
        try:
            with importing():  # `check` may read the data
                trainable.check(given)
        except ValueError as error:
            settings = fields_of(trainable, "Settings")
            found = split_error(str(error), (*settings, *fields_of(trainable, "Config"), *space.names))
            return [
                problem.inside("trainable" if problem.where in ("", *settings) else "space")
                for problem in found
            ]
        except Exception as error:
            return [Problem("trainable", f"{spec.name}.check() raised {said(error)}")]
    return []


def metric_problems(spec: Given, trainable: Any, metrics: Sequence[str]) -> list[Problem]:
    """Return the metrics of the objective that the trainable does not report."""
    try:
        with importing():  # `metrics` may read the data
            known = tuple(trainable.metrics(dict(spec.settings)))
    except ValueError as error:
        found = split_error(str(error), fields_of(trainable, "Settings"))
        return [problem.inside("trainable") for problem in found]
    except Exception as error:
        return [Problem("trainable", f"{spec.name}.metrics() raised {said(error)}")]
    problems = []
    for number, metric in enumerate(metrics):
        if metric in known:
            continue
        where = "objective.metric" if len(metrics) == 1 else f"objective.{number}.metric"
        # Suggest only likely typos: metrics with a common prefix look alike.
        hint = _metric_hint(spec, trainable, metric, known) or did_you_mean(metric, known, likeness=0.7)
        problems.append(Problem(where, f"{spec.name} reports no '{metric}'{hint}"))
    return problems


def _metric_hint(spec: Given, trainable: Any, metric: str, known: Collection[str]) -> str:
    """Return the remedy for a metric reported under another name or on request; empty if unknown."""
    core = re.sub("^(val|valid|validation|test|eval|dev)[_/.-]", "", metric)
    if f"val_{core}" in known:
        return f"; write 'val_{core}'"
    field = fields_of(trainable, "Settings").get("metrics")
    names = [] if field is None else re.findall(r"'(\w+)'", str(field.annotation))
    if (name := synonym(core, names)) is None:
        return ""
    asked = [*spec.settings.get("metrics", ()), name]
    try:
        with importing():
            offered = trainable.metrics({**spec.settings, "metrics": asked})
    except ValueError:  # a metric of another task
        return ""
    remedy = f"; write metrics: [{', '.join(asked)}] under 'trainable', and the metric val_{name}"
    return remedy if f"val_{name}" in offered else ""


def settings_problems(spec: Given, trainable: Any, space: SearchSpace | None) -> list[Problem]:
    """Return the settings that contradict the trainable's ``Settings``."""
    problems: list[Problem] = []
    rest = dict(spec.settings)
    model, fields = model_of(trainable, "Settings"), fields_of(trainable, "Settings")
    for key in spec.settings:
        where = f"trainable.{key}"
        if key in RESERVED:
            problems.append(Problem(where, "tuner sets this from the sweep's 'seed'; choose another name"))
        elif model is not None and key not in fields and key in fields_of(trainable, "Config"):
            is_there = space is not None and key in space.names
            what = "it is already there, so remove it here" if is_there else "move it there"
            problems.append(Problem(where, f"is a hyperparameter, so it belongs under 'space'; {what}"))
        elif (
            model is not None
            and likely(key, fields) is None
            and (name := synonym(key, fields_of(trainable, "Config")))
        ):
            what = f"is a hyperparameter, so it belongs under 'space'; write '{name}' there"
            problems.append(Problem(where, what))
        else:
            continue
        del rest[key]
    if model is not None:
        for problem in invalid(model, rest):
            found = [problem] if problem.where else split_error(problem.what, fields)
            problems += [each.inside("trainable") for each in found]
    return problems


def space_problems(spec: Given, trainable: Any, space: SearchSpace) -> list[Problem]:
    """Return the hyperparameters that contradict the trainable's ``Config``."""
    problems: list[Problem] = []
    model, hyperparameters = model_of(trainable, "Config"), fields_of(trainable, "Config")
    settings = fields_of(trainable, "Settings")
    misspelled = set()
    for name in space.names:
        where = f"space.{name}"
        if name in settings:
            what = "it is already there, so remove it here" if name in spec.settings else "move it there"
            problems.append(Problem(where, f"is a setting, so it belongs under 'trainable'; {what}"))
        elif name in spec.settings and not (settings and name in hyperparameters):
            problems.append(Problem(where, "is already under 'trainable'; remove one of the two"))
        elif model is not None and name not in hyperparameters and model.model_config.get("extra") == "allow":
            continue  # the trainable's own `check` decides
        elif model is not None and name not in hyperparameters:
            misspelled.add(likely(name, hyperparameters))
            hint = _hint(spec, name, space, hyperparameters, settings)
            problems.append(Problem(where, f"{spec.name} has no hyperparameter '{name}'{hint}"))
        elif model is not None:
            wrong = _wrong_values(model, name, space)
            remedy = _remedy(model, name, space) if wrong else ""
            problems += [Problem(where, f"{what} ({spec.name}){remedy}") for what in wrong]
    for name, field in hyperparameters.items():
        if not field.is_required() or name in misspelled or name in spec.settings:
            continue
        if name not in space.names:
            problems.append(Problem(f"space.{name}", f"must be given: {spec.name} has no default for it"))
        elif not space.always(name):
            what = f"must have no condition ('when'): {spec.name} has no default for it"
            problems.append(Problem(f"space.{name}", what))
    return problems


def _hint(
    spec: Given, name: str, space: SearchSpace, hyperparameters: Collection[str], settings: Collection[str]
) -> str:
    """Return the remedy for a name that is not a hyperparameter of the trainable."""
    if likely(name, hyperparameters, likeness=ALIKE) is None:
        if setting := synonym(name, settings):
            return f"; write its setting '{setting}' under 'trainable'"
        value = space.constants.get(name, {})
        if elsewhere := for_key(name, value, hyperparameters):
            return elsewhere
    return did_you_mean(name, hyperparameters, see="tuner list trainables" if spec.listed else "")


def _remedy(model: type[BaseModel], name: str, space: SearchSpace) -> str:
    """Return the remedy for a constant that the model refuses, if it looks like a dimension; else empty."""
    value = space.constants.get(name)
    if isinstance(value, (list, tuple)):
        fits = value and not any(invalid(model, {name: each}, only=name) for each in value)
        return f"; to search it, write {' or '.join(as_dimensions(value))}" if fits else ""
    if isinstance(value, str) and (ends := re.fullmatch(_RANGE, value)):
        return f"; to search it, write {{float: [{ends[1]}, {ends[2]}]}}"
    ours = in_our_form(value) if isinstance(value, Mapping) else None
    return f"; write {ours}" if ours else ""


def model_of(trainable: Any, part: str) -> type[BaseModel] | None:
    """Return the pydantic model that a trainable declares as ``part``, or ``None`` if it declares none."""
    model = getattr(trainable, part, None)
    return model if inspect.isclass(model) and issubclass(model, BaseModel) else None


def fields_of(trainable: Any, part: str) -> dict[str, FieldInfo]:
    """Return the fields of the model that a trainable declares as ``part``; empty if it declares none."""
    model = model_of(trainable, part)
    return {} if model is None else dict(model.model_fields)


def _wrong_values(model: type[BaseModel], name: str, space: SearchSpace) -> list[str]:
    """Return the model's complaints about the values of ``name``. A range repeats no complaint."""
    found: list[str] = []
    for dimension in space.standing_for(name):
        wrong = [
            problem.what
            for value in dimension.extremes()
            for problem in invalid(model, {name: value}, only=name)
        ]
        if isinstance(dimension, (Float, Int)):
            wrong = list({what.partition(", got ")[0]: what for what in reversed(wrong)}.values())[::-1]
        found += wrong
    return list(dict.fromkeys(found))


def split_error(text: str, fields: Collection[str]) -> list[Problem]:
    """Split an error's text into problems, one for each line ``field: what is wrong``.

    If any line reads otherwise, the whole text is one problem.
    """
    lines = [line.partition(": ") for line in text.splitlines()]
    if all(field in fields for field, _, _ in lines):
        return [Problem(field, what) for field, _, what in lines]
    return [Problem("", text)]


def invalid(model: type[BaseModel], values: Mapping[str, Any], *, only: str | None = None) -> list[Problem]:
    """Return the model's problems with ``values``. With ``only``, return those of this one field."""
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        problems = problems_of(error, model)
        return [p for p in problems if only is None or p.where.split(".")[0] == only]
    return []
