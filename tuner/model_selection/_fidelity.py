"""``Fidelity``: what an iteration of a candidate is, and how much of the resource it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import Problem, SpecError

FOLDS = "folds"
SAMPLES = "n_samples"

_MOST_STEPS = 4
"""Largest number of resources, unless ``min_resources`` is given."""

_LEAST_GROWTH = 2
"""Smallest growth of the resource in the last iteration; a smaller one would tell too little."""

RowNumbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fidelity:
    """The resource of each iteration of a candidate."""

    name: str
    """``folds``, ``n_samples``, or a parameter of the estimator."""
    resources: Sequence[int]
    """The resource of each iteration, ascending."""
    orders: Sequence[RowNumbers] = field(default_factory=tuple)
    """For ``n_samples``: the training rows of each split, in the order in which they are added."""

    def rows(self, split: int, resource: int) -> RowNumbers:
        """Return the first ``resource`` training rows of a split, in their original order."""
        order = self.orders[split]
        return order if resource >= len(order) else np.sort(order[:resource])


def resources(least: int | None, most: int, *, factor: int, smallest: int, compares: bool) -> tuple[int, ...]:
    """Return the resources at which a candidate is evaluated: geometric, and at last ``most``.

    - ``least``: the first resource; ``None`` takes the largest one from which ``factor`` leads to ``most``.
    - ``smallest``: the lowest value for it.
    - ``compares``: whether a scheduler compares candidates; otherwise the result is ``most`` only.

    Raises SpecError if ``least`` exceeds ``most``.
    """
    if not compares:
        return (most,)
    if least is None:
        steps = 0
        while steps < _MOST_STEPS - 1 and most // factor ** (steps + 1) >= smallest:
            steps += 1
        return tuple(most // factor**step for step in range(steps, -1, -1))
    if not 1 <= least <= most:
        what = f"must be from 1 to max_resources ({most}), got {least}"
        raise SpecError([Problem("min_resources", what)])
    found = []
    while _LEAST_GROWTH * least <= most:
        found.append(least)
        least *= factor
    return (*found, most)


def orders(
    folds: Sequence[tuple[RowNumbers, RowNumbers]], y: Any, *, stratify: bool, seed: int
) -> tuple[RowNumbers, ...]:
    """Return the training rows of each split in random order.

    With ``stratify``, each prefix has about the class proportions of the whole.
    """
    found = []
    for split, (train, _) in enumerate(folds):
        rng = np.random.default_rng([seed, split])
        train = np.asarray(train)
        shuffled = train[rng.permutation(len(train))]
        if stratify:
            _, numbers = np.unique(np.asarray(y)[shuffled], return_inverse=True)
            places = np.empty(len(shuffled))
            for number in np.unique(numbers):
                rows = np.flatnonzero(numbers == number)
                places[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
            shuffled = shuffled[np.argsort(places, kind="stable")]
        found.append(shuffled)
    return tuple(found)
