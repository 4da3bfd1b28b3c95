"""Comparing by several objectives at once: who is dominated, and an order of all.

Scores are n x m, higher is better. One dominates another when it is nowhere worse and somewhere better.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = Sequence[Sequence[float]]


def front(scores: Scores) -> list[int]:
    """The positions of those that no other dominates, rising; equals are all among them."""
    return fronts(scores)[0] if len(scores) else []


def fronts(scores: Scores) -> list[list[int]]:
    """Front after front: those that nobody dominates, those that only they dominate, and so on."""
    table = np.asarray(scores, dtype=float)
    # [i, j]: whether i dominates j; finite values only, so that nowhere worse and other means better.
    no_worse: NDArray[np.bool_] = np.all(table[:, None, :] >= table[None, :, :], axis=2)
    dominates = no_worse & ~no_worse.T
    above = dominates.sum(axis=0)
    left = np.ones(len(table), dtype=bool)
    found: list[list[int]] = []
    while left.any():
        here = np.flatnonzero(left & (above == 0))
        found.append([int(position) for position in here])
        left[here] = False
        above = above - dominates[here].sum(axis=0)
    return found


def ranking(scores: Scores) -> list[int]:
    """All positions, best first: by front, and within one by crowding distance, the lonely ones first.

    (Deb et al. 2002, NSGA-II, doi:10.1109/4235.996017.) Of equals, the first comes first.
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
    """Of each of a front, the gaps between its neighbours, summed over objectives; infinite at the ends."""
    distances = np.zeros(len(scores))
    for column in scores.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        spread = ordered[-1] - ordered[0]
        distances[order[[0, -1]]] = np.inf
        if spread > 0:
            distances[order[1:-1]] += (ordered[2:] - ordered[:-2]) / spread
    return distances
