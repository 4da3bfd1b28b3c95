"""``Estimator``: estimators and pipelines with scikit-learn's interface, as trainables."""

from trainables.sklearn.estimator import Estimator

__all__ = ["Estimator"]
