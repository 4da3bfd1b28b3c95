"""Matern's kernel with smoothness 5/2, a length scale for each group of columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROOT_5 = math.sqrt(5)


def squares(one: Array, other: Array) -> Array:
    """Squared distances (n x m) of rows."""
    found: Array = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * one @ other.T
    return np.maximum(found, 0.0, out=found)


def matern(distances: Array) -> tuple[Any, Any]:
    """The kernel as a function of the squared distance, and its derivative by that."""
    scaled = _ROOT_5 * np.sqrt(distances)
    decay = np.exp(-scaled)
    slope = (1 + scaled) * decay
    kernel = slope + (5 / 3) * distances * decay
    slope *= -5 / 6
    return kernel, slope


def per_group(scaled: Array, pairs: Array) -> Array:
    """By column (c), the sum over pairs of ``pairs`` (n x n, symmetric) x the squared difference of the rows.

    Without n x n x c numbers. ``scaled``: the rows (n x c).
    """
    found: Array = 2 * (
        (scaled**2 * pairs.sum(axis=1)[:, None]).sum(axis=0) - (scaled * (pairs @ scaled)).sum(axis=0)
    )
    return found
