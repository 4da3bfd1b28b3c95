"""``TunerSearchCV``: a hyperparameter search with scikit-learn's interface."""

from tuner.model_selection._search import TunerSearchCV

__all__ = ["TunerSearchCV"]
