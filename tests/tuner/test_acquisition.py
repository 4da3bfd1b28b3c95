"""Acquisition functions against SciPy's integrals, and their derivatives against finite differences."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.optimize import approx_fprime

from tuner.searchers._acquisition import (
    ACQUISITIONS,
    confidence_bound,
    expected_improvement,
    log_expected_improvement,
    log_probability_of_improvement,
)

CASES = [(0.0, 1.0, 0.0), (0.3, 0.5, -0.2), (-1.0, 2.0, 0.5), (2.0, 0.7, -1.0)]


@pytest.mark.parametrize(("mean", "deviation", "best"), CASES)
def test_expected_improvement_equals_its_integral(mean, deviation, best):
    def gain(value):
        return (best - value) * stats.norm.pdf(value, mean, deviation)

    expected, _ = integrate.quad(gain, mean - 12 * deviation, best)
    value, _, _ = expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("mean", "deviation", "best"), CASES)
def test_probability_of_improvement_equals_the_share_below_the_best(mean, deviation, best):
    value, _, _ = log_probability_of_improvement(np.array([mean]), np.array([deviation]), best)
    assert value == pytest.approx(stats.norm.logcdf(best, mean, deviation), rel=1e-12)


def test_the_confidence_bound_lies_two_deviations_below_the_mean():
    value, _, _ = confidence_bound(np.array([1.0]), np.array([0.5]), 0.0)
    assert stats.norm.cdf(-value, 1.0, 0.5) == pytest.approx(stats.norm.cdf(-2))


@pytest.mark.parametrize("u", [3.0, 0.0, -0.99, -1.01, -5.0, -24.9, -25.1, -300.0, -9.9e4, -1.1e5, -1e8])
def test_log_expected_improvement_is_exact_where_the_improvement_underflows(u):
    import mpmath

    with mpmath.workdps(60):
        x = mpmath.mpf(u)
        # phi(x) + x Phi(x) by Mills' ratio; the working precision includes the digits that cancel.
        below = mpmath.erfc(-x / mpmath.sqrt(2)) / 2
        h = mpmath.exp(-(x**2) / 2) / mpmath.sqrt(2 * mpmath.pi) + x * below
        expected = float(mpmath.log(h))
    value, _, _ = log_expected_improvement(np.array([-u]), np.array([1.0]), 0.0)
    assert value == pytest.approx(expected, rel=1e-9)


def test_log_expected_improvement_scales_down_to_tiny_deviations():
    small, _, _ = log_expected_improvement(np.array([1e-3]), np.array([1e-3]), 0.0)
    large, _, _ = log_expected_improvement(np.array([1.0]), np.array([1.0]), 0.0)
    assert small - large == pytest.approx(math.log(1e-3))


@pytest.mark.parametrize("name", ACQUISITIONS)
@pytest.mark.parametrize(("mean", "deviation", "best"), [*CASES, (6.0, 0.5, 0.0), (20.0, 0.5, 0.0)])
def test_derivatives_equal_finite_differences(name, mean, deviation, best):
    def value(at):
        return float(ACQUISITIONS[name](at[:1], at[1:], best)[0][0])

    _, by_mean, by_deviation = ACQUISITIONS[name](np.array([mean]), np.array([deviation]), best)
    differences = approx_fprime(np.array([mean, deviation]), value, 1e-7)
    assert [by_mean[0], by_deviation[0]] == pytest.approx(differences, rel=1e-4, abs=1e-6)
