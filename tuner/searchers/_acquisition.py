"""Acquisition functions for minimisation: how promising is a point with this predicted mean and deviation?

Each function works element by element on arrays of one shape. It returns its value and the derivatives of
that value by mean and by standard deviation. Higher is better. Deviations must be positive.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr, ndtr

Array = NDArray[np.float64]
Valued = tuple[Array, Array, Array]
"""Value, its derivative by the mean, its derivative by the standard deviation."""

Acquisition = Literal["ei", "logei", "pi", "ucb"]

# Half the width of the confidence band of "ucb", in standard deviations. Its lower end is exceeded with
# probability 0.977.
_DEVIATIONS = 2.0

_LOG_ROOT_TAU = math.log(2 * math.pi) / 2

# Below this u, the asymptotic series of log(phi(u) + u Phi(u)) is exact to double precision.
_FAR = -1e5


def expected_improvement(mean: Array, deviation: Array, best: float) -> Valued:
    """Return the expected improvement over ``best`` (Mockus 1975; Jones et al. 1998)."""
    u = (best - mean) / deviation
    density, below = _density(u), ndtr(u)
    return deviation * (density + u * below), -below, density


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Valued:
    """Return log(expected improvement) without underflow (LogEI in Ament et al. 2023, arXiv:2310.20708)."""
    u = (best - mean) / deviation
    log_h = _log_h(u)
    by_mean = -np.exp(log_ndtr(u) - log_h) / deviation
    by_deviation = np.exp(-(u**2) / 2 - _LOG_ROOT_TAU - log_h) / deviation
    return np.log(deviation) + log_h, by_mean, by_deviation


def log_probability_of_improvement(mean: Array, deviation: Array, best: float) -> Valued:
    """Return log(probability of improvement) (Kushner 1964). The logarithm has the same maximiser."""
    u = (best - mean) / deviation
    value = log_ndtr(u)
    ratio = np.exp(-(u**2) / 2 - _LOG_ROOT_TAU - value)
    return value, -ratio / deviation, -ratio * u / deviation


def confidence_bound(mean: Array, deviation: Array, best: float) -> Valued:
    """Return minus the lower confidence bound at 2 standard deviations (GP-UCB, Srinivas et al. 2010).

    ``best`` is ignored.
    """
    return _DEVIATIONS * deviation - mean, -np.ones_like(mean), np.full_like(mean, _DEVIATIONS)


ACQUISITIONS: dict[Acquisition, Callable[[Any, Any, float], Valued]] = {
    "ei": expected_improvement,
    "logei": log_expected_improvement,
    "pi": log_probability_of_improvement,
    "ucb": confidence_bound,
}


def _density(u: Array) -> Array:
    density: Array = np.exp(-(u**2) / 2 - _LOG_ROOT_TAU)
    return density


def _log_h(u: Array) -> Array:
    """Return log(phi(u) + u Phi(u)), without cancellation for negative u."""
    u = np.asarray(u)
    found = np.empty_like(u, dtype=float)
    near = u > -1.0
    far = u < _FAR
    for where, log_h in ((near, _near), (far, _far), (~(near | far), _between)):
        if where.any():
            found[where] = log_h(u[where])
    return found


def _near(u: Array) -> Array:
    return np.asarray(np.log(_density(u) + u * ndtr(u)))


def _between(u: Array) -> Array:
    # phi + u Phi = phi (1 - |u| sqrt(pi/2) erfcx(|u|/sqrt(2))). The bracket tends to 1/u^2.
    bracket = 1 + u * math.sqrt(math.pi / 2) * erfcx(-u / math.sqrt(2))
    tiny = 1 / u**2
    series = tiny * (1 - 3 * tiny + 15 * tiny**2 - 105 * tiny**3)
    # The bracket loses digits as |u| grows. At |u| = 25, bracket and series both have a relative error of
    # 1e-9.
    return np.asarray(-(u**2) / 2 - _LOG_ROOT_TAU + np.log(np.where(u < -25, series, bracket)))


def _far(u: Array) -> Array:
    return np.asarray(-(u**2) / 2 - _LOG_ROOT_TAU - 2 * np.log(-u))
