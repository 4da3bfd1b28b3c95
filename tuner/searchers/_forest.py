"""``Forest``: the surrogate of Bayesian optimisation for spaces with categories and conditions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

Array = NDArray[np.float64]

_TREES = 30
_FEATURES = 5 / 6  # share of the columns among which a tree chooses each split

# In units of standardised values. Without a minimum, a point where all trees agree would never be explored.
_MIN_VARIANCE = 1e-6


class Forest:
    """Random forest with a mean and a variance in each leaf (Hutter et al. 2011; 2014, section 4.3.2).

    The trees are extremely randomised (Geurts et al. 2006). Each tree sees all trials, draws its split points
    at random and grows until its leaves are pure. Trees therefore agree at trials and differ more the farther
    a point is from them.
    """

    inactive = -1.0
    """The value that replaces an inactive number.

    It is out of range, so one split separates it from all others.
    """

    noise = 0.0
    """The forest treats all differences between values as real."""

    def fit(self, columns: Array, values: Array, *, seed: int = 0) -> Forest:
        """Fit to ``columns`` (n x c) and standardised ``values`` (n).

        ``seed`` decides the features and the split points that each tree draws.
        """
        self._columns, self._values, self._seed = columns, values, seed
        # scikit-learn's own forest is slower: it checks data and settings again for each tree.
        as_float32 = np.ascontiguousarray(columns, dtype=np.float32)
        seeds = np.random.default_rng(seed).integers(2**31, size=_TREES)
        with config_context(skip_parameter_validation=True):
            self._trees = [
                ExtraTreeRegressor(max_features=_FEATURES, random_state=int(one))
                .fit(as_float32, values, check_input=False)
                .tree_
                for one in seeds
            ]
        self._means = [tree.value[:, 0, 0] for tree in self._trees]  # one array per tree, indexed by node
        self._variances = [tree.impurity for tree in self._trees]
        return self

    def expecting(self, columns: Array) -> Forest:
        """Return the forest refitted as if ``columns`` (m x c) had the values predicted for them."""
        mean, _ = self.predict(columns)
        return Forest().fit(
            np.concatenate([self._columns, columns]), np.concatenate([self._values, mean]), seed=self._seed
        )

    def predict(self, columns: Array) -> tuple[Array, Array]:
        """Return mean (m) and standard deviation (m) at ``columns`` (m x c).

        The deviation combines the differences between trees and the variance within their leaves.
        """
        as_float32 = np.ascontiguousarray(columns, dtype=np.float32)
        leaves = [tree.apply(as_float32) for tree in self._trees]
        means = np.array([of[leaf] for of, leaf in zip(self._means, leaves, strict=True)])
        variances = np.array([of[leaf] for of, leaf in zip(self._variances, leaves, strict=True)])
        mean, variance = over_trees(means, variances)
        return mean, np.sqrt(np.maximum(variance, _MIN_VARIANCE))


def over_trees(means: Array, variances: Array) -> tuple[Array, Array]:
    """Return the mean (m) and variance (m) of a random tree, given those of each tree (trees x m).

    By the law of total variance, the result is the mean of the variances plus the variance of the means.
    """
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)
