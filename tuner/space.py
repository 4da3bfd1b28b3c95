"""The search space: ``Float``, ``Int``, ``Choice``, constants and conditions, the same for every searcher."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from tuner.errors import Problem, SpecError
from tuner.spec import describe, did_you_mean, nearest

Config = dict[str, Any]
"""One trial's hyperparameters: the active dimensions and the constants, in the order of the space."""

When = Mapping[str, Any]
"""Parent's name -> the value, or list of values, at which the child is active; all parents must agree."""

RESERVED = ("seed", "sweep_seed")
"""Keys that tuner adds to what a trainable is given."""

# Far above any grid that can be run; a typo in `points` is caught before a list of it is built.
_MAX_GRID = 1_000_000

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One hyperparameter; ``when`` makes it conditional on others."""

    when: When | None = None

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is one that this dimension can take."""
        raise NotImplementedError

    def values(self) -> list[Any]:
        """The values of this dimension in a grid, in order. Raises SpecError when it has no finite list."""
        raise NotImplementedError

    def extremes(self) -> list[Any]:
        """The values at which a trainable's own limits and types are checked: the ends, and one between."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The dimension as a sweep file writes it."""
        raise NotImplementedError

    def _with_options(self, body: dict[str, Any]) -> dict[str, Any]:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name not in ("low", "high", "choices") and value not in (None, False):
                body[option.name] = value
        return body


