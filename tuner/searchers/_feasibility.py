"""``Feasibility``: a model of the probability that a trial succeeds, learned from successes and failures."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from tuner.searchers._matern import Array, matern, per_group, squares

_LOG_ROOT_TAU = math.log(2 * math.pi) / 2

# Log-normal priors, as in ``GaussianProcess``, and lower bounds. A signal variance below 1 is lost in the
# probit's noise. With a length scale below 0.1, the model knows nothing between trials.
_LENGTH, _LENGTH_BOUNDS = (0.0, 1.0), (0.1, 200.0)
_SIGNAL, _SIGNAL_BOUNDS = (2.0, 1.0), (1.0, 400.0)

_OPTIMIZER_STEPS = 30
_MAX_ROWS = 150  # rows used to fit the parameters; more rows cost much and change them little
_NEWTON_STEPS = 30

# The required probability of success: 0.7 while at most 1/4 of the trials have failed, 0.95 from 1/3 on. A
# model often expects the best point beyond the border of the failing region. Expected improvement times
# probability of success then tries points beyond that border again and again: 40 of 60 trials failed.
_REQUIRED = (0.7, 0.95)
_FAILED_SHARES = (1 / 4, 1 / 3)

# The penalty for a lower probability. At half the required probability it is 240, more than logarithms of
# improvements differ.
_STEEPNESS = 500.0


class Feasibility:
    """Gaussian process classification with a probit likelihood and Laplace's approximation.

    See Rasmussen and Williams 2006, section 3.4. Algorithm numbers below refer to that book. Far from all
    trials, the probability of success is the share of trials that succeeded. ``groups`` is as in
    ``GaussianProcess``.
    """

    inactive = 0.5
    """The value that replaces an inactive number, as in ``GaussianProcess``."""

    def __init__(self, groups: NDArray[np.int_]) -> None:
        self._groups = groups
        self._count = int(groups.max()) + 1

    def fit(
        self, columns: Array, succeeded: NDArray[np.bool_], *, seed: np.random.Generator | int = 0
    ) -> Feasibility:
        """Fit the model to ``columns`` (n x c) and to whether each trial succeeded (n).

        The parameters are fitted to at most 150 rows; ``seed`` selects them.
        """
        signs = np.where(succeeded, 1.0, -1.0)
        subset = np.sort(np.random.default_rng(seed).permutation(len(signs))[:_MAX_ROWS])
        self._mean = self._prior_mean(signs)
        bounds = [
            *[(math.log(low), math.log(high)) for low, high in [_LENGTH_BOUNDS] * self._count],
            tuple(map(math.log, _SIGNAL_BOUNDS)),
        ]
        found = minimize(
            self._loss,
            np.array([*[math.log(0.5)] * self._count, _SIGNAL[0]]),
            args=(columns[subset], signs[subset], np.array([*[_LENGTH] * self._count, _SIGNAL])),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _OPTIMIZER_STEPS, "ftol": 1e-5, "gtol": 1e-3},
        )
        return self.fixed(columns, signs, found.x)

    def fixed(self, columns: Array, signs: Array, parameters: Array) -> Feasibility:
        """Fit the latent function with given parameters: the logarithms of length scales and signal variance.

        ``signs`` (n) is 1 for a trial that succeeded and -1 for one that failed.
        """
        self.parameters = parameters
        self.required = _required_probability(float(np.mean(signs < 0)))
        """The probability of success that a trial must have to be worth running."""
        self._mean = self._prior_mean(signs)
        self._signal = math.exp(parameters[-1])
        self._scales = np.exp(-parameters[self._groups])
        self._scaled = columns * self._scales
        kernel, _ = matern(squares(self._scaled, self._scaled))
        mode = _Mode(self._signal * kernel, signs, self._mean)
        self._weights = mode.slope
        self._projection = solve_triangular(mode.lower, np.diag(mode.root), lower=True, check_finite=False)
        return self

    def log_probability(self, columns: Array) -> Array:
        """Return the log-probability of success (m) at ``columns`` (m x c)."""
        kernel, _ = matern(squares(columns * self._scales, self._scaled))
        across = self._signal * kernel
        projected = across @ self._projection.T
        variance = np.maximum(self._signal - np.einsum("ij,ij->i", projected, projected), 0.0)
        mean = self._mean + across @ self._weights
        return np.asarray(log_ndtr(mean / np.sqrt(1 + variance)))

    def log_probability_with_gradient(self, point: Array) -> tuple[float, Array]:
        """Return the log-probability of success at one point (c), and its gradient (c)."""
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
        """Return what to add to a logarithmic utility (m) at ``columns`` (m x c).

        It is 0 where the probability of success is at least ``required``, and negative elsewhere.
        """
        shortfall = np.maximum(math.log(self.required) - self.log_probability(columns), 0.0)
        return np.asarray(-_STEEPNESS * shortfall**2)

    def penalty_with_gradient(self, point: Array) -> tuple[float, Array]:
        """Return the penalty at one point (c), and its gradient (c)."""
        log_probability, gradient = self.log_probability_with_gradient(point)
        shortfall = max(math.log(self.required) - log_probability, 0.0)
        return -_STEEPNESS * shortfall**2, 2 * _STEEPNESS * shortfall * gradient

    def _prior_mean(self, signs: Array) -> float:
        """Return the prior latent mean for the share of successes, after adding one trial to each class."""
        share = (np.sum(signs > 0) + 1) / (len(signs) + 2)
        return float(ndtri(share)) * math.sqrt(1 + math.exp(_SIGNAL[0]))

    def _loss(self, parameters: Array, columns: Array, signs: Array, priors: Array) -> tuple[float, Array]:
        """Return the negative log posterior of the parameters and its gradient (algorithm 5.1).

        Constant terms are left out.
        """
        scaled = columns * np.exp(-parameters[self._groups])
        signal = math.exp(parameters[-1])
        kernel, slope = matern(squares(scaled, scaled))
        matrix = signal * kernel
        mode = _Mode(matrix, signs, self._mean)
        precision = mode.root[:, None] * cho_solve((mode.lower, True), np.diag(mode.root), check_finite=False)
        product = precision @ matrix
        variances = np.diag(matrix) - np.einsum("ij,ij->j", matrix, product)
        shift = 0.5 * variances * mode.third
        shift = shift - product @ shift
        inner = np.outer(mode.slope, mode.slope) - precision
        inner += np.outer(shift, mode.slope) + np.outer(mode.slope, shift)
        deviations = (parameters - priors[:, 0]) / priors[:, 1]
        gradient = np.zeros_like(parameters)
        np.add.at(gradient, self._groups, per_group(scaled, signal * inner * slope))
        gradient[-1] = -0.5 * np.sum(inner * matrix)
        return 0.5 * float(deviations @ deviations) - mode.evidence, gradient + deviations / priors[:, 1]


def _required_probability(failed: float) -> float:
    """Return the required probability of success, given the share of trials that failed."""
    return float(np.interp(failed, _FAILED_SHARES, _REQUIRED))


class _Mode:
    """The mode of the posterior of the latent values (n), found by Newton's method (algorithm 3.1).

    - ``slope``, ``third``: first and third derivatives of the log likelihood at the mode
    - ``root``: square root of minus the second derivative
    - ``lower``: Cholesky factor of 1 + root K root
    - ``evidence``: approximate log marginal likelihood
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
    """Return f = log Phi(sign * latent), then f', -f'' and f'''."""
    u = signs * latent
    log_likelihood = log_ndtr(u)
    ratio = np.exp(-(u**2) / 2 - _LOG_ROOT_TAU - log_likelihood)
    curvature = np.maximum(ratio * (u + ratio), 1e-12)
    third = ratio * ((u + ratio) * (u + 2 * ratio) - 1)
    return log_likelihood, signs * ratio, curvature, signs * third
