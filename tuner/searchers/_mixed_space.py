"""``MixedSpace``: Optuna's distributions as vectors, those that are inactive masked."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """``active``: a value for every parameter -> the names of those active; ``None``: no such configuration.

    ``deciding``: the names of the parameters on whose values alone this depends. ``meaning``: name -> what
    its values stand for, where several of them stand for the same.
    """

    active: Callable[[Mapping[str, Any]], Collection[str] | None]
    deciding: Collection[str]
    meaning: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)


class MixedSpace:
    """``d`` parameters as the columns of ``n x d`` arrays.

    A number lies in [0, 1], on its logarithmic scale where it has one; a category is its index. ``rules``
    say which parameters are active (``None``: always all).
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], rules: Rules | None = None) -> None:
        self.names = list(distributions)
        self._distributions = list(distributions.values())
        self._rules = rules
        self.choices = np.array([_choices(d) for d in self._distributions], dtype=int)
        """How many values each parameter can take; 0 for a real number."""
        self.categorical: Mask = np.array(
            [isinstance(d, CategoricalDistribution) for d in self._distributions], dtype=bool
        )
        self.groups = np.repeat(np.arange(len(self)), np.where(self.categorical, self.choices, 1))
        """The parameter of each column of ``columns``."""
        deciding = () if rules is None else rules.deciding
        self.deciding: Mask = np.array([name in deciding for name in self.names], dtype=bool)
        """The parameters on whose values alone it depends which are active."""

    def __len__(self) -> int:
        return len(self.names)

    def vector(self, params: Mapping[str, Any]) -> Array:
        """The values of ``params`` as a row of length d; NaN where there is none."""
        return np.array(
            [
                _to_unit(distribution, params[name]) if name in params else math.nan
                for name, distribution in zip(self.names, self._distributions, strict=True)
            ]
        )

    def params(self, row: Array) -> dict[str, Any]:
        """The nearest values to a row, whether active or not."""
        return {
            name: _from_unit(distribution, float(unit))
            for name, distribution, unit in zip(self.names, self._distributions, row, strict=True)
        }

    def from_cube(self, points: Array) -> Array:
        """Points of the unit cube (n x d) as rows, evenly over the values of each parameter."""
        rows = points.copy()
        counts = self.choices[self.categorical]
        rows[:, self.categorical] = np.minimum(np.floor(rows[:, self.categorical] * counts), counts - 1)
        return self.snapped(rows)

    def snapped(self, rows: Array) -> Array:
        """Each row with its whole numbers and steps at the nearest value that there is."""
        rows = rows.copy()
        for j, distribution in enumerate(self._distributions):
            if self.choices[j] and not self.categorical[j]:
                rows[:, j] = _snapped(distribution, rows[:, j])
        return rows

    def activity(self, rows: Array) -> tuple[Mask, Mask]:
        """Which parameters of each row are active (n x d), and which rows the rules allow (n)."""
        if self._rules is None or not len(rows):
            return np.ones(rows.shape, dtype=bool), np.ones(len(rows), dtype=bool)
        _, firsts, which = np.unique(rows[:, self.deciding], axis=0, return_index=True, return_inverse=True)
        found = [self._rules.active(self.params(rows[first])) for first in firsts]
        allowed = np.array([names is not None for names in found])
        active = np.array([[name in (names or ()) for name in self.names] for names in found])
        return active[which], allowed[which]

    def columns(self, rows: Array, active: Mask, *, inactive: float) -> Array:
        """The rows as a model takes them (n x c): categories one-hot, divided by the root of 2.

        So two different categories are 1 apart. An inactive number is ``inactive``, an inactive category 0.
        """
        filled = np.where(active, rows, inactive)
        blocks = []
        for j in range(len(self)):
            if self.categorical[j]:
                one_hot = filled[:, j, None] == np.arange(self.choices[j])
                blocks.append((one_hot & active[:, j, None]) / math.sqrt(2))
            else:
                blocks.append(filled[:, j, None])
        return np.concatenate(blocks, axis=1)

    def point(self, row: Array, active: Mask) -> dict[str, Any]:
        """The nearest values to a row, of what is active."""
        params = self.params(row)
        return {name: params[name] for name, there in zip(self.names, active, strict=True) if there}

    def key(self, row: Array, active: Mask) -> tuple[tuple[str, Any], ...]:
        """What tells two configurations apart: names of what is active, and what their values stand for."""
        meaning = {} if self._rules is None else self._rules.meaning
        return tuple(
            (name, meaning[name](value) if name in meaning else value)
            for name, value in self.point(row, active).items()
        )


# Where there are more values than this, one step is too small to matter, and NumPy may not hold their number.
_MOST_VALUES = 2**31


def _choices(distribution: BaseDistribution) -> int:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return len(choices)
        case IntDistribution(low=low, high=high, step=step):
            count = (high - low) // step + 1
        case FloatDistribution(low=low, high=high, step=float(step)):
            count = round((high - low) / step) + 1
        case FloatDistribution(low=low, high=high):
            return 1 if low == high else 0
        case _:
            raise ValueError(f"unknown distribution {distribution}")
    return count if count <= _MOST_VALUES else 0


def _edges(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """What 0 and 1 stand for, on the scale of the distribution, above ``low`` where that is not logarithmic.

    Half a step beyond the ends where it has steps.
    """
    margin = (distribution.step or 0) / 2
    if distribution.log:
        return math.log(distribution.low - margin), math.log(distribution.high + margin)
    # Whole numbers beyond 2**53 have differences that a float holds.
    return -margin, (distribution.high - distribution.low) + margin


def _to_unit(distribution: BaseDistribution, value: Any) -> float:
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.to_internal_repr(value))
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = _edges(distribution)
    if low == high:
        return 0.5
    return ((math.log(value) if distribution.log else value - distribution.low) - low) / (high - low)


def _from_unit(distribution: BaseDistribution, unit: float) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(unit)]
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = _edges(distribution)
    above = low + (high - low) * unit
    if distribution.log:
        above = math.exp(above) - distribution.low
    if distribution.step is not None:
        above = distribution.step * round(above / distribution.step)
    value = min(max(distribution.low + above, distribution.low), distribution.high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _snapped(distribution: BaseDistribution, units: Array) -> Array:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = _edges(distribution)
    if distribution.step is None or low == high:
        return np.full_like(units, 0.5)
    above = low + (high - low) * units
    if distribution.log:
        above = np.exp(above) - distribution.low
    # Halves to even, as in _from_unit.
    above = distribution.step * np.round(above / distribution.step)
    above = np.clip(above, 0, distribution.high - distribution.low)
    scaled = np.log(distribution.low + above) if distribution.log else above
    snapped: Array = (scaled - low) / (high - low)
    return snapped


def stacked(rows: Sequence[Array], width: int) -> Array:
    """Rows as an ``n x width`` array, also where there are none."""
    return np.array(rows, dtype=float).reshape(len(rows), width)
