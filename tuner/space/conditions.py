"""``Condition``: the values of a parent at which a hyperparameter is active."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice, Ordinal
from tuner.space.dimension import Dimension
from tuner.space.values import as_list, is_number, same, written

_BOUNDS = ("min", "max")


@dataclass(frozen=True)
class Constant(Dimension):
    """A hyperparameter with a single value."""

    value: Any

    def contains(self, value: Any) -> bool:
        return same(value, self.value)

    def own(self, value: Any) -> Any:
        return self.value if self.contains(value) else value

    def values(self) -> list[Any]:
        return [self.value]

    def extremes(self) -> list[Any]:
        return [self.value]

    def in_words(self) -> str:
        return f"it is {written(self.value)}"


@dataclass(frozen=True)
class Condition:
    """Requires that ``parent`` is one of ``values``, or a number in [low, high], both inclusive."""

    parent: str
    values: tuple[Any, ...] = ()
    low: float = math.inf
    high: float = -math.inf

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Return whether ``config`` has the parent and its value is admitted."""
        return self.parent in config and self.admits(config[self.parent])

    def admits(self, value: Any) -> bool:
        """Return whether the condition holds at this value of the parent."""
        return any(same(value, each) for each in self.values) or (
            is_number(value) and self.low <= value <= self.high
        )

    def excludes(self, other: Condition) -> bool:
        """Return whether two conditions on the same parent can never hold together."""
        return (
            not any(map(other.admits, self.values))
            and not any(map(self.admits, other.values))
            and max(self.low, other.low) > min(self.high, other.high)
        )


def read(parent: str, allowed: Any, parents: Sequence[Dimension]) -> Condition:
    """Return the condition that ``when: {parent: allowed}`` means.

    ``parents`` holds the parent's dimensions: several if groups share its name. Raises SpecError for values
    that none of them can have.
    """
    if isinstance(allowed, Mapping) and not any(d.contains(allowed) for d in parents):
        return _range(parent, allowed, parents)
    values = as_list(allowed)
    if not values:
        raise SpecError([Problem("", f"'{parent}' needs at least one value, got []")])
    words = "; or ".join(dimension.in_words() for dimension in parents)
    problems = [
        Problem("", f"'{parent}' can never be {written(value)}; {words}")
        for value in values
        if not any(dimension.contains(value) for dimension in parents)
    ]
    if problems:
        raise SpecError(problems)
    return Condition(parent, tuple(values))


def _range(parent: str, bounds: Mapping[str, Any], parents: Sequence[Dimension]) -> Condition:
    if not bounds or set(bounds) - set(_BOUNDS):
        what = (
            f"a range of '{parent}' must be {{min: ..., max: ...}}, or one of the two, got {written(bounds)}"
        )
        raise SpecError([Problem("", what)])
    if len(parents) == 1 and isinstance(parents[0], Ordinal):
        return Condition(parent, _positions(parent, bounds, parents[0]))
    problems = [
        Problem("", f"{name} must be a number, got {written(bound)}")
        for name, bound in bounds.items()
        if not is_number(bound)
    ]
    if problems:
        raise SpecError(problems)
    condition = Condition(parent, (), bounds.get("min", -math.inf), bounds.get("max", math.inf))
    if not any(_reaches(condition, dimension) for dimension in parents):
        words = "; or ".join(dimension.in_words() for dimension in parents)
        raise SpecError([Problem("", f"'{parent}' can never be in {written(bounds)}; {words}")])
    return condition


def _positions(parent: str, bounds: Mapping[str, Any], ordinal: Ordinal) -> tuple[Any, ...]:
    """Return the values of an ordinal from ``min`` to ``max``, both inclusive."""
    problems = [
        Problem("", f"'{parent}' can never be {written(bound)}; {ordinal.in_words()}")
        for bound in bounds.values()
        if not ordinal.contains(bound)
    ]
    if problems:
        raise SpecError(problems)
    first = ordinal.index(bounds["min"]) if "min" in bounds else 0
    last = ordinal.index(bounds["max"]) if "max" in bounds else len(ordinal.choices) - 1
    if first > last:
        what = f"min must not come after max, got min={written(bounds['min'])}, max={written(bounds['max'])}"
        raise SpecError([Problem("", what)])
    return ordinal.choices[first : last + 1]


def _reaches(condition: Condition, dimension: Dimension) -> bool:
    match dimension:
        case Choice() | Ordinal() | Constant():
            return any(map(condition.admits, dimension.values()))
    ends = dimension.extremes()
    within = all(map(is_number, ends)) and max(condition.low, min(ends)) <= min(condition.high, max(ends))
    return within and condition.low <= condition.high


def exclusive(one: Collection[Condition], other: Collection[Condition]) -> bool:
    """Return whether two sets of conditions can never hold together."""
    return any(a.parent == b.parent and a.excludes(b) for a in one for b in other)
