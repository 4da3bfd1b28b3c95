"""The dimensions of a search space: ``Float``, ``Int`` and ``Choice``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from tuner.errors import Problem, SpecError
from tuner.space.values import is_json, raise_any, same, unwrapped
from tuner.spec import describe

When = Mapping[str, Any]
"""Parent's name -> the value, or list of values, at which the child is active; all parents must agree."""


# Far above any grid that can be run; a typo in `points` is caught before a list of it is built.
MAX_GRID = 1_000_000

# The standard deviation of a neighbour's distance, as a share of the range: SMAC's (Hutter et al. 2011).
_STEP = 0.2

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

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        """Draw another value near ``value`` of this dimension; itself where there is no other."""
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
        raise_any(_check_range(self, whole=False))

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

    def neighbour(self, value: Any, rng: np.random.Generator) -> float:
        if self.step is not None:
            index = round((value - self.low) / self.step)
            return self._at(_another_index(index, self._steps + 1, rng))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        place = ((math.log(value) if self.log else value) - low) / (high - low)
        moved = low + _moved(place, rng) * (high - low)
        return self._clip(math.exp(moved) if self.log else moved)

    def values(self) -> list[float]:
        if self.points is not None:
            space = np.geomspace if self.log else np.linspace
            return [self._clip(float(value)) for value in space(self.low, self.high, self.points)]
        if self.step is not None:
            raise_any(check_grid_size(self._steps + 1))
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
        raise_any(_check_range(self, whole=True))

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

    def neighbour(self, value: Any, rng: np.random.Generator) -> int:
        if not self.log:
            count = (self.high - self.low) // self.step + 1
            return self.low + self.step * _another_index((value - self.low) // self.step, count, rng)
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        place = (math.log(value) - low) / (high - low)
        drawn = round(math.exp(low + _moved(place, rng) * (high - low)))
        return _other(int(value), min(max(drawn, self.low), self.high), self.low, self.high, rng)

    def values(self) -> list[int]:
        if self.points is None:
            raise_any(check_grid_size((self.high - self.low) // self.step + 1))
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
        object.__setattr__(self, "choices", tuple(unwrapped(choice) for choice in self.choices))
        problems = []
        if not self.choices:
            problems.append(Problem("", "a choice needs at least one value"))
        for index, value in enumerate(self.choices):
            if not is_json(value):
                problems.append(Problem("", f"a choice must be a value that JSON can write, got {value!r}"))
            if any(same(value, other) for other in self.choices[:index]):
                problems.append(Problem("", f"the value {value!r} stands twice among the choices"))
        raise_any(problems)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.choices[int(rng.integers(len(self.choices)))]

    def contains(self, value: Any) -> bool:
        return any(same(value, choice) for choice in self.choices)

    def index(self, value: Any) -> int:
        """The position of ``value`` among the choices, telling ``1`` from ``True``."""
        return next(index for index, choice in enumerate(self.choices) if same(value, choice))

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        others = [choice for choice in self.choices if not same(choice, value)]
        return others[int(rng.integers(len(others)))] if others else value

    def values(self) -> list[Any]:
        return list(self.choices)

    def extremes(self) -> list[Any]:
        return list(self.choices)

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"choice": list(self.choices)})


def _moved(place: float, rng: np.random.Generator) -> float:
    """A place in [0, 1] near ``place``, reflected at the ends."""
    moved = place + _STEP * rng.standard_normal()
    return float(1 - abs(1 - abs(moved) % 2))


def _another_index(index: int, count: int, rng: np.random.Generator) -> int:
    """Another of ``count`` places near ``index``."""
    drawn = min(int(_moved((index + 0.5) / count, rng) * count), count - 1)
    return _other(index, drawn, 0, count - 1, rng)


def _other(value: int, drawn: int, low: int, high: int, rng: np.random.Generator) -> int:
    """``drawn``; where that is ``value`` itself, one beside it in [low, high]."""
    if drawn != value:
        return drawn
    beside = [near for near in (value - 1, value + 1) if low <= near <= high]
    return beside[int(rng.integers(len(beside)))]


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
    elif points is not None and points > MAX_GRID:
        problems.append(Problem("", f"points must be at most {MAX_GRID}, got {points}"))
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


def _unwrap_bounds(dimension: Float | Int) -> None:
    for name in ("low", "high", "step"):
        object.__setattr__(dimension, name, unwrapped(getattr(dimension, name)))


def check_grid_size(size: int) -> list[Problem]:
    if size <= MAX_GRID:
        return []
    return [
        Problem("", f"the grid must have at most {MAX_GRID} configurations, got {size}; give fewer 'points'")
    ]
