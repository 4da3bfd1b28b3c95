"""``MixedSpace``: values of Optuna's distributions as vectors, with a mask for inactive parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
    """Which parameters are active, and which configurations are allowed."""

    active: Callable[[Mapping[str, Any]], Collection[str] | None]
    """Map a value for every deciding parameter to the names of the active ones; ``None`` if forbidden."""
    deciding: Collection[str]
    """Names of the parameters whose values decide this."""
    meaning: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """Parameter -> function from a drawn value to its meaning, if several draws mean the same value."""


class MixedSpace:
    """A space of d parameters whose configurations are the rows of ``n x d`` arrays.

    A number is scaled to [0, 1], on its logarithmic scale if it has one. A category is its index. ``rules``
    say which parameters are active; ``None``: all of them.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], rules: Rules | None = None) -> None:
        self.names = list(distributions)
        self._distributions = list(distributions.values())
        self._rules = rules
        self.choices = np.array([_choices(d) for d in self._distributions], dtype=int)
        """Number of values of each parameter (d); 0 for a real number."""
        self.categorical: Mask = np.array(
            [isinstance(d, CategoricalDistribution) for d in self._distributions], dtype=bool
        )
        self.groups = np.repeat(np.arange(len(self)), np.where(self.categorical, self.choices, 1))
        """The parameter's index for each column of ``columns`` (c)."""
        deciding = () if rules is None else rules.deciding
        self.deciding: Mask = np.array([name in deciding for name in self.names], dtype=bool)
        """Mask (d) of the parameters whose values decide which parameters are active."""
        self._decisions: dict[bytes, tuple[Mask, bool]] = {}
        """Values of the deciding parameters of a row -> active parameters, and whether it is allowed."""

    def __len__(self) -> int:
        return len(self.names)

    def vector(self, params: Mapping[str, Any]) -> Array:
        """Return the values of ``params`` as a row (d), with NaN for missing parameters."""
        return np.array(
            [
                _to_unit(distribution, params[name]) if name in params else math.nan
                for name, distribution in zip(self.names, self._distributions, strict=True)
            ]
        )

    def params(self, row: Array) -> dict[str, Any]:
        """Return the nearest value of each parameter for a row (d), active or not."""
        return self._params(row, range(len(self)))

    def _params(self, row: Array, of: Iterable[int]) -> dict[str, Any]:
        return {self.names[j]: _from_unit(self._distributions[j], float(row[j])) for j in of}

    def from_cube(self, points: Array) -> Array:
        """Map points of the unit cube (n x d) to rows, evenly over the values of each parameter."""
        rows = points.copy()
        counts = self.choices[self.categorical]
        rows[:, self.categorical] = np.minimum(np.floor(rows[:, self.categorical] * counts), counts - 1)
        return self.snapped(rows)

    def snapped(self, rows: Array) -> Array:
        """Return the rows with integers and stepped numbers moved to their nearest possible value."""
        rows = rows.copy()
        for j, distribution in enumerate(self._distributions):
            if self.choices[j] and not self.categorical[j]:
                rows[:, j] = _snap(distribution, rows[:, j])
        return rows

    def activity(self, rows: Array) -> tuple[Mask, Mask]:
        """Return the mask of active parameters (n x d) and the mask of rows that the rules allow (n)."""
        if self._rules is None or not len(rows):
            return np.ones(rows.shape, dtype=bool), np.ones(len(rows), dtype=bool)
        _, firsts, which = np.unique(rows[:, self.deciding], axis=0, return_index=True, return_inverse=True)
        active, allowed = zip(*(self._decided(rows[first]) for first in firsts), strict=True)
        return np.array(active)[which], np.array(allowed)[which]

    def _decided(self, row: Array) -> tuple[Mask, bool]:
        """Return the mask of the active parameters of a row (d), and whether the rules allow it."""
        assert self._rules is not None
        known = row[self.deciding].tobytes()
        if known not in self._decisions:
            names = self._rules.active(self._params(row, np.flatnonzero(self.deciding)))
            mask = np.array([name in (names or ()) for name in self.names], dtype=bool)
            self._decisions[known] = mask, names is not None
        return self._decisions[known]

    def columns(self, rows: Array, active: Mask, *, inactive: float) -> Array:
        """Return the rows as a model's input (n x c), with categories one-hot encoded.

        One-hot entries are divided by the root of 2, so two different categories have distance 1. An inactive
        number becomes ``inactive``, and an inactive category becomes zeros.
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
        """Return the nearest values for a row, of its active parameters only."""
        return self._params(row, np.flatnonzero(active))

    def key(self, row: Array, active: Mask) -> tuple[tuple[str, Any], ...]:
        """Return a key that is equal for two rows if they mean the same configuration."""
        meaning = {} if self._rules is None else self._rules.meaning
        return tuple(
            (name, meaning[name](value) if name in meaning else value)
            for name, value in self.point(row, active).items()
        )


# With more values than this, one step is too small to matter, and NumPy may not hold the count.
_MAX_VALUES = 2**31


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
    return count if count <= _MAX_VALUES else 0


def _edges(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Return the values that 0 and 1 stand for; without a logarithmic scale, as offsets from ``low``.

    A stepped distribution reaches half a step beyond both ends.
    """
    margin = (distribution.step or 0) / 2
    if distribution.log:
        return math.log(distribution.low - margin), math.log(distribution.high + margin)
    # Floats cannot represent all integers beyond 2**53, but they represent their differences.
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


def _snap(distribution: BaseDistribution, units: Array) -> Array:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = _edges(distribution)
    if distribution.step is None or low == high:
        return np.full_like(units, 0.5)
    above = low + (high - low) * units
    if distribution.log:
        above = np.exp(above) - distribution.low
    # np.round rounds halves to even, as round() does in _from_unit.
    above = distribution.step * np.round(above / distribution.step)
    above = np.clip(above, 0, distribution.high - distribution.low)
    scaled = np.log(distribution.low + above) if distribution.log else above
    snapped: Array = (scaled - low) / (high - low)
    return snapped


def stacked(rows: Sequence[Array], width: int) -> Array:
    """Return the rows as an ``n x width`` array, even if there are none."""
    return np.array(rows, dtype=float).reshape(len(rows), width)
