"""``Sweep``: all parts of one question and the rules between them; strict YAML in, resolved YAML out."""

from __future__ import annotations

import io
import os
import re
import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import (
    AfterValidator,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tuner.errors import Problem, SpecError
from tuner.logger import LoggerSpec
from tuner.lookup import looked_up
from tuner.modules import import_path, refuse_hiding
from tuner.objective import Budget, Objective, Resources, Seconds
from tuner.schedulers import SCHEDULERS, Fifo, SchedulerSpec
from tuner.searchers import SEARCHERS, Random, SearcherSpec, beginning, start
from tuner.space import CONSTRAINTS, SearchSpace, misplaced_problems
from tuner.spec import Seed, Spec, describe, did_you_mean, locate
from tuner.trainable import TrainableSpec

_S = TypeVar("_S", bound=Spec)

# Enough to see how often two trials have the same shape, few enough to be built in no time.
_SAMPLES = 32


def _component(value: Any, base: type[_S], table: Mapping[str, type[_S]], what: str) -> _S:
    """A searcher's or scheduler's settings from a name, a mapping with ``kind``, or the object itself."""
    if isinstance(value, base):
        return value
    if isinstance(value, str):
        value = {"kind": value}
    if not isinstance(value, Mapping):
        raise SpecError([Problem("", f"must be a name or a mapping with 'kind', got {describe(value)}")])
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise SpecError([Problem("kind", f"must be given: one of {', '.join(table)}")])
    if ":" in kind:
        cls = locate(kind, {}, what=what)
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise SpecError(
                [Problem("kind", f"'{kind}' must be a subclass of {base.__module__}.{base.__name__}")]
            )
        return cls(**{str(key): item for key, item in value.items() if key != "kind"})
    if kind not in table:
        raise SpecError([Problem("", f"unknown {what} '{kind}'{did_you_mean(kind, table)}")])
    return table[kind](**{str(key): item for key, item in value.items()})


def _dump(component: Spec) -> dict[str, Any]:
    cls = type(component)
    known = cls in SEARCHERS.values() or cls in SCHEDULERS.values()
    settings = component.model_dump()
    kind = settings["kind"] if known else import_path(cls)
    # What a sweep begins with is no setting of the method, and mostly nothing.
    nothing = [name for name in ("points", "warm_start") if name in settings and not settings[name]]
    return {"kind": kind, **{k: value for k, value in settings.items() if k not in ("kind", *nothing)}}


_FOLDER_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


def _folder_name(name: str) -> str:
    if not _FOLDER_NAME.fullmatch(name):
        raise ValueError(
            "must begin with a letter or digit and go on with letters, digits, '.', '_' or '-', "
            f"got {describe(name)}"
        )
    return name


def _local(out: str) -> str:
    if re.match("[A-Za-z][A-Za-z0-9+.-]*://", out):
        raise ValueError(f"must be a folder, which may be a mounted one, and not a URL, got '{out}'")
    if "\0" in out:
        raise ValueError(f"must be the path of a folder, got {out!r}")
    return out


def _name_of(path: Path) -> str:
    """A sweep's name from that of its file, with '_' for what no results folder's name has."""
    if _FOLDER_NAME.fullmatch(path.stem):
        return path.stem
    plain = unicodedata.normalize("NFKD", path.stem).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9.-]+", "_", plain).strip("_.-") or "sweep"


