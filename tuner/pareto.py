"""Compare rows of scores by several objectives: Pareto fronts and a ranking.

Scores are n x m, for n rows and m objectives, finite, and higher is better. Row a dominates row b if a is at
least as good in every objective and better in at least one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[Sequence[float]]


def front(scores: Scores) -> list[int]:
    """Return the positions of the non-dominated rows in ascending order. Equal rows are all included."""
    if not len(scores):
        return []
    table = np.asarray(scores, dtype=float)
    # Sort by the first objective, then by the next, best first. A row can be dominated by earlier rows only.
    # If any row dominates it, a row of the front does so too.
    found: list[int] = []
    best = np.empty_like(table)
    for position in np.lexsort(-table.T[::-1]):
        so_far = best[: len(found)]
        is_dominated = np.all(so_far >= table[position], axis=1) & np.any(so_far > table[position], axis=1)
        if not is_dominated.any():
            best[len(found)] = table[position]
            found.append(int(position))
    return sorted(found)


def fronts(scores: Scores) -> list[list[int]]:
    """Return the positions of each front in turn.

    The first front holds the non-dominated rows. Each later front holds the rows that are non-dominated
    without the earlier fronts.
    """
    table = np.asarray(scores, dtype=float)
    # [i, j]: whether i dominates j. The scores are finite, so "no worse, and not vice versa" means better.
    no_worse: NDArray[np.bool_] = np.all(table[:, None, :] >= table[None, :, :], axis=2)
    dominates = no_worse & ~no_worse.T
    dominators = dominates.sum(axis=0)  # per row: how many remaining rows dominate it
    remaining = np.ones(len(table), dtype=bool)
    found: list[list[int]] = []
    while remaining.any():
        members = np.flatnonzero(remaining & (dominators == 0))
        found.append([int(position) for position in members])
        remaining[members] = False
        dominators = dominators - dominates[members].sum(axis=0)
    return found


def ranking(scores: Scores) -> list[int]:
    """Return all positions, best first: by front, then by descending crowding distance.

    This is the order of NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017). Ties keep their original order.
    """
    if not len(scores):
        return []
    table = np.asarray(scores, dtype=float)
    order: list[int] = []
    for members in fronts(scores):
        distances = crowding(table[members])
        order += [members[i] for i in np.argsort(-distances, kind="stable")]
    return order


def crowding(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the crowding distance of each of a front's n rows (n x m scores).

    It is the normalised gap between a row's two neighbours, summed over objectives. It is infinite for rows
    at either end of an objective.
    """
    distances = np.zeros(len(scores))
    for column in scores.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        spread = ordered[-1] - ordered[0]
        distances[order[[0, -1]]] = np.inf
        if spread > 0:
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
    return distances
