"""``Feasibility``: how likely a trial is to succeed, learned from which trials succeeded and which failed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from tuner.searchers._matern import Array, matern, per_group, squares

_LOG_ROOT_TAU = math.log(2 * math.pi) / 2

# Log-normal priors, as in ``GaussianProcess``, and floors. A latent function that varies by less than 1 is
# lost in the noise of the probit. With a length scale below 0.1, nothing is known between trials.
_LENGTH, _LENGTH_BOUNDS = (0.0, 1.0), (0.1, 200.0)
_SIGNAL, _SIGNAL_BOUNDS = (2.0, 1.0), (1.0, 400.0)

_LARGEST_STEPS = 30
_MOST_ROWS = 150  # on which the parameters are fitted: beyond, they change little and cost much
_NEWTON_STEPS = 30

# The least probability of success with which a trial is worth a try: while at most a quarter of the trials
# have failed, and from a third on. Often a model expects the best beyond the border of what fails. Expected
# improvement times this probability then tries beyond it again and again: 40 of 60 trials failed.
_LEAST = (0.7, 0.95)
_SHARES = (1 / 4, 1 / 3)

# How fast less than that is given up: at half of it by 240, more than logarithms of improvements differ.
_STEEPNESS = 500.0


class Feasibility:
    """Gaussian process classification with a probit, by Laplace's approximation.

    As in Rasmussen and Williams 2006, section 3.4; the numbers below are of their algorithms.
    Far from all trials the probability of success is the share of those that succeeded. ``groups``: as for
    ``GaussianProcess``.
    """

    inactive = 0.5
    """As for ``GaussianProcess``."""

    def __init__(self, groups: NDArray[np.int_]) -> None:
        self._groups = groups
        self._count = int(groups.max()) + 1

    def fit(
        self, columns: Array, succeeded: NDArray[np.bool_], *, seed: np.random.Generator | int = 0
    ) -> Feasibility:
        """Fit to ``columns`` (n x c) and whether each trial succeeded (n). The seed chooses among many."""
        signs = np.where(succeeded, 1.0, -1.0)
        few = np.sort(np.random.default_rng(seed).permutation(len(signs))[:_MOST_ROWS])
        self._mean = self._far(signs)
        bounds = [
            *[(math.log(low), math.log(high)) for low, high in [_LENGTH_BOUNDS] * self._count],
            tuple(map(math.log, _SIGNAL_BOUNDS)),
        ]
        found = minimize(
            self._loss,
            np.array([*[math.log(0.5)] * self._count, _SIGNAL[0]]),
            args=(columns[few], signs[few], np.array([*[_LENGTH] * self._count, _SIGNAL])),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _LARGEST_STEPS, "ftol": 1e-5, "gtol": 1e-3},
        )
        return self.fixed(columns, signs, found.x)

    def fixed(self, columns: Array, signs: Array, parameters: Array) -> Feasibility:
        """With these logarithms of length scales and signal variance."""
        self.parameters = parameters
        self.least = _least(float(np.mean(signs < 0)))
        """The least probability of success with which a trial is worth a try."""
        self._mean = self._far(signs)
        self._signal = math.exp(parameters[-1])
        self._scales = np.exp(-parameters[self._groups])
        self._scaled = columns * self._scales
        kernel, _ = matern(squares(self._scaled, self._scaled))
        mode = _Mode(self._signal * kernel, signs, self._mean)
        self._weights = mode.slope
        self._projection = solve_triangular(mode.lower, np.diag(mode.root), lower=True, check_finite=False)
        return self

    def log_probability(self, columns: Array) -> Array:
        """The logarithm of the probability of success at ``columns`` (m x c)."""
        kernel, _ = matern(squares(columns * self._scales, self._scaled))
        across = self._signal * kernel
        projected = across @ self._projection.T
        variance = np.maximum(self._signal - np.einsum("ij,ij->i", projected, projected), 0.0)
        mean = self._mean + across @ self._weights
        return np.asarray(log_ndtr(mean / np.sqrt(1 + variance)))

    def log_probability_with_gradient(self, point: Array) -> tuple[float, Array]:
        """The same at one point (c), and its gradient (c) there."""
        differences = point * self._scales - self._scaled
        kernel, slope = matern(np.einsum("ij,ij->i", differences, differences))
        across = self._signal * kernel
        gradients = (2 * self._signal * slope)[:, None] * differences * self._scales
        projected = self._projection @ across
        solved = projected @ self._projection
        total = 1 + max(self._signal - float(projected @ projected), 0.0)
        mean = self._mean + float(across @ self._weights)
        u = mean / math.sqrt(total)
        value = float(log_ndtr(u))
        by_u = math.exp(-(u**2) / 2 - _LOG_ROOT_TAU - value)
        u_gradient = (self._weights @ gradients) / math.sqrt(total) + u * (solved @ gradients) / total
        return value, np.asarray(by_u * u_gradient)

    def penalty(self, columns: Array) -> Array:
        """What to add to a logarithmic utility at ``columns`` (m x c): 0 where success is likely enough."""
        short = np.maximum(math.log(self.least) - self.log_probability(columns), 0.0)
        return np.asarray(-_STEEPNESS * short**2)

    def penalty_with_gradient(self, point: Array) -> tuple[float, Array]:
        """The same at one point (c), and its gradient (c) there."""
        log_probability, gradient = self.log_probability_with_gradient(point)
        short = max(math.log(self.least) - log_probability, 0.0)
        return -_STEEPNESS * short**2, 2 * _STEEPNESS * short * gradient

    def _far(self, signs: Array) -> float:
        """The latent mean that stands for the share of trials that succeeded, one more of each kind."""
        share = (np.sum(signs > 0) + 1) / (len(signs) + 2)
        return float(ndtri(share)) * math.sqrt(1 + math.exp(_SIGNAL[0]))

    def _loss(self, parameters: Array, columns: Array, signs: Array, priors: Array) -> tuple[float, Array]:
        """Minus the logarithm of the parameters' posterior, up to a constant; its gradient (5.1)."""
        scaled = columns * np.exp(-parameters[self._groups])
        signal = math.exp(parameters[-1])
        kernel, slope = matern(squares(scaled, scaled))
        matrix = signal * kernel
        mode = _Mode(matrix, signs, self._mean)
        precision = mode.root[:, None] * cho_solve((mode.lower, True), np.diag(mode.root), check_finite=False)
        product = precision @ matrix
        variances = np.diag(matrix) - np.einsum("ij,ij->j", matrix, product)
        moved = 0.5 * variances * mode.third
        moved = moved - product @ moved
        inner = np.outer(mode.slope, mode.slope) - precision
        inner += np.outer(moved, mode.slope) + np.outer(mode.slope, moved)
        off = (parameters - priors[:, 0]) / priors[:, 1]
        gradient = np.zeros_like(parameters)
        np.add.at(gradient, self._groups, per_group(scaled, signal * inner * slope))
        gradient[-1] = -0.5 * np.sum(inner * matrix)
        return 0.5 * float(off @ off) - mode.evidence, gradient + off / priors[:, 1]


