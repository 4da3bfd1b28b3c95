"""Where a utility is highest in a mixed space: many points at first, then local search from the best."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc

from tuner.searchers._mixed_space import Array, Mask, MixedSpace

_SPREAD = 512  # points over the whole space; a power of 2, as Sobol's sequence wants it
_INCUMBENTS = 5  # of the best observations, around which more points are taken
_AROUND = 40  # points around each, half of them wide, half narrow
_WIDE, _NARROW = 0.2, 0.02
_STARTS = 8  # of local search
_ROUNDS = 30
_FEW = 16  # values, of which all are tried in turn; where there are more, the next few
_GRADIENT_STEPS = 60

# From this share of the space with the highest utility, any of it is taken, not what is near the best trials.
_PLATEAU = 0.1


class Utility(Protocol):
    """What is maximised."""

    inactive: float
    smooth: bool
    """Whether it has a gradient."""

    def values(self, columns: Array) -> Array:
        """The utility at ``columns`` (m x c)."""

    def gradient(self, point: Array) -> tuple[float, Array]:
        """Value and gradient at one point (c)."""


def maximise(
    utility: Utility,
    space: MixedSpace,
    *,
    incumbents: Array,
    taken: Collection[Any],
    rng: np.random.Generator,
    held: tuple[int, int] | None = None,
) -> tuple[Array, Mask] | None:
    """The best row found whose key is not ``taken``, and which of its parameters are active.

    ``incumbents``: the best rows so far, best first (without NaN). ``held``: a parameter and the category it
    must have. ``None``: no point that was looked at is allowed by the rules, has it and is not taken.
    """
    if held is not None:
        incumbents = incumbents.copy()
        incumbents[:, held[0]] = held[1]
    search = _Search(utility, space, rng, held)
    # Of equals the first is taken, and a forest has many: one near the best trials rather than anywhere.
    for row in incumbents[:_INCUMBENTS]:
        search.look(_around(space, row, rng))
    search.look_everywhere()
    search.climb()
    return search.best(taken)


class _Search:
    """All that has been looked at."""

    def __init__(
        self, utility: Utility, space: MixedSpace, rng: np.random.Generator, held: tuple[int, int] | None
    ) -> None:
        self._utility = utility
        self._space = space
        self._rng = rng
        self._held = held
        self._seen: list[tuple[Array, Mask, Array]] = []  # rows, their activity, their utility
        self._everywhere = np.empty(0, dtype=int)  # those of them that are spread over the space, and allowed

    def look_everywhere(self) -> None:
        """Look at points all over the space."""
        before = sum(len(values) for _, _, values in self._seen)
        values = self.look(_spread(self._space, self._rng))
        self._everywhere = before + np.flatnonzero(np.isfinite(values))

    def look(self, rows: Array) -> Array:
        """The utility of rows (n); minus infinity where the rules or what is held forbid one."""
        active, allowed = self._space.activity(rows)
        if self._held is not None:
            parameter, category = self._held
            allowed = allowed & active[:, parameter] & (rows[:, parameter] == category)
        values = np.full(len(rows), -np.inf)
        if allowed.any():
            columns = self._space.columns(rows[allowed], active[allowed], inactive=self._utility.inactive)
            values[allowed] = self._utility.values(columns)
        self._seen.append((rows, active, values))
        return values

    def _starts(self) -> list[tuple[Array, float]]:
        """The best row of each batch so far, then the best of all others; each with its utility."""
        firsts = [
            (rows[np.argmax(values)], float(values.max()))
            for rows, _, values in self._seen
            if np.isfinite(values).any()
        ]
        rows = np.concatenate([rows for rows, _, _ in self._seen])
        values = np.concatenate([values for _, _, values in self._seen])
        order = np.argsort(-values, kind="stable")
        others = [(rows[i], float(values[i])) for i in order[: 2 * _STARTS] if np.isfinite(values[i])]
        chosen: list[tuple[Array, float]] = []
        for row, value in [*firsts, *others]:
            if len(chosen) < _STARTS and not any(np.array_equal(row, other) for other, _ in chosen):
                chosen.append((row, value))
        return chosen

    def climb(self) -> None:
        """Go uphill from several starts, along the gradient, and from there while a neighbour leads on."""
        going = self._starts()
        for _ in range(_ROUNDS):
            going = [self._along_gradient(row, value) for row, value in going]
            batches = [
                _neighbours(self._space, row, self._rng, smooth=self._utility.smooth) for row, _ in going
            ]
            if not sum(map(len, batches)):
                return
            values = np.split(
                self.look(np.concatenate(batches)), np.cumsum([len(batch) for batch in batches])[:-1]
            )
            going = [
                (batch[np.argmax(near)], float(near.max()))
                for (_, value), batch, near in zip(going, batches, values, strict=True)
                if len(near) and near.max() > value
            ]

    def _along_gradient(self, row: Array, value: float) -> tuple[Array, float]:
        if not self._utility.smooth:
            return row, value
        [active], _ = self._space.activity(row[None])
        free = np.flatnonzero(active & _continuous(self._space))
        if not len(free):
            return row, value
        # Its columns move with the row as long as the same parameters are active.
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
        [new_value] = self.look(moved[None])
        return (moved, float(new_value)) if new_value > value else (row, value)

    def best(self, taken: Collection[Any]) -> tuple[Array, Mask] | None:
        rows = np.concatenate([rows for rows, _, _ in self._seen])
        active = np.concatenate([active for _, active, _ in self._seen])
        values = np.concatenate([values for _, _, values in self._seen])
        highest = values.max()
        order = np.argsort(-values, kind="stable")
        if len(self._everywhere) and (values[self._everywhere] >= highest).mean() >= _PLATEAU:
            # The utility does not tell a good part of the space apart.
            order = np.concatenate([self._everywhere[values[self._everywhere] >= highest], order])
        for i in order:
            if np.isfinite(values[i]) and self._space.key(rows[i], active[i]) not in taken:
                return rows[i], active[i]
        return None


def _continuous(space: MixedSpace) -> Mask:
    """Which parameters have too many values to try all."""
    many: Mask = (space.choices == 0) | (space.choices > _FEW)
    return many & ~space.categorical


def _spread(space: MixedSpace, rng: np.random.Generator) -> Array:
    sobol = qmc.Sobol(len(space), rng=rng)
    return space.from_cube(sobol.random(_SPREAD))


def _around(space: MixedSpace, row: Array, rng: np.random.Generator) -> Array:
    """The row, and rows that differ from it in some parameters: a few at least, all at most."""
    shape = (_AROUND, len(space))
    chances = rng.uniform(1 / len(space), 1, size=(_AROUND, 1))
    changes = rng.uniform(size=shape) < chances
    width = np.where(np.arange(_AROUND) % 2 == 0, _WIDE, _NARROW)[:, None]
    moved = np.clip(row + width * rng.normal(size=shape), 0.0, 1.0)
    drawn = space.from_cube(rng.uniform(size=shape))
    rows = np.where(changes, np.where(space.categorical, drawn, moved), row)
    return np.concatenate([row[None], space.snapped(rows)])


def _neighbours(space: MixedSpace, row: Array, rng: np.random.Generator, *, smooth: bool) -> Array:
    """Rows that differ in one parameter: its other values where they are few, else some near it."""
    rows = []
    for j in range(len(space)):
        if space.categorical[j]:
            values = np.arange(space.choices[j], dtype=float)
        elif 0 < space.choices[j] <= _FEW:
            values = (np.arange(space.choices[j]) + 0.5) / space.choices[j]
        elif smooth and space.choices[j] == 0:
            continue  # the gradient has seen to it
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
