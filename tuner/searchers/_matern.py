"""The Matern kernel with smoothness 5/2, as a function of scaled squared distances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROOT_5 = math.sqrt(5)


def squares(one: Array, other: Array) -> Array:
    """Return the squared distances (n x m) between the rows of ``one`` (n x c) and ``other`` (m x c)."""
    found: Array = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.maximum(found, 0.0, out=found)


def matern(distances: Array) -> tuple[Any, Any]:
    """Return the kernel at squared distances of any shape, and its derivative by the squared distance."""
    scaled = _ROOT_5 * np.sqrt(distances)
    decay = np.exp(-scaled)
    slope = (1 + scaled) * decay
    kernel = slope + (5 / 3) * distances * decay
    slope *= -5 / 6
    return kernel, slope


def per_group(scaled: Array, pairs: Array) -> Array:
    """Return, for each column, the sum of ``pairs`` times the squared differences of the rows (c).

    ``scaled`` holds the rows (n x c), ``pairs`` is a symmetric n x n matrix. No n x n x c array is built.
    """
    found: Array = 2 * (
        (scaled**2 * pairs.sum(axis=1)[:, None]).sum(axis=0) - (scaled * (pairs @ scaled)).sum(axis=0)
    )
    return found
