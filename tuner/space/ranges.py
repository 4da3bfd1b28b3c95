"""``Float`` and ``Int``: numbers between two bounds, both inclusive."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuner.errors import Problem, SpecError
from tuner.space.dimension import MAX_GRID, Ordered, check_grid_size
from tuner.space.values import is_finite, raise_any
from tuner.spec import describe

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Float(Ordered):
    """A real number in [low, high], both inclusive.

    - ``log``: uniform on the logarithmic scale
    - ``step``: only low, low + step, ... high
    - ``points``: number of values in a grid, evenly spaced on the dimension's scale, both ends included.
      There are fewer if several round to the same step.
    """

    low: float
    high: float
    log: bool = field(default=False, kw_only=True)
    step: float | None = field(default=None, kw_only=True)
    points: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._unwrap()
        raise_any(_check_range(self, whole=False) or self._default_problems())

    def contains(self, value: Any) -> bool:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not self.low <= value <= self.high
        ):
            return False
        return self.step is None or math.isclose(value, self._step_at(round((value - self.low) / self.step)))

    @property
    def count(self) -> int | None:
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    def place(self, value: Any) -> float:
        if self.count is not None:
            return (self._index(value) + 0.5) / self.count
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(value) - low) / (high - low)
        return float(value - self.low) / (self.high - self.low)

    def at(self, place: float) -> float:
        if self.count is not None:
            return self._step_at(min(int(place * self.count), self.count - 1))
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return self._clip(math.exp(low + place * (high - low)))
        return self._clip(self.low + place * (self.high - self.low))

    def _adjacent(self, value: Any, rng: np.random.Generator) -> float:
        if self.count is None:
            return float(value)
        return self._step_at(adjacent(self._index(value), 0, self.count - 1, rng))

    def values(self) -> list[float]:
        if self.points is not None and self.count is not None:
            near = {round(index) for index in np.linspace(0, self.count - 1, self.points).tolist()}
            return [self._step_at(index) for index in sorted(near)]
        if self.points is not None:
            space = np.geomspace if self.log else np.linspace
            return [self._clip(float(value)) for value in space(self.low, self.high, self.points)]
        if self.count is not None:
            check_grid_size(self.count)
            return [self._step_at(index) for index in range(self.count)]
        raise SpecError([Problem("", "a grid needs 'points' (the number of values) or 'step'")])

    def extremes(self) -> list[float]:
        # Draws are floats, so these are floats too. The inner one is unlikely to be a whole number.
        inner = self._step_at(1) if self.step is not None else self.low + _GOLDEN * (self.high - self.low)
        return [float(self.low), float(self.high), inner]

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"float": [self.low, self.high]})

    def in_words(self) -> str:
        steps = "" if self.step is None else f" in steps of {self.step}"
        return f"it is a number in [{self.low}, {self.high}]{steps}"

    def _index(self, value: Any) -> int:
        assert self.step is not None
        index: int = round((value - self.low) / self.step)
        return index

    def _step_at(self, index: int) -> float:
        assert self.step is not None
        # Rounded as a user writes it in conditions and constraints: 0.3, not 3 * 0.1 = 0.30000000000000004.
        digits = 14 - math.floor(math.log10(max(abs(self.low), abs(self.high))))
        return self._clip(round(self.low + index * self.step, digits))

    def _clip(self, value: float) -> float:
        return min(max(value, float(self.low)), float(self.high))


@dataclass(frozen=True)
class Int(Ordered):
    """A whole number in [low, high], both inclusive.

    - ``log``: uniform on the logarithmic scale, then rounded
    - ``step``: only low, low + step, ... high
    - ``points``: number of values in a grid; ``None``: all of them. There are fewer if several round to the
      same value.
    """

    low: int
    high: int
    log: bool = field(default=False, kw_only=True)
    step: int = field(default=1, kw_only=True)
    points: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._unwrap()
        raise_any(_check_range(self, whole=True) or self._default_problems())

    def contains(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return bool(self.low <= value <= self.high and (value - self.low) % self.step == 0)

    @property
    def count(self) -> int:
        return (self.high - self.low) // self.step + 1

    def place(self, value: Any) -> float:
        if self.log:
            low, high = self._log_ends()
            return (math.log(value) - low) / (high - low)
        return (self._index(value) + 0.5) / self.count

    def at(self, place: float) -> int:
        if self.log:
            low, high = self._log_ends()
            return min(max(round(math.exp(low + place * (high - low))), self.low), self.high)
        return self._step_at(min(int(place * self.count), self.count - 1))

    def _adjacent(self, value: Any, rng: np.random.Generator) -> int:
        return self._step_at(adjacent(self._index(value), 0, self.count - 1, rng))

    def values(self) -> list[int]:
        if self.points is None:
            check_grid_size(self.count)
            return list(range(self.low, self.high + 1, self.step))
        space = np.geomspace if self.log else np.linspace
        drawn = space(float(self.low), float(self.high), self.points)
        near = (self._step_at(round((float(value) - self.low) / self.step)) for value in drawn)
        return sorted({min(max(value, self.low), self.high) for value in near})

    def extremes(self) -> list[int]:
        return [self.low, self.high]

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"int": [self.low, self.high]})

    def in_words(self) -> str:
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"it is a whole number in [{self.low}, {self.high}]{steps}"

    def _index(self, value: Any) -> int:
        return int((value - self.low) // self.step)

    def _step_at(self, index: int) -> int:
        return self.low + index * self.step

    def _log_ends(self) -> tuple[float, float]:
        # Half a unit on either side gives the ends their fair share of the scale.
        return math.log(self.low - 0.5), math.log(self.high + 0.5)


def adjacent(index: int, low: int, high: int, rng: np.random.Generator) -> int:
    """Return the integer before or after ``index`` in [low, high], at random; ``index`` if there is none."""
    near = [other for other in (index - 1, index + 1) if low <= other <= high]
    return near[int(rng.integers(len(near)))] if near else index


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
        elif not is_finite(value):  # type: ignore[arg-type]
            problems.append(Problem("", f"{name} must be finite, got {describe(value)}"))
    if not isinstance(dimension.log, bool):
        problems.append(Problem("", f"log must be true or false, got {describe(dimension.log)}"))
    if points is not None and (isinstance(points, bool) or not isinstance(points, int) or points < 2):
        problems.append(Problem("", f"points must be a whole number, at least 2, got {describe(points)}"))
    elif points is not None and points > MAX_GRID:
        problems.append(Problem("", f"points must be at most {MAX_GRID}, got {points}"))
    problems += dimension.problems()
    if problems:
        return problems
    if not is_finite(high - low):
        what = f"high must be less than 1.8e308 above low, got low={low}, high={high}"
        problems.append(Problem("", what))
    if not low < high:
        problems.append(Problem("", f"low must be below high, got low={low}, high={high}"))
    if dimension.log and low <= 0:
        problems.append(Problem("", f"low must be above 0 if log is true, got low={low}"))
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
