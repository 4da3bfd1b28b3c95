"""Which categories have had too few trials to be given up."""

from __future__ import annotations

import numpy as np

from tuner.searchers._mixed_space import Array, MixedSpace


def neglected(space: MixedSpace, rows: Array) -> list[tuple[int, int]]:
    """Parameters and categories that lack trials, the most first, of those that others depend on.

    Two bad trials of such a category may just have had bad values of what comes with it. ``rows``: all that
    was tried (n x d, NaN: inactive). Of the m trials in which a parameter is active, each of its categories
    is due log2(m): as in a bandit, what is due to a bad arm grows with the logarithm (Lai & Robbins 1985).
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
