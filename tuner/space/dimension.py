"""``Dimension``, the base of all dimensions, and ``Ordered``, for those whose values lie on a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from tuner.errors import Problem, SpecError
from tuner.space.values import encoded, is_value, same, written
from tuner.spec import describe, did_you_mean, unwrapped

When = Mapping[str, Any]
"""Parent's name -> the value, list of values or range at which the child is active. All parents must agree.

A range is ``{min: ..., max: ...}``, both inclusive. Either may be left out.
"""

# Far more than any grid that can be run. A typo in `points` is caught before a huge list is built.
MAX_GRID = 1_000_000

# The standard deviation of a neighbour's distance, as a share of the range, as in SMAC (Hutter et al. 2011).
_NEIGHBOUR_DEVIATION = 0.2

# The standard deviation of a normal prior, as a share of the range. With the default in the middle, the range
# holds 99% of the untruncated distribution.
_PRIOR_DEVIATION = 0.2


class _Unset:
    """Marks a dimension without a default, because ``None`` may be a value."""

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # pickled by name, so each process has one


UNSET: Any = _Unset()


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A hyperparameter."""

    when: When | None = None
    """Makes it conditional on other hyperparameters."""
    default: Any = UNSET
    """A value believed to be good. A search starts with it."""

    def _unwrap(self) -> None:
        """Convert NumPy's values to plain ones."""
        for option in fields(self):
            if option.init:
                object.__setattr__(self, option.name, unwrapped(getattr(self, option.name), arrays=True))

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Return whether the dimension can take ``value``."""
        raise NotImplementedError

    def own(self, value: Any) -> Any:
        """Return the dimension's value that equals ``value`` as JSON, in its own type; else ``value``."""
        return value

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        """Draw another value near ``value``; ``value`` itself if there is no other."""
        raise NotImplementedError

    def values(self) -> list[Any]:
        """Return the grid values in order. Raises SpecError if there is no finite list."""
        raise NotImplementedError

    def extremes(self) -> list[Any]:
        """Return the values at which a trainable's limits and types are checked: the ends and one between."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the dimension as a sweep file writes it."""
        raise NotImplementedError

    def in_words(self) -> str:
        """Return which values it can take, for an error: ``it is a number in [0, 1]``."""
        return f"it is {written(self.to_dict())}"

    def problems(self) -> list[Problem]:
        """Return what is wrong with the options that all dimensions have."""
        problems: list[Problem] = []
        if self.when is not None and not isinstance(self.when, Mapping):
            what = f"when must be a mapping of parents to values, got {describe(self.when)}"
            what += _when_hint(self.when)
            problems.append(Problem("", what))
        return problems

    def _default_problems(self) -> list[Problem]:
        if self.default is UNSET or (is_value(self.default) and self.contains(self.default)):
            return []
        return [Problem("default", f"can never be {written(self.default)}; {self.in_words()}")]

    def _with_options(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return ``body`` and the options that differ from their defaults."""
        for option in fields(self):
            value = getattr(self, option.name)
            if option.kw_only and value != option.default:
                body[option.name] = encoded(value) if option.name == "default" else _plain(value)
        return body


def _when_hint(condition: Any) -> str:
    """Return the remedy for a condition in words, such as ``optimizer == sgd``; empty if it is unclear."""
    found = (
        re.fullmatch(r"\s*([\w.]+)\s*(==|=|in|is|:)\s*(.+?)\s*", condition)
        if isinstance(condition, str)
        else None
    )
    return f"; write when: {{{found[1]}: {found[3]}}}" if found is not None else ""


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, kw_only=True)
class Ordered(Dimension):
    """A dimension whose values have places on a line from 0 to 1."""

    prior: Literal["uniform", "normal"] = field(default="uniform", kw_only=True)
    """How values are drawn: uniformly over the line, or normally around ``default``.

    The normal prior has a standard deviation of 0.2 and is truncated at the ends of the line.
    """

    @property
    def count(self) -> int | None:
        """Return the number of values; ``None`` for a continuum."""
        raise NotImplementedError

    def place(self, value: Any) -> float:
        """Return the place of ``value`` in [0, 1].

        For finitely many values it is the middle of an interval.
        """
        raise NotImplementedError

    def at(self, place: float) -> Any:
        """Return the value nearest to a place in [0, 1]."""
        raise NotImplementedError

    def quantile(self, share: float) -> Any:
        """Return the value at the quantile ``share``, in [0, 1], of the prior."""
        if self.prior == "uniform":
            return self.at(share)
        normal, low, high = self._normal()
        within = low + share * (high - low)
        return self.at(min(max(normal.inv_cdf(min(max(within, 1e-16), 1 - 1e-16)), 0.0), 1.0))

    def share(self, value: Any) -> float:
        """Return the inverse of ``quantile``."""
        place = self.place(value)
        if self.prior == "uniform":
            return place
        normal, low, high = self._normal()
        return min(max((normal.cdf(place) - low) / (high - low), 0.0), 1.0)

    def _normal(self) -> tuple[NormalDist, float, float]:
        """Return the untruncated distribution of places, and its cumulative shares at 0 and at 1."""
        normal = NormalDist(self.place(self.default), _PRIOR_DEVIATION)
        return normal, normal.cdf(0.0), normal.cdf(1.0)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.quantile(rng.random())

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        # Places beyond the ends of the line are reflected.
        moved = abs(self.place(value) + _NEIGHBOUR_DEVIATION * rng.standard_normal()) % 2
        drawn = self.at(min(moved, 2 - moved))
        return self._adjacent(value, rng) if same(drawn, value) else drawn

    def _adjacent(self, value: Any, rng: np.random.Generator) -> Any:
        """Return the value before or after ``value``; on a continuum, ``value`` itself."""
        raise NotImplementedError

    def problems(self) -> list[Problem]:
        problems = super().problems()
        if self.prior not in ("uniform", "normal"):
            hint = did_you_mean(self.prior, ("uniform", "normal"))
            problems.append(Problem("prior", f"unknown value {self.prior!r}{hint}"))
        elif self.prior == "normal" and self.default is UNSET:
            problems.append(Problem("default", "must be set, because a normal prior is centred on it"))
        return problems


def check_grid_size(size: int) -> None:
    """Raise SpecError when a grid has too many configurations."""
    if size > MAX_GRID:
        what = f"the grid must have at most {MAX_GRID} configurations, got {size}; give fewer 'points'"
        raise SpecError([Problem("", what)])
