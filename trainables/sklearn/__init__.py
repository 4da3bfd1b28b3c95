"""``Estimator``: estimators and pipelines of scikit-learn, and of its kind, as trainables."""

from trainables.sklearn.estimator import Estimator

__all__ = ["Estimator"]
