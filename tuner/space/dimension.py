"""What a dimension of a search space is; ``Ordered``, the base of those whose values lie on a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from tuner.errors import Problem, SpecError
from tuner.space.values import encoded, is_value, same, written
from tuner.spec import describe, did_you_mean, unwrapped

When = Mapping[str, Any]
"""Parent's name -> the value, list of values or range at which the child is active; all parents must agree.

A range reads ``{min: ..., max: ...}``, both inclusive; either may be left out.
"""

# Far above any grid that can be run; a typo in `points` is caught before a list of it is built.
MAX_GRID = 1_000_000

# The standard deviation of a neighbour's distance, as a share of the range: SMAC's (Hutter et al. 2011).
_STEP = 0.2

# The standard deviation of a normal prior, as a share of the range: at a default in the middle, 99% of the
# untruncated distribution lies inside.
_SPREAD = 0.2


class _Unset:
    """The default of a dimension that has none; ``None`` may be a value."""

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        return "UNSET"  # there is one in every process


UNSET: Any = _Unset()


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One hyperparameter.

    ``when`` makes it conditional on others. ``default``: the value that is believed to be good; a search
    whose space has one begins with it.
    """

    when: When | None = None
    default: Any = UNSET

    def _unwrap(self) -> None:
        """Make plain values of NumPy's, wherever they were given."""
        for option in fields(self):
            if option.init:
                object.__setattr__(self, option.name, unwrapped(getattr(self, option.name), arrays=True))

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        raise NotImplementedError

    def contains(self, value: Any) -> bool:
        """Whether ``value`` is one that this dimension can take."""
        raise NotImplementedError

    def own(self, value: Any) -> Any:
        """The value of this dimension that equals ``value`` as JSON, in its own type; else ``value``."""
        return value

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

    def in_words(self) -> str:
        """What values it can take, for an error: ``it is a number in [0, 1]``."""
        return f"it is {written(self.to_dict())}"

    def problems(self) -> list[Problem]:
        """What is wrong with the options that all dimensions have."""
        problems: list[Problem] = []
        if self.when is not None and not isinstance(self.when, Mapping):
            what = f"when must be a mapping of parents to values, got {describe(self.when)}"
            problems.append(Problem("", what))
        return problems

    def _default_problems(self) -> list[Problem]:
        if self.default is UNSET or (is_value(self.default) and self.contains(self.default)):
            return []
        return [Problem("default", f"can never be {written(self.default)}; {self.in_words()}")]

    def _with_options(self, body: dict[str, Any]) -> dict[str, Any]:
        """``body`` and the options that are not at their defaults."""
        for option in fields(self):
            value = getattr(self, option.name)
            if option.kw_only and value != option.default:
                body[option.name] = encoded(value) if option.name == "default" else _plain(value)
        return body


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


@dataclass(frozen=True, kw_only=True)
class Ordered(Dimension):
    """A dimension whose values have places on a line from 0 to 1.

    ``prior``: how values are drawn: ``uniform`` over the line, or ``normal``, around ``default`` with a
    standard deviation of a fifth of it, cut off at its ends.
    """

    prior: Literal["uniform", "normal"] = field(default="uniform", kw_only=True)

    @property
    def count(self) -> int | None:
        """How many values there are; ``None``: a continuum."""
        raise NotImplementedError

    def place(self, value: Any) -> float:
        """Where ``value`` lies, in [0, 1]; of finitely many, in the middle of its share of the line."""
        raise NotImplementedError

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1]: of the inverse of ``place``, the nearest that there is."""
        raise NotImplementedError

    def quantile(self, share: float) -> Any:
        """The value below which ``share``, in [0, 1], of what is drawn lies."""
        if self.prior == "uniform":
            return self.at(share)
        normal, low, high = self._normal()
        within = low + share * (high - low)
        return self.at(min(max(normal.inv_cdf(min(max(within, 1e-16), 1 - 1e-16)), 0.0), 1.0))

    def share(self, value: Any) -> float:
        """The inverse of ``quantile``."""
        place = self.place(value)
        if self.prior == "uniform":
            return place
        normal, low, high = self._normal()
        return min(max((normal.cdf(place) - low) / (high - low), 0.0), 1.0)

    def _normal(self) -> tuple[NormalDist, float, float]:
        """The distribution of places before it is cut off, and its shares below 0 and below 1."""
        normal = NormalDist(self.place(self.default), _SPREAD)
        return normal, normal.cdf(0.0), normal.cdf(1.0)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.quantile(rng.random())

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        # Reflected at the ends of the line.
        moved = abs(self.place(value) + _STEP * rng.standard_normal()) % 2
        drawn = self.at(min(moved, 2 - moved))
        return self._beside(value, rng) if same(drawn, value) else drawn

    def _beside(self, value: Any, rng: np.random.Generator) -> Any:
        """The value before or after ``value``; of a continuum, itself."""
        raise NotImplementedError

    def problems(self) -> list[Problem]:
        problems = super().problems()
        if self.prior not in ("uniform", "normal"):
            hint = did_you_mean(self.prior, ("uniform", "normal"))
            problems.append(Problem("prior", f"unknown value {self.prior!r}{hint}"))
        elif self.prior == "normal" and self.default is UNSET:
            problems.append(Problem("default", "must be given: a normal prior lies around it"))
        return problems


def check_grid_size(size: int) -> None:
    """Raise SpecError when a grid has too many configurations."""
    if size > MAX_GRID:
        what = f"the grid must have at most {MAX_GRID} configurations, got {size}; give fewer 'points'"
        raise SpecError([Problem("", what)])
