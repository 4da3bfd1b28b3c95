"""Find categories that have had too few trials to be abandoned."""

from __future__ import annotations

import numpy as np

from tuner.searchers._mixed_space import Array, MixedSpace


def neglected(space: MixedSpace, rows: Array) -> list[tuple[int, int]]:
    """Return (parameter, category) pairs that need more trials, the most neglected first.

    Only parameters on which others depend count. A category with two bad trials may just have had bad values
    of the parameters that depend on it. ``rows`` holds all trials (n x d, NaN: inactive). If a parameter is
    active in m trials, each of its categories is due log2(m) trials. In a bandit, too, pulls of a bad arm
    grow with the logarithm (Lai & Robbins 1985).
    """
    found = []
    for parameter in np.flatnonzero(space.categorical & space.deciding):
        tried = rows[:, parameter][~np.isnan(rows[:, parameter])].astype(int)
        due = np.log2(max(len(tried), 1))
        counts = np.bincount(tried, minlength=space.choices[parameter])
        found += [
            (count / due, int(parameter), category) for category, count in enumerate(counts) if count < due
        ]
    return [(parameter, category) for _, parameter, category in sorted(found)]
