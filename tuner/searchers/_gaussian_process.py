"""``GaussianProcess``: the smooth surrogate of Bayesian optimisation.

It differs from scikit-learn's in three ways. Priors on the kernel's parameters keep a dozen observations in
ten dimensions from being overfitted. The prediction has a gradient. The likelihood needs no n x n x d array.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from tuner.searchers._matern import Array, matern, per_group, squares

# Log-normal priors: mean and standard deviation of the logarithm. A number's range is [0, 1], which sets the
# scale of the length scales. The prior of the noise is wide, because there may be none. Two alternatives were
# worse on Branin and Hartmann. Length scales that grow with the root of the dimension (Hvarfner et al. 2024)
# lose half of the gain over random search. Noise centred at 1% loses the last digits.
_LENGTH = (0.0, 1.0)
_SIGNAL = (0.0, 1.0)
_NOISE = (-7.0, 3.0)

# Bounds of the variances (of standardised values) and of the length scales. With less noise, the matrix would
# be numerically singular.
_NOISE_BOUNDS = (1e-6, 1.0)
_SIGNAL_BOUNDS = (0.05, 20.0)
_LENGTH_BOUNDS = (0.02, 200.0)

_OPTIMIZER_STEPS = 40


class GaussianProcess:
    """Gaussian process with mean 0, a Matern 5/2 kernel and noise (Rasmussen and Williams 2006).

    ``groups`` gives, for each of the c columns, the index of its length scale, from 0. The fitted parameters
    maximise the posterior under log-normal priors.
    """

    inactive = 0.5
    """The value that replaces an inactive number: the centre of its range, which is close to all values."""

    def __init__(self, groups: NDArray[np.int_]) -> None:
        self._groups = groups
        self._count = int(groups.max()) + 1

    def fit(self, columns: Array, values: Array, *, seed: int = 0) -> GaussianProcess:
        """Fit to ``columns`` (n x c) and standardised ``values`` (n).

        ``seed`` is ignored, because the fit draws nothing.
        """
        start = np.array([*[math.log(0.5)] * self._count, 0.0, math.log(1e-2)])
        bounds = [
            *[(math.log(low), math.log(high)) for low, high in [_LENGTH_BOUNDS] * self._count],
            tuple(map(math.log, _SIGNAL_BOUNDS)),
            tuple(map(math.log, _NOISE_BOUNDS)),
        ]
        priors = np.array([*[_LENGTH] * self._count, _SIGNAL, _NOISE])
        found = minimize(
            self._loss,
            start,
            args=(columns, values, priors),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _OPTIMIZER_STEPS, "ftol": 1e-5, "gtol": 1e-3},
        )
        return self.fixed(columns, values, found.x)

    def fixed(self, columns: Array, values: Array, parameters: Array) -> GaussianProcess:
        """Condition on the data, with ``parameters`` instead of fitted ones.

        They are the logarithms of the length scales, of the signal variance and of the noise variance.
        """
        self.parameters = parameters
        self._scales = np.exp(-parameters[self._groups])
        self._signal = math.exp(parameters[-2])
        self._noise = math.exp(parameters[-1])
        self._columns = columns
        self._values = values
        self._scaled = columns * self._scales
        kernel, _ = matern(squares(self._scaled, self._scaled))
        matrix = self._signal * kernel
        matrix[np.diag_indices_from(matrix)] += self._noise
        self._lower = cholesky(matrix, lower=True, check_finite=False)
        self._inverse_lower = solve_triangular(
            self._lower, np.eye(len(values)), lower=True, check_finite=False
        )
        self._weights = cho_solve((self._lower, True), values, check_finite=False)
        return self

    @property
    def noise(self) -> float:
        """Return the standard deviation of the noise; 0 if it is at most the prior's median."""
        return math.sqrt(max(self._noise - math.exp(_NOISE[0]), 0.0))

    def expecting(self, columns: Array) -> GaussianProcess:
        """Return the process as if ``columns`` (m x c) had their predicted values.

        The mean does not change. The variance near ``columns`` shrinks.
        """
        mean, _ = self.predict(columns)
        return GaussianProcess(self._groups).fixed(
            np.concatenate([self._columns, columns]), np.concatenate([self._values, mean]), self.parameters
        )

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Return mean (m) and standard deviation without noise (m) of the function at ``columns`` (m x c)."""
        kernel, _ = matern(squares(columns * self._scales, self._scaled))
        across = self._signal * kernel
        projected = across @ self._inverse_lower.T
        variance = self._signal - np.einsum("ij,ij->i", projected, projected)
        return across @ self._weights, np.sqrt(np.maximum(variance, self._smallest_variance))

    def predict_with_gradient(self, point: Array) -> tuple[float, float, Array, Array]:
        """Return mean and standard deviation at one point (c), then their gradients (c each)."""
        scaled = point * self._scales
        differences = scaled - self._scaled
        kernel, slope = matern(np.einsum("ij,ij->i", differences, differences))
        across = self._signal * kernel
        gradients = (2 * self._signal * slope)[:, None] * differences * self._scales
        projected = self._inverse_lower @ across
        variance = self._signal - float(projected @ projected)
        mean_gradient = self._weights @ gradients
        if variance <= self._smallest_variance:
            deviation = math.sqrt(self._smallest_variance)
            return float(across @ self._weights), deviation, mean_gradient, np.zeros_like(point)
        deviation = math.sqrt(variance)
        deviation_gradient = -((projected @ self._inverse_lower) @ gradients) / deviation
        return float(across @ self._weights), deviation, mean_gradient, deviation_gradient

    @property
    def _smallest_variance(self) -> float:
        return 1e-10 * self._signal

    def _loss(self, parameters: Array, columns: Array, values: Array, priors: Array) -> tuple[float, Array]:
        """Return the negative log posterior of the parameters, up to a constant, and its gradient."""
        n = len(values)
        scaled = columns * np.exp(-parameters[self._groups])
        signal, noise = np.exp(parameters[-2:])
        kernel, slope = matern(squares(scaled, scaled))
        matrix = signal * kernel
        matrix[np.diag_indices(n)] += noise
        lower = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve((lower, True), values, check_finite=False)
        inverse, _ = lapack.dpotri(lower, lower=True)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        inner = np.outer(weights, weights) - inverse
        deviations = (parameters - priors[:, 0]) / priors[:, 1]
        loss = 0.5 * values @ weights + np.log(np.diag(lower)).sum() + 0.5 * deviations @ deviations
        gradient = np.zeros_like(parameters)
        np.add.at(gradient, self._groups, per_group(scaled, signal * inner * slope))
        gradient[-2] = -0.5 * signal * np.sum(inner * kernel)
        gradient[-1] = -0.5 * noise * np.trace(inner)
        return float(loss), gradient + deviations / priors[:, 1]