def _least(failed: float) -> float:
    """The least probability of success with which a trial is worth a try, by the share that failed."""
    return float(np.interp(failed, _SHARES, _LEAST))


class _Mode:
    """Where the posterior of the latent values (n) is highest, by Newton's method (3.1).

    ``slope``, ``third``: first and third derivatives of the log likelihood there; ``root``: the square root
    of minus the second; ``lower``: the Cholesky factor of 1 + root K root; ``evidence``: its logarithm.
    """

    def __init__(self, matrix: Array, signs: Array, mean: float) -> None:
        weights = np.zeros(len(signs))
        latent = np.full(len(signs), mean)
        objective = -math.inf
        for _ in range(_NEWTON_STEPS):
            log_likelihood, slope, curvature, third = _probit(signs, latent)
            self.root = np.sqrt(curvature)
            self.lower = cholesky(
                np.eye(len(signs)) + self.root[:, None] * matrix * self.root, lower=True, check_finite=False
            )
            self.slope, self.third = slope, third
            value = float(log_likelihood.sum() - 0.5 * weights @ (latent - mean))
            self.evidence = value - float(np.log(np.diag(self.lower)).sum())
            if value - objective < 1e-6:
                return
            objective = value
            target = curvature * (latent - mean) + slope
            weights = target - self.root * cho_solve(
                (self.lower, True), self.root * (matrix @ target), check_finite=False
            )
            latent = mean + matrix @ weights


def _probit(signs: Array, latent: Array) -> tuple[Array, Array, Array, Array]:
    """log of Phi(sign x latent), its first derivative, minus its second, its third."""
    u = signs * latent
    log_likelihood = log_ndtr(u)
    ratio = np.exp(-(u**2) / 2 - _LOG_ROOT_TAU - log_likelihood)
    curvature = np.maximum(ratio * (u + ratio), 1e-12)
    third = ratio * ((u + ratio) * (u + 2 * ratio) - 1)
    return log_likelihood, signs * ratio, curvature, signs * third