class Sweep(Spec):
    """One sweep: what is tuned, over which space, for which objective, with which means.

    Building one checks all that can be checked without importing the trainable; ``check`` does the rest.
    Both raise SpecError with every problem found.
    """

    trainable: Annotated[
        TrainableSpec, PlainValidator(TrainableSpec.parse), PlainSerializer(TrainableSpec.to_dict)
    ]
    space: SearchSpace
    objective: Objective
    budget: Budget
    searcher: Annotated[
        SearcherSpec,
        PlainValidator(lambda value: _component(value, SearcherSpec, SEARCHERS, "searcher")),
        PlainSerializer(_dump),
    ] = Random()
    scheduler: Annotated[
        SchedulerSpec,
        PlainValidator(lambda value: _component(value, SchedulerSpec, SCHEDULERS, "scheduler")),
        PlainSerializer(_dump),
    ] = Fifo()
    resources: Resources = Resources()
    loggers: tuple[
        Annotated[LoggerSpec, PlainValidator(LoggerSpec.parse), PlainSerializer(LoggerSpec.to_dict)], ...
    ] = ()
    seed: Seed = 0
    checkpoint_every: Seconds | None = 60.0
    """Seconds between the checkpoints of a running trial, beside those of its best values; ``None``: none."""
    name: Annotated[str, AfterValidator(_folder_name)] = "sweep"
    out: Annotated[str, AfterValidator(_local)] = "results"

    @model_validator(mode="before")
    @classmethod
    def _libraries_are_found(cls, data: Any) -> Any:
        # Ray's processes import from the current folder first, as Python does from that of a script.
        for folder in {os.getcwd(), sys.path[0] or os.getcwd()}:
            refuse_hiding(Path(folder))
        return data

    @model_validator(mode="after")
    def _check_rules(self) -> Sweep:
        problems = _rules({name: getattr(self, name) for name in type(self).model_fields})
        if problems:
            raise SpecError(problems)
        return self

    @property
    def trials(self) -> int | None:
        """How many trials there will be; ``None``: as many as ``budget.seconds`` allows."""
        limits = (self.budget.trials, self.searcher.size(self.space))
        return min((limit for limit in limits if limit is not None), default=None)

    def unequal_grid(self) -> str | None:
        """That a grid has another size than ``budget.trials``, in words; ``None``: it has not."""
        size, asked = self.searcher.size(self.space), self.budget.trials
        if size is None or asked is None or size == asked:
            return None
        return f"the grid has {size} configurations and budget.trials is {asked}; {min(size, asked)} are run"

    def beginnings(self) -> str | None:
        """How the trials of an earlier sweep (``warm_start``) are used, in words; ``None``: there is none."""
        return beginning.beginnings(self.searcher, self.space, objective=self.objective)

    def repetition(self) -> str | None:
        """What trials do again because they write no checkpoints, in words; ``None``: nothing."""
        if not self.scheduler.pauses or self.trainable.seems_to_save():
            return None
        kind = getattr(self.scheduler, "kind", type(self.scheduler).__name__)
        remedy = "report one with each result, or use the scheduler asha_stop or median"
        return f"{self.trainable.name} writes no checkpoints, so {kind} starts paused trials over; {remedy}"

    def samples(self) -> list[dict[str, Any]]:
        """What 32 trials of this sweep may be given, drawn at random; the same at every call."""
        rng = np.random.default_rng([self.seed, _SAMPLES])
        if self.searcher.exhaustive:  # of what it has in all, since constraints may leave little to be drawn
            searcher = start(self.searcher, self.space, objective=self.objective, seed=self.seed)
            drawn = rng.integers(self.searcher.size(self.space) or 1, size=_SAMPLES)
            configs = [searcher.suggest(int(trial)) or {} for trial in drawn]
        else:
            configs = [self.space.sample(rng) for _ in range(_SAMPLES)]
        return [
            self.trainable.given(config, seed=number, sweep_seed=self.seed)
            for number, config in enumerate(configs)
        ]

    def is_plausible(self) -> bool:
        """Whether the sweep and its trainable, which is imported, fit as far as is known without the data."""
        return not self.trainable.problems(
            space=self.space,
            metrics=(),
            iterations=_end_of_a_trial(self.budget, self.scheduler),
            reads_data=False,
        )

    def check(self) -> None:
        """Check the sweep against its trainable, which is imported. Raises SpecError with every problem."""
        problems = self.trainable.problems(
            space=self.space,
            metrics=self.objective.metrics,
            iterations=_end_of_a_trial(self.budget, self.scheduler),
        )
        if not any(problem.where == "trainable" for problem in problems):
            problems += self.trainable.gpu_problems(self.resources.gpu)
            problems += _reconfiguration_problems(self.trainable, self.scheduler)
        problems += _logger_problems(self.loggers)
        if problems:
            raise SpecError(problems)

    @classmethod
    def read(cls, path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
        """Read a sweep file and check all of it, its trainable too.

        ``overrides`` are ``dotted.key=value`` with a YAML value; the name is the file's unless it has one.
        Raises SpecError with every problem of the file.
        """
        data = read_yaml(Path(path))
        for override in overrides:
            _override(data, override)
        data.setdefault("name", _name_of(Path(path)))
        data = looked_up(data, Path(path).parent)
        problems: list[Problem] = []
        sweep = None
        try:
            sweep = cls(**data)
            parts: dict[str, Any] = {name: getattr(sweep, name) for name in cls.model_fields}
        except SpecError as error:
            problems += error.problems
            parts = _sound_parts(data, error.problems)
            problems += [problem for problem in _rules(parts) if problem not in problems]
        if "trainable" in parts:
            budget, scheduler = parts.get("budget"), parts.get("scheduler")
            # A budget that is wrong by itself, or by the scheduler's rule, is not found wanting twice.
            judged = scheduler is not None and scheduler.needs_maximum
            found = parts["trainable"].problems(
                space=parts.get("space"),
                metrics=_metrics(data.get("objective")),
                iterations=1 if budget is None or judged else _end_of_a_trial(budget, scheduler),
            )
            faulty = _faulty_hyperparameters(problems)
            problems += [problem for problem in found if not _faulty_hyperparameters([problem]) & faulty]
            if not any(problem.where == "trainable" for problem in problems):
                if "resources" in parts:
                    problems += parts["trainable"].gpu_problems(parts["resources"].gpu)
                if scheduler is not None:
                    problems += _reconfiguration_problems(parts["trainable"], scheduler)
        problems += _logger_problems(parts.get("loggers", []))
        if sweep is None or problems:
            raise SpecError(problems)
        return sweep

    def to_dict(self) -> dict[str, Any]:
        """The sweep with every default written out, JSON-ready; ``Sweep(**that)`` gives it back."""
        return self.model_dump(mode="json")

    def to_yaml(self, *, leave_out: Collection[str] = ()) -> str:
        """The same as YAML, without the parts named in ``leave_out``."""
        stream = io.StringIO()
        _yaml().dump({name: part for name, part in self.to_dict().items() if name not in leave_out}, stream)
        return stream.getvalue()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML 1.2 file.

    Raises SpecError when it cannot be read, is not YAML, holds no mapping, or repeats a key.
    """
    from ruamel.yaml.error import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError([Problem(str(path), "there is no such file")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem(str(path), f"cannot be read: {error}")]) from None
    try:
        data = _yaml().load(text)
    except YAMLError as error:
        raise SpecError([Problem(str(path), _yaml_problem(error))]) from None
    _check_keys(data)
    if not isinstance(data, dict):
        raise SpecError([Problem(str(path), f"must hold a mapping, got {describe(data)}")])
    return data


def _yaml() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.resolver import VersionedResolver

    class CoreSchema(VersionedResolver):
        # ruamel.yaml's own rules read 2024-01-01 as a date and 1_2 as 12, as YAML 1.1 did.
        versioned_resolver = _CORE_SCHEMA

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.Resolver = CoreSchema
    yaml.default_flow_style = False
    yaml.allow_unicode = False  # else it writes U+0085 and U+2028 unquoted, which read back as line ends
    yaml.sort_base_mapping_type_on_output = False
    return yaml


def _core_schema() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """First character -> tags and patterns of plain scalars that are no text (YAML 1.2.2, section 10.3.2)."""
    schema: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, first in (
        ("null", r"(null|Null|NULL|~|)$", "nN~"),
        ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("int", r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", "-+.0123456789"),
        ("float", r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$", "-+."),
        ("merge", r"<<$", "<"),
    ):
        for character in [*first, *([""] if tag == "null" else [])]:
            schema.setdefault(character, []).append((f"tag:yaml.org,2002:{tag}", re.compile(pattern)))
    return schema


_CORE_SCHEMA = _core_schema()


def _yaml_problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    what = str(getattr(error, "problem", None) or error).splitlines()[0]
    if repeated := re.match('found duplicate key "(.*?)" with value', what):
        return f"{line}the key '{repeated[1]}' stands twice"
    if what.startswith("but "):  # the second half of a sentence
        what = f"{getattr(error, 'context', '')}, {what}"
    return f"{line}not valid YAML: {what}"


def _check_keys(data: Any) -> None:
    """Raise SpecError for keys that are not text, and for a value that (by an alias) holds itself."""
    problems: list[Problem] = []
    checked: set[int] = set()

    def check(value: Any, where: tuple[str, ...], above: frozenset[int]) -> None:
        if id(value) in above:
            problems.append(Problem(".".join(where), "must not hold itself (by an alias)"))
        elif isinstance(value, (dict, list)) and id(value) not in checked:
            for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
                # A hyperparameter's value may have whole numbers as keys, as class_weight has.
                inside = where[:1] == ("space",) and len(where) > 1 and type(key) is int
                if isinstance(value, dict) and not isinstance(key, str) and not inside:
                    problems.append(Problem(".".join(where), f"a key must be text, got {describe(key)}"))
                check(inner, (*where, str(key)), above | {id(value)})
            checked.add(id(value))

    check(data, (), frozenset())
    if problems:
        raise SpecError(problems)


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SpecError([Problem("--set", f"must read key=value, got '{override}'")])
    from ruamel.yaml.error import YAMLError

    try:
        value = _yaml().load(text)
    except YAMLError as error:
        raise SpecError([Problem(f"--set {key}", _yaml_problem(error))]) from None
    try:
        _check_keys(value)
    except SpecError as error:
        raise SpecError(problem.inside(f"--set {key}") for problem in error.problems) from None
    *path, last = key.split(".")
    for part in path:
        inner = data.get(part)
        if isinstance(inner, str):  # `searcher: optuna` grows into `{kind: optuna, ...}`
            inner = {"kind": inner}
        elif inner is None:
            inner = {}
        elif isinstance(inner, dict):
            inner = dict(inner)  # an alias may share it with another part
        else:
            raise SpecError([Problem(f"--set {key}", f"'{part}' has no keys, it is {describe(inner)}")])
        data[part] = inner
        data = inner
    data[last] = value


def _sound_parts(data: Mapping[str, Any], problems: Sequence[Problem]) -> dict[str, Any]:
    """The parts of a faulty sweep that are right by themselves; of the space, the sound hyperparameters.

    ``whole_space`` says whether that is all of them.
    """
    faulty = _faulty_hyperparameters(problems)
    parts: dict[str, Any] = {"whole_space": not faulty}
    if isinstance(space := data.get("space"), Mapping):
        # A constraint speaks of several hyperparameters, one of which may be faulty.
        unsound = {*faulty, CONSTRAINTS} if faulty else faulty
        sound = {
            name: _without_parents(entry, faulty) for name, entry in space.items() if name not in unsound
        }
        data = {**data, "space": sound}
    for name, field in Sweep.model_fields.items():
        if name not in data:
            if not field.is_required():
                parts[name] = field.default
            continue
        kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        with suppress(ValidationError):  # reported already
            parts[name] = TypeAdapter(kind).validate_python(data[name])
    return parts


def _end_of_a_trial(budget: Budget, scheduler: SchedulerSpec | None) -> int | None:
    """What ends a trial if nothing else does, iterations or else; ``None``: nothing."""
    return budget.iterations or (None if scheduler is None else scheduler.maximum)


def _reconfiguration_problems(trainable: TrainableSpec, scheduler: SchedulerSpec) -> list[Problem]:
    """What is wrong between a trainable that loads and a scheduler that changes hyperparameters."""
    if not scheduler.reconfigures:
        return []
    problems = []
    if not trainable.can_save():
        what = f"must save checkpoints for this scheduler, and '{trainable.name}' has no save_checkpoint"
        problems.append(Problem("trainable", what))
    for name, value in scheduler.new_values():
        found = trainable.value_problems(name, value)
        problems += [Problem("scheduler", f"{problem} ({trainable.name})") for problem in found]
    return problems


def _metrics(objective: Any) -> list[str]:
    """The metrics that an objective names as it is written, maybe wrongly."""
    parts = objective if isinstance(objective, list) else [objective]
    named = [part.get("metric") for part in parts if isinstance(part, Mapping)]
    return [metric for metric in named if isinstance(metric, str) and metric]


def _logger_problems(loggers: Sequence[LoggerSpec]) -> list[Problem]:
    problems: list[Problem] = []
    for number, logger in enumerate(loggers):
        misplaced = misplaced_problems(logger.settings, instead="write a plain value")
        problems += [problem.inside(f"loggers.{number}") for problem in misplaced]
        try:
            logger.check()
        except SpecError as error:
            problems += [problem.inside(f"loggers.{number}") for problem in error.problems]
    return problems


def _faulty_hyperparameters(problems: Sequence[Problem]) -> set[str]:
    return {problem.where.split(".")[1] for problem in problems if problem.where.startswith("space.")}


def _without_parents(entry: Any, faulty: Collection[str]) -> Any:
    """A dimension's mapping without its conditions on ``faulty`` parents; anything else as it is."""
    if not isinstance(entry, Mapping) or not isinstance(when := entry.get("when"), Mapping):
        return entry
    return {**entry, "when": {parent: allowed for parent, allowed in when.items() if parent not in faulty}}


def _many_objectives_problems(
    searcher: SearcherSpec | None, scheduler: SchedulerSpec | None
) -> list[Problem]:
    """What cannot be used with several objectives."""
    what = "compares by one objective only, got several; use {}"
    problems = []
    if searcher is not None and searcher.learns and not searcher.many_objectives:
        able = [name for name, cls in SEARCHERS.items() if cls.many_objectives or not cls.learns]
        problems.append(Problem("searcher", what.format(" or ".join(sorted(able)))))
    if scheduler is not None and scheduler.compares and not scheduler.many_objectives:
        able = [name for name, cls in SCHEDULERS.items() if cls.many_objectives or not cls.compares]
        problems.append(Problem("scheduler", what.format(" or ".join(sorted(able)))))
    return problems


def _rules(parts: Mapping[str, Any]) -> list[Problem]:
    """The rules between the parts of a sweep, as far as the parts are there."""
    problems: list[Problem] = []
    space, searcher, scheduler, budget = (
        parts.get(name) for name in ("space", "searcher", "scheduler", "budget")
    )
    resources, objective = parts.get("resources"), parts.get("objective")
    if objective is not None and objective.others:
        problems += _many_objectives_problems(searcher, scheduler)
    if budget is not None and resources is not None and budget.gpu_seconds is not None and not resources.gpu:
        problems.append(Problem("budget.gpu_seconds", "trials hold no GPU (resources.gpu); leave it out"))
    if space is not None and searcher is not None:
        for problem in beginning.problems(searcher, space, objective=parts.get("objective")):
            own = problem.where.split(".")[0] == "space"
            problems.append(problem if own else problem.inside("searcher"))
    if scheduler is not None and budget is not None:
        trials = budget.trials or (searcher.exhaustive or None if searcher is not None else 1)
        found = scheduler.problems(budget.iterations, trials=trials)
        problems += [problem.inside("scheduler") for problem in found]
    if scheduler is not None and space is not None and parts.get("whole_space", True):
        problems += [problem.inside("scheduler") for problem in scheduler.space_problems(space)]
    if budget is not None and searcher is not None and not searcher.exhaustive and not budget.is_limited:
        problems.append(Problem("budget", "must say 'trials' or 'seconds', or the sweep would never end"))
    return problems