@dataclass(frozen=True)
class Float(Dimension):
    """A real number in [low, high], both inclusive.

    ``log``: uniform on the logarithmic scale. ``step``: only low, low + step, ... high. ``points``: how many
    values a grid takes, evenly spaced (on the logarithmic scale where ``log``), both ends included.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    points: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _unwrap_bounds(self)
        _raise(_check_range(self, whole=False))

    def sample(self, rng: np.random.Generator) -> float:
        if self.step is not None:
            return self._at(int(rng.integers(self._steps + 1)))
        if self.log:
            return self._clip(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self._clip(float(rng.uniform(self.low, self.high)))

    def contains(self, value: Any) -> bool:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not self.low <= value <= self.high
        ):
            return False
        return self.step is None or math.isclose(value, self._at(round((value - self.low) / self.step)))

    def values(self) -> list[float]:
        if self.points is not None:
            space = np.geomspace if self.log else np.linspace
            return [self._clip(float(value)) for value in space(self.low, self.high, self.points)]
        if self.step is not None:
            _raise(_check_grid_size(self._steps + 1))
            return [self._at(index) for index in range(self._steps + 1)]
        raise SpecError([Problem("", "a grid needs 'points' (how many values to take) or 'step'")])

    def extremes(self) -> list[float]:
        # As floats, which is what is drawn, and one that is hardly a whole number.
        inner = self._at(1) if self.step is not None else self.low + _GOLDEN * (self.high - self.low)
        return [float(self.low), float(self.high), inner]

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"float": [self.low, self.high]})

    @property
    def _steps(self) -> int:
        assert self.step is not None
        return round((self.high - self.low) / self.step)

    def _at(self, index: int) -> float:
        assert self.step is not None
        return self._clip(self.low + index * self.step)

    def _clip(self, value: float) -> float:
        return min(max(value, float(self.low)), float(self.high))


@dataclass(frozen=True)
class Int(Dimension):
    """A whole number in [low, high], both inclusive.

    ``log``: uniform on the logarithmic scale, then rounded. ``step``: only low, low + step, ... high.
    ``points``: how many values a grid takes (fewer when several round to the same); without it, all.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    points: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _unwrap_bounds(self)
        _raise(_check_range(self, whole=True))

    def sample(self, rng: np.random.Generator) -> int:
        if self.log:
            # Half a unit on either side gives the ends their fair share of the scale.
            drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(max(round(drawn), self.low), self.high)
        return int(self.low + self.step * rng.integers((self.high - self.low) // self.step + 1))

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def values(self) -> list[int]:
        if self.points is None:
            _raise(_check_grid_size((self.high - self.low) // self.step + 1))
            return list(range(self.low, self.high + 1, self.step))
        space = np.geomspace if self.log else np.linspace
        drawn = space(self.low, self.high, self.points)
        near = (self.low + self.step * round((float(value) - self.low) / self.step) for value in drawn)
        return sorted({min(max(value, self.low), self.high) for value in near})

    def extremes(self) -> list[int]:
        return [self.low, self.high]

    def to_dict(self) -> dict[str, Any]:
        body = self._with_options({"int": [self.low, self.high]})
        if self.step == 1:
            del body["step"]
        return body


@dataclass(frozen=True)
class Choice(Dimension):
    """One of a list of values: any that JSON can write, each different from the others."""

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(_unwrapped(choice) for choice in self.choices))
        problems = []
        if not self.choices:
            problems.append(Problem("", "a choice needs at least one value"))
        for index, value in enumerate(self.choices):
            if not is_json(value):
                problems.append(Problem("", f"a choice must be a value that JSON can write, got {value!r}"))
            if any(_same(value, other) for other in self.choices[:index]):
                problems.append(Problem("", f"the value {value!r} stands twice among the choices"))
        _raise(problems)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.choices[int(rng.integers(len(self.choices)))]

    def contains(self, value: Any) -> bool:
        return any(_same(value, choice) for choice in self.choices)

    def index(self, value: Any) -> int:
        """The position of ``value`` among the choices, telling ``1`` from ``True``."""
        return next(index for index, choice in enumerate(self.choices) if _same(value, choice))

    def values(self) -> list[Any]:
        return list(self.choices)

    def extremes(self) -> list[Any]:
        return list(self.choices)

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"choice": list(self.choices)})


class SearchSpace:
    """Named dimensions and constants, as a sweep file or a dict gives them.

    A value may be a ``Dimension``, the mapping that a sweep file writes (``{float: [0, 1], log: true}``), or
    anything else that JSON can write, which is a constant. Raises SpecError with every problem found.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.dimensions: dict[str, Dimension] = {}
        self.constants: Config = {}
        problems: list[Problem] = []
        for name, entry in entries.items():
            if not isinstance(name, str):
                problems.append(Problem("", f"a hyperparameter's name must be text, got {describe(name)}"))
                continue
            try:
                parsed = _parse(entry)
            except SpecError as error:
                problems += [problem.inside(name) for problem in error.problems]
                continue
            if isinstance(parsed, Dimension):
                self.dimensions[name] = parsed
            else:
                self.constants[name] = parsed
        if not entries:
            problems.append(
                Problem("", "an empty space has nothing to search; name at least one hyperparameter")
            )
        problems += [
            Problem(name, "tuner sets this itself, from the sweep's own 'seed'; choose another name")
            for name in entries
            if name in RESERVED
        ]
        self._names = [str(name) for name in entries]
        problems += self._check_conditions(unread={problem.where.split(".")[0] for problem in problems})
        _raise(problems)
        self._order = self._topological()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        return f"SearchSpace({self.to_dict()})"

    @property
    def names(self) -> list[str]:
        """Every hyperparameter, constants included, in the order given."""
        return list(self._names)

    @property
    def conditional(self) -> bool:
        """Whether any dimension is conditional."""
        return any(dimension.when for dimension in self.dimensions.values())

    def ordered(self) -> Iterator[tuple[str, Dimension]]:
        """The dimensions, every parent before its children."""
        return ((name, self.dimensions[name]) for name in self._order)

    def active(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether dimension ``name`` is active, given at least its parents in ``config``."""
        for parent, allowed in (self.dimensions[name].when or {}).items():
            if parent not in config or not any(_same(config[parent], value) for value in _as_list(allowed)):
                return False
        return True

    def complete(self, chosen: Mapping[str, Any]) -> Config:
        """The configuration for the values of dimensions: inactive ones left out, constants put in."""
        config = dict(self.constants)
        for name, _ in self.ordered():
            if name in chosen and self.active(name, config):
                config[name] = chosen[name]
        return {name: config[name] for name in self._names if name in config}

    def sample(self, rng: np.random.Generator) -> Config:
        """Draw one configuration: each active dimension on its own, parents first."""
        chosen: Config = dict(self.constants)
        for name, dimension in self.ordered():
            if self.active(name, chosen):
                chosen[name] = dimension.sample(rng)
        return self.complete(chosen)

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether ``config`` is complete and valid: exactly the active dimensions and the constants."""
        expected = {name for name in self.dimensions if self.active(name, config)} | self.constants.keys()
        return (
            config.keys() == expected
            and all(_same(config[name], value) for name, value in self.constants.items())
            and all(d.contains(config[name]) for name, d in self.dimensions.items() if name in config)
        )

    def grid(self) -> list[Config]:
        """Every configuration of the grid, the last dimension changing fastest.

        A configuration that differs only in inactive dimensions is counted once. Raises SpecError when a
        dimension has no finite list of values, or when there are more than a million configurations.
        """
        problems: list[Problem] = []
        partial: list[Config] = [dict(self.constants)]
        for name, dimension in self.ordered():
            try:
                values = dimension.values()
            except SpecError as error:
                problems += [problem.inside(name) for problem in error.problems]
                continue
            active = [self.active(name, config) for config in partial]
            _raise(_check_grid_size(len(partial) + sum(active) * (len(values) - 1)))
            partial = list(
                itertools.chain.from_iterable(
                    [{**config, name: value} for value in values] if is_active else [config]
                    for config, is_active in zip(partial, active, strict=True)
                )
            )
        _raise(problems)
        return [self.complete(config) for config in partial]

    def to_dict(self) -> dict[str, Any]:
        """The space as a sweep file writes it."""
        return {
            name: self.dimensions[name].to_dict() if name in self.dimensions else self.constants[name]
            for name in self._names
        }

    def _check_conditions(self, *, unread: set[str]) -> list[Problem]:
        problems = []
        for name, dimension in self.dimensions.items():
            for parent, allowed in (dimension.when or {}).items():
                where = f"{name}.when"
                if parent == name:
                    problems.append(Problem(where, f"'{name}' cannot depend on itself"))
                elif parent not in self._names:
                    hint = did_you_mean(parent, [n for n in self._names if n != name])
                    problems.append(Problem(where, f"unknown hyperparameter '{parent}'{hint}"))
                elif not _as_list(allowed):
                    problems.append(Problem(where, f"'{parent}' must be given at least one value, got []"))
                elif parent not in unread:
                    problems += [
                        Problem(where, f"'{parent}' can never be {_written(value)}; {self._can_be(parent)}")
                        for value in _as_list(allowed)
                        if not self._reachable(parent, value)
                    ]
        if not problems and (loop := self._loop()):
            problems.append(Problem("", f"conditions go round in a circle: {' -> '.join(loop)}"))
        return problems

    def _reachable(self, parent: str, value: Any) -> bool:
        if parent in self.constants:
            return _same(self.constants[parent], value)
        return self.dimensions[parent].contains(value)

    def _can_be(self, parent: str) -> str:
        match self.dimensions.get(parent):
            case Choice(choices=choices):
                return f"it is one of {', '.join(map(_written, choices))}"
            case Float(low=low, high=high, step=step) | Int(low=low, high=high, step=step):
                number = "a whole number" if isinstance(self.dimensions[parent], Int) else "a number"
                return f"it is {number} in [{low}, {high}]{f' by {step}' if step not in (None, 1) else ''}"
        return f"it is {_written(self.constants[parent])}"

    def _parents(self, name: str) -> list[str]:
        return [parent for parent in self.dimensions[name].when or {} if parent in self.dimensions]

    def _loop(self) -> list[str] | None:
        """A circle of conditions, each name before one of its parents; ``None`` when there is none."""
        for start in self.dimensions:
            child_of: dict[str, str] = {}
            frontier = [start]
            while frontier:
                child = frontier.pop()
                for parent in self._parents(child):
                    if parent == start:
                        path = [start, child]
                        while path[-1] != start:
                            path.append(child_of[path[-1]])
                        return path[::-1]
                    if parent not in child_of:
                        child_of[parent] = child
                        frontier.append(parent)
        return None

    def _topological(self) -> list[str]:
        ordered: list[str] = []
        waiting = list(self.dimensions)
        while waiting:
            ready = [name for name in waiting if all(parent in ordered for parent in self._parents(name))]
            ordered += ready
            waiting = [name for name in waiting if name not in ready]
        return ordered

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def build(value: Any) -> SearchSpace:
            if isinstance(value, SearchSpace):
                return value
            if not isinstance(value, Mapping):
                raise SpecError([Problem("", f"must be a mapping of hyperparameters, got {describe(value)}")])
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            build,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda space: space.to_dict()),
        )


_KINDS: dict[str, type[Dimension]] = {"float": Float, "int": Int, "choice": Choice}


def _parse(entry: Any) -> Any:
    """A dimension for the mapping of a sweep file; whatever is no such mapping is a constant."""
    if isinstance(entry, Dimension):
        return entry
    if isinstance(entry, Mapping):
        kinds = [kind for kind in _KINDS if kind in entry]
        if len(kinds) == 1:
            return _dimension(kinds[0], dict(entry))
        if len(kinds) > 1:
            raise SpecError(
                [Problem("", f"must say one of float, int and choice, got {' and '.join(kinds)}")]
            )
        options = {option.name for kind in _KINDS.values() for option in fields(kind)}
        unknown = next((key for key in entry if key not in options), None)
        if unknown is None:
            raise SpecError([Problem("", f"must say one of float, int and choice, got {dict(entry)}")])
        near = nearest(unknown, _KINDS)
        hint = f"did you mean '{near}'?" if near else "must say one of float, int and choice"
        raise SpecError([Problem("", f"unknown key '{unknown}'; {hint}")])
    if not is_json(entry):
        raise SpecError([Problem("", f"a constant must be a value that JSON can write, got {entry!r}")])
    return entry


def _dimension(kind: str, entry: dict[str, Any]) -> Dimension:
    cls = _KINDS[kind]
    make: Callable[..., Dimension] = cls
    body = entry.pop(kind)
    options = {option.name for option in fields(cls)} - {"low", "high", "choices"}
    problems = [
        Problem("", f"unknown key '{key}'{did_you_mean(key, [kind, *options])}")
        for key in entry
        if key not in options
    ]
    if not isinstance(body, (list, tuple)):
        need = "a list of values" if kind == "choice" else "[low, high]"
        problems.append(Problem(kind, f"must be {need}, got {describe(body)}"))
    elif kind != "choice" and len(body) != 2:
        problems.append(Problem(kind, f"must be [low, high], got {len(body)} values"))
    _raise(problems)
    return make(body, **entry) if kind == "choice" else make(*body, **entry)


def _check_range(dimension: Float | Int, *, whole: bool) -> list[Problem]:
    low, high, step, points = dimension.low, dimension.high, dimension.step, dimension.points
    problems = []
    for name, value in (("low", low), ("high", high), ("step", step)):
        if name == "step" and value is None:
            continue
        number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not number:
            problems.append(
                Problem("", f"{name} must be a {'whole ' if whole else ''}number, got {describe(value)}")
            )
        elif not math.isfinite(value):  # type: ignore[arg-type]
            problems.append(Problem("", f"{name} must be finite, got {value}"))
    if not isinstance(dimension.log, bool):
        problems.append(Problem("", f"log must be true or false, got {describe(dimension.log)}"))
    if points is not None and (isinstance(points, bool) or not isinstance(points, int) or points < 2):
        problems.append(Problem("", f"points must be a whole number, at least 2, got {describe(points)}"))
    elif points is not None and points > _MAX_GRID:
        problems.append(Problem("", f"points must be at most {_MAX_GRID}, got {points}"))
    if dimension.when is not None and not isinstance(dimension.when, Mapping):
        problems.append(
            Problem("", f"when must be a mapping of parents to values, got {describe(dimension.when)}")
        )
    if problems:
        return problems
    if not low < high:
        problems.append(Problem("", f"low must be below high, got low={low}, high={high}"))
    if dimension.log and low <= 0:
        problems.append(Problem("", f"low must be above 0 where log is true, got low={low}"))
    if step is not None and step <= 0:
        problems.append(Problem("", f"step must be above 0, got {step}"))
    elif step is not None and not (whole and step == 1):
        count = (high - low) / step
        if dimension.log:
            problems.append(Problem("", "log and step cannot be combined; leave one out"))
        elif high > low and not math.isclose(count, round(count), rel_tol=1e-9, abs_tol=1e-9):
            reach = low + math.floor(count) * step
            problems.append(
                Problem(
                    "",
                    f"high must be low plus a whole number of steps, got low={low}, high={high}, "
                    f"step={step}; the last step ends at {reach:g}",
                )
            )
    return problems


def _unwrapped(value: Any) -> Any:
    """A NumPy scalar as a Python value."""
    return value.item() if isinstance(value, np.generic) else value


def _unwrap_bounds(dimension: Float | Int) -> None:
    for name in ("low", "high", "step"):
        object.__setattr__(dimension, name, _unwrapped(getattr(dimension, name)))


def _check_grid_size(size: int) -> list[Problem]:
    if size <= _MAX_GRID:
        return []
    return [
        Problem("", f"the grid must have at most {_MAX_GRID} configurations, got {size}; give fewer 'points'")
    ]


def _raise(problems: list[Problem]) -> None:
    if problems:
        raise SpecError(problems)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _written(value: Any) -> str:
    """A value as a sweep file writes it."""
    return repr(value) if isinstance(value, str) else json.dumps(value, default=repr)


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON values: ``1`` and ``1.0`` are one number, ``True`` is none."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def is_json(value: Any) -> bool:
    """Whether JSON can write the value and give it back."""
    if isinstance(value, float):
        return math.isfinite(value)
    if value is None or isinstance(value, (bool, int, str)):
        return True
    if isinstance(value, (list, tuple)):
        return all(map(is_json, value))
    return isinstance(value, Mapping) and all(isinstance(k, str) and is_json(v) for k, v in value.items())
