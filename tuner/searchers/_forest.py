"""``Forest``: the surrogate of Bayesian optimisation for spaces of categories and conditions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

Array = NDArray[np.float64]

_TREES = 30
_FEATURES = 5 / 6

# Of standardised values. Without a least deviation, no place is worth a look where all trees agree.
_SMALLEST_VARIANCE = 1e-6


class Forest:
    """Random forest with means and variances in its leaves (Hutter et al. 2011; 2014, section 4.3.2).

    Its trees are extremely randomised (Geurts et al. 2006): each sees all trials, draws its split points
    between them and grows until its leaves are pure, so that trees agree where there are trials and differ
    the more the farther a place is from them.
    """

    inactive = -1.0
    """In place of an inactive number; out of its range, so that one split tells it from all of its values."""

    noise = 0.0
    """It takes all differences of values for true."""

    def fit(self, columns: Array, values: Array, *, seed: int = 0) -> Forest:
        """Fit to ``columns`` (n x c) and standardised ``values`` (n); both random parts by the seed."""
        self._columns, self._values, self._seed = columns, values, seed
        # scikit-learn's own forest takes longer: it checks data and settings again for each tree.
        as_trees_take_it = np.ascontiguousarray(columns, dtype=np.float32)
        seeds = np.random.default_rng(seed).integers(2**31, size=_TREES)
        with config_context(skip_parameter_validation=True):
            self._trees = [
                ExtraTreeRegressor(max_features=_FEATURES, random_state=int(one))
                .fit(as_trees_take_it, values, check_input=False)
                .tree_
                for one in seeds
            ]
        self._means = [tree.value[:, 0, 0] for tree in self._trees]  # by node
        self._variances = [tree.impurity for tree in self._trees]
        return self

    def expecting(self, columns: Array) -> Forest:
        """The forest after ``columns`` (m x c) turn out as predicted."""
        mean, _ = self.predict(columns)
        return Forest().fit(
            np.concatenate([self._columns, columns]), np.concatenate([self._values, mean]), seed=self._seed
        )

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at ``columns`` (m x c): over the trees, and within their leaves."""
        as_trees_take_it = np.ascontiguousarray(columns, dtype=np.float32)
        leaves = [tree.apply(as_trees_take_it) for tree in self._trees]
        means = np.array([of[leaf] for of, leaf in zip(self._means, leaves, strict=True)])
        variances = np.array([of[leaf] for of, leaf in zip(self._variances, leaves, strict=True)])
        mean, variance = over_trees(means, variances)
        return mean, np.sqrt(np.maximum(variance, _SMALLEST_VARIANCE))


def over_trees(means: Array, variances: Array) -> tuple[Array, Array]:
    """Mean and variance (m) of a tree taken at random, given those of each (trees x m).

    By the law of total variance: the mean of the variances plus the variance of the means.
    """
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
