"""Maximise a utility over a mixed space: evaluate many points, then search locally from the best ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc

from tuner.searchers._mixed_space import Array, Mask, MixedSpace

_SPREAD = 512  # points over the whole space; Sobol sequences need a power of 2
_CENTRES = 5  # best observations around which more points are evaluated
_AROUND = 40  # points around each centre, half with wide and half with narrow changes
_WIDE, _NARROW = 0.2, 0.02
_STARTS = 8  # starting points of local search
_ROUNDS = 30
_MAX_LISTED = 16  # local search tries all values of a parameter that has at most 16, and neighbours otherwise
_GRADIENT_STEPS = 60

# If this share of the spread points has the highest utility, one such point is taken, not one near the best
# trials.
_PLATEAU = 0.1


class Utility(Protocol):
    """The function to maximise."""

    inactive: float
    """The value that replaces an inactive number in ``columns``."""
    smooth: bool
    """Whether ``gradient`` is available."""

    def values(self, columns: Array) -> Array:
        """Return the utility (m) at ``columns`` (m x c)."""

    def gradient(self, point: Array) -> tuple[float, Array]:
        """Return value and gradient (c) at one point (c)."""


def maximise(
    utility: Utility,
    space: MixedSpace,
    *,
    incumbents: Array,
    taken: Collection[Any],
    rng: np.random.Generator,
    held: tuple[int, int] | None = None,
) -> tuple[Array, Mask] | None:
    """Return the best row found whose key is not in ``taken``, and the mask of its active parameters.

    Return ``None`` if no evaluated point satisfies the rules, ``held`` and ``taken``.

    - ``incumbents``: the best rows so far (n x d), best first, without NaN
    - ``held``: a parameter's index and the category that it must have
    """
    if held is not None:
        incumbents = incumbents.copy()
        incumbents[:, held[0]] = held[1]
    search = _Search(utility, space, rng, held)
    # The first of equal points wins, and a forest has many equal points. Points near the best trials come
    # first.
    for row in incumbents[:_CENTRES]:
        search.evaluate(_around(space, row, rng))
    search.evaluate_spread()
    search.climb()
    return search.best(taken)


class _Search:
    """The points evaluated so far, with their utility."""

    def __init__(
        self, utility: Utility, space: MixedSpace, rng: np.random.Generator, held: tuple[int, int] | None
    ) -> None:
        self._utility = utility
        self._space = space
        self._rng = rng
        self._held = held
        self._evaluated: list[tuple[Array, Mask, Array]] = []  # rows, masks of active parameters, utilities
        self._spread_indices = np.empty(0, dtype=int)
        """Indices of the allowed spread points, counted over all batches."""

    def evaluate_spread(self) -> None:
        """Evaluate points spread over the whole space."""
        before = sum(len(values) for _, _, values in self._evaluated)
        values = self.evaluate(_spread(self._space, self._rng))
        self._spread_indices = before + np.flatnonzero(np.isfinite(values))

    def evaluate(self, rows: Array) -> Array:
        """Return the utility of rows (n); minus infinity if the rules or ``held`` forbid a row."""
        active, allowed = self._space.activity(rows)
        if self._held is not None:
            parameter, category = self._held
            allowed = allowed & active[:, parameter] & (rows[:, parameter] == category)
        values = np.full(len(rows), -np.inf)
        if allowed.any():
            columns = self._space.columns(rows[allowed], active[allowed], inactive=self._utility.inactive)
            values[allowed] = self._utility.values(columns)
        self._evaluated.append((rows, active, values))
        return values

    def _starts(self) -> list[tuple[Array, float]]:
        """Return starting points and their utility: the best row of each batch, then the best of all rows."""
        firsts = [
            (rows[np.argmax(values)], float(values.max()))
            for rows, _, values in self._evaluated
            if np.isfinite(values).any()
        ]
        rows = np.concatenate([rows for rows, _, _ in self._evaluated])
        values = np.concatenate([values for _, _, values in self._evaluated])
        order = np.argsort(-values, kind="stable")
        others = [(rows[i], float(values[i])) for i in order[: 2 * _STARTS] if np.isfinite(values[i])]
        chosen: list[tuple[Array, float]] = []
        for row, value in [*firsts, *others]:
            if len(chosen) < _STARTS and not any(np.array_equal(row, other) for other, _ in chosen):
                chosen.append((row, value))
        return chosen

    def climb(self) -> None:
        """Improve several starting points, by gradient steps and then by moves to better neighbours."""
        current = self._starts()
        for _ in range(_ROUNDS):
            current = [self._along_gradient(row, value) for row, value in current]
            batches = [
                _neighbours(self._space, row, self._rng, smooth=self._utility.smooth) for row, _ in current
            ]
            if not sum(map(len, batches)):
                return
            values = np.split(
                self.evaluate(np.concatenate(batches)), np.cumsum([len(batch) for batch in batches])[:-1]
            )
            current = [
                (batch[np.argmax(near)], float(near.max()))
                for (_, value), batch, near in zip(current, batches, values, strict=True)
                if len(near) and near.max() > value
            ]

    def _along_gradient(self, row: Array, value: float) -> tuple[Array, float]:
        if not self._utility.smooth:
            return row, value
        [active], _ = self._space.activity(row[None])
        free = np.flatnonzero(active & _continuous(self._space))
        if not len(free):
            return row, value
        # A number's column equals its entry in the row while the same parameters are active.
        columns = self._space.columns(row[None], active[None], inactive=self._utility.inactive)[0]
        moving = np.flatnonzero(np.isin(self._space.groups, free))

        def loss(at: Array) -> tuple[float, Array]:
            columns[moving] = at
            here, gradient = self._utility.gradient(columns)
            return -here, -gradient[moving]

        found = minimize(
            loss,
            row[free],
            jac=True,
            method="L-BFGS-B",
            bounds=[(0.0, 1.0)] * len(free),
            options={"maxiter": _GRADIENT_STEPS, "ftol": 1e-8, "gtol": 1e-5},
        )
        moved = row.copy()
        moved[free] = found.x
        [moved] = self._space.snapped(moved[None])
        [new_value] = self.evaluate(moved[None])
        return (moved, float(new_value)) if new_value > value else (row, value)

    def best(self, taken: Collection[Any]) -> tuple[Array, Mask] | None:
        """Return the best row whose key is not in ``taken``, and its active parameters.

        ``None`` if there is none.
        """
        rows = np.concatenate([rows for rows, _, _ in self._evaluated])
        active = np.concatenate([active for _, active, _ in self._evaluated])
        values = np.concatenate([values for _, _, values in self._evaluated])
        highest = values.max()
        order = np.argsort(-values, kind="stable")
        if len(self._spread_indices) and (values[self._spread_indices] >= highest).mean() >= _PLATEAU:
            # The utility is equal over a large part of the space.
            order = np.concatenate([self._spread_indices[values[self._spread_indices] >= highest], order])
        for i in order:
            if np.isfinite(values[i]) and self._space.key(rows[i], active[i]) not in taken:
                return rows[i], active[i]
        return None


def _continuous(space: MixedSpace) -> Mask:
    """Return a mask (d) of the numbers that have too many values to list."""
    many: Mask = (space.choices == 0) | (space.choices > _MAX_LISTED)
    return many & ~space.categorical


def _spread(space: MixedSpace, rng: np.random.Generator) -> Array:
    sobol = qmc.Sobol(len(space), rng=rng)
    return space.from_cube(sobol.random(_SPREAD))


def _around(space: MixedSpace, row: Array, rng: np.random.Generator) -> Array:
    """Return ``row`` and random variations of it.

    The expected number of changed parameters varies from 1 to d.
    """
    shape = (_AROUND, len(space))
    chances = rng.uniform(1 / len(space), 1, size=(_AROUND, 1))
    changes = rng.uniform(size=shape) < chances
    width = np.where(np.arange(_AROUND) % 2 == 0, _WIDE, _NARROW)[:, None]
    moved = np.clip(row + width * rng.normal(size=shape), 0.0, 1.0)
    drawn = space.from_cube(rng.uniform(size=shape))
    rows = np.where(changes, np.where(space.categorical, drawn, moved), row)
    return np.concatenate([row[None], space.snapped(rows)])


def _neighbours(space: MixedSpace, row: Array, rng: np.random.Generator, *, smooth: bool) -> Array:
    """Return rows that differ from ``row`` in one parameter: all its other values, or some nearby ones."""
    rows = []
    for j in range(len(space)):
        if space.categorical[j]:
            values = np.arange(space.choices[j], dtype=float)
        elif 0 < space.choices[j] <= _MAX_LISTED:
            values = (np.arange(space.choices[j]) + 0.5) / space.choices[j]
        elif smooth and space.choices[j] == 0:
            continue  # the gradient steps have moved it
        elif smooth:
            values = row[j] + np.array([-1.0, 1.0]) / space.choices[j]
        else:
            values = row[j] + np.concatenate([_WIDE * rng.normal(size=3), _NARROW * rng.normal(size=3)])
        for value in values:
            neighbour = row.copy()
            neighbour[j] = value if space.categorical[j] else min(max(value, 0.0), 1.0)
            rows.append(neighbour)
    if not rows:
        return np.empty((0, len(space)))
    snapped = space.snapped(np.array(rows))
    differs: Mask = (snapped != row).any(axis=1)
    return np.asarray(snapped[differs])
