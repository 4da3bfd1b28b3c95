"""The metrics of fitted rows, and scorers of scikit-learn or of the user."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer, get_scorer_names
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if

from trainables.configs import MetricName, did_you_mean
from trainables.sklearn.building import load

Array = NDArray[Any]


def score(
    name: MetricName, estimator: Any, features: Any, targets: Array, predicted: Array, weights: Array | None
) -> float:
    """Return a metric of rows. ``weights``: one per row; ``None``: all rows count the same."""
    given = {"sample_weight": weights}
    if name == "accuracy":
        return float(metrics.accuracy_score(targets, predicted, **given))
    if name == "balanced_accuracy":
        return float(metrics.balanced_accuracy_score(targets, predicted, **given))
    if name == "macro_f1":
        return float(metrics.f1_score(targets, predicted, average="macro", **given))
    if name == "log_loss":
        probabilities = estimator.predict_proba(features)
        return float(metrics.log_loss(targets, probabilities, labels=estimator.classes_, **given))
    if name == "roc_auc":
        return _roc_auc(estimator, features, targets, weights)
    if name == "rmse":
        return float(metrics.root_mean_squared_error(targets, predicted, **given))
    if name == "mae":
        return float(metrics.mean_absolute_error(targets, predicted, **given))
    return float(metrics.r2_score(targets, predicted, **given))


def scorers(named: Mapping[str, str]) -> dict[str, Any]:
    """Return name -> scorer for the setting ``scorers``: names of scikit-learn's scorers, or import paths.

    A scorer is called as ``scorer(estimator, X, y)``. Raises ValueError for any other object.
    """
    return {name: _scorer(path) for name, path in named.items()}


def _scorer(path: str) -> Any:
    if ":" not in path and not path.endswith(".py"):
        if path not in get_scorer_names():
            what = f"scorers: scikit-learn has no scorer '{path}'; {did_you_mean(path, get_scorer_names())}"
            raise ValueError(f"{what}, or an import path such as file.py:name")
        return get_scorer(path)
    found = load(path, where="scorers")
    if not callable(found):
        raise ValueError(f"scorers: '{path}' must be a scorer, got {type(found).__name__}")
    if inspect.isfunction(found) and "y_true" in inspect.signature(found).parameters:
        what = f"scorers: '{path}' takes y_true, and must be called as scorer(estimator, X, y)"
        raise ValueError(f"{what}; wrap it with sklearn.metrics.make_scorer")
    return found


def call_scorer(
    name: str, scorer: Any, model: Any, features: Any, targets: Array, weights: Array | None
) -> float:
    """Return the score of rows. Weights are passed to a scorer that takes them.

    Raises ValueError if the scorer returns no number.
    """
    given = {} if weights is None or not _takes_weights(scorer) else {"sample_weight": weights}
    found = scorer(model, features, targets, **given)
    if not isinstance(found, Real | np.generic):
        raise ValueError(f"scorers: '{name}' must return a number, got {type(found).__name__}")
    return float(found)


def _takes_weights(scorer: Any) -> bool:
    own = getattr(scorer, "_accept_sample_weight", None)  # the scorers of scikit-learn hide their parameters
    return bool(own()) if own is not None else "sample_weight" in inspect.signature(scorer).parameters


def _last_has(name: str) -> Any:
    return available_if(lambda model: hasattr(model.last, name))


class ScoredModel(BaseEstimator):
    """A fitted pipeline as a scorer gets it: its input is the rows, its classes are the original ones."""

    def __init__(self, head: Any, last: Any, class_values: Array) -> None:
        self.head = head
        self.last = last
        self.class_values = class_values

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.last)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def classes_(self) -> Array:
        """The original classes, in the order of the columns of ``predict_proba``."""
        return cast(Array, self.class_values[np.asarray(self.last.classes_)])

    def predict(self, rows: Any) -> Array:
        """Return predicted classes or values."""
        predicted = np.asarray(self.last.predict(self._through(rows))).reshape(len(rows))
        return self.class_values[predicted] if len(self.class_values) else predicted

    @_last_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, rows: Any) -> Array:
        """Return the probabilities of the classes."""
        return cast(Array, self.last.predict_proba(self._through(rows)))

    @_last_has("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, rows: Any) -> Array:
        """Return the decision function of the last step."""
        return cast(Array, self.last.decision_function(self._through(rows)))

    def _through(self, rows: Any) -> Any:
        return rows if self.head is None else self.head.transform(rows)


def _roc_auc(estimator: Any, features: Any, targets: Array, weights: Array | None) -> float:
    classes = cast(Array, estimator.classes_)
    if len(classes) == 2:
        if hasattr(estimator, "predict_proba"):
            scores = estimator.predict_proba(features)[:, 1]
        else:
            scores = estimator.decision_function(features)
        return float(metrics.roc_auc_score(targets, scores, sample_weight=weights))
    if hasattr(estimator, "predict_proba"):
        scores = estimator.predict_proba(features)
        multiclass = {"multi_class": "ovr", "average": "macro", "labels": classes}
        return float(metrics.roc_auc_score(targets, scores, sample_weight=weights, **multiclass))
    scores = estimator.decision_function(features)
    each: Sequence[float] = [
        metrics.roc_auc_score(targets == label, scores[:, i], sample_weight=weights)
        for i, label in enumerate(classes)
    ]
    return float(np.mean(each))
