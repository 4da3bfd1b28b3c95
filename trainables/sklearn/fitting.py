"""``Fitting``: an estimator that is fitted step by step and scored. Refuses what an estimator cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from trainables.configs import EstimatorSettings, MetricName, Task, did_you_mean
from trainables.sklearn import boosting
from trainables.sklearn.building import NO_STEP, last_step
from trainables.sklearn.rows import FitRows
from trainables.sklearn.scoring import ScoredModel, call_scorer, score

Array = NDArray[Any]


class Fitting:
    """An estimator and its fit. The transformers of a pipeline are fitted once per set of rows."""

    def __init__(self, estimator: Any) -> None:
        whole = clone(estimator)
        self._head = whole[:-1] if isinstance(whole, Pipeline) and len(whole) > 1 else None
        self.last = last_step(whole)
        self._seen: tuple[Any, Array] | None = None
        self._transformed: Any = None

    def fit(self, rows: FitRows) -> None:
        """Fit to these rows, from scratch unless the last step has ``warm_start``."""
        self.last.fit(self._through_head(rows), rows.targets, **_weights(rows.weights))

    def fit_until_worse(self, rows: FitRows, validation: FitRows, *, patience: int) -> None:
        """Fit rounds of boosting until the loss on ``validation`` has not improved for ``patience``."""
        through = self._transformed_rows(rows)  # fits the transformers, so it comes first
        held_out = validation._replace(features=self._transform(validation.features))
        boosting.fit_until_worse(self.last, through, held_out, patience=patience)

    def fit_rounds(self, rows: FitRows, model: Any, *, count: int, random_state: int | None) -> None:
        """Fit ``count`` rounds of boosting after ``model``, as ``boosting.continued`` does."""
        through = self._transformed_rows(rows)
        self.last = boosting.continued(self.last, model, through, count=count, random_state=random_state)

    def fit_more(self, rows: FitRows, batches: Sequence[Array], classes: Array | None) -> None:
        """Pass the rows to the last step's ``partial_fit`` in batches of row numbers."""
        through = self._through_head(rows)
        also = {} if classes is None else {"classes": classes}
        for places in batches:
            weights = {} if rows.weights is None else {"sample_weight": rows.weights[places]}
            self.last.partial_fit(at(through, places), rows.targets[places], **also, **weights)

    def scores(
        self,
        rows: FitRows,
        task: Task,
        names: Sequence[MetricName],
        scorers: Mapping[str, Any],
        class_values: Array,
    ) -> dict[str, float]:
        """Return the named metrics of the rows, and the scores of ``scorers``.

        A scorer sees the rows as the pipeline gets them, and ``class_values``, the original classes.
        """
        through = self._transform(rows.features)
        # CatBoost predicts classes as a column.
        predicted = np.asarray(self.last.predict(through)).reshape(len(rows.targets))
        found: dict[str, float] = {
            name: score(name, self.last, through, rows.targets, predicted, rows.weights) for name in names
        }
        model = ScoredModel(self._head, self.last, class_values)
        targets = class_values[rows.targets] if task == "classification" else rows.targets
        for name, scorer in scorers.items():
            found[name] = call_scorer(name, scorer, model, rows.features, targets, rows.weights)
        return found

    def _transform(self, features: Any) -> Any:
        return features if self._head is None else self._head.transform(features)

    def _transformed_rows(self, rows: FitRows) -> FitRows:
        return rows._replace(features=self._through_head(rows))

    def _through_head(self, rows: FitRows) -> Any:
        if self._head is None:
            return rows.features
        if self._seen is None or self._seen[0] is not rows.features or self._seen[1] is not rows.targets:
            self._transformed = self._head.fit_transform(rows.features, rows.targets)
            self._seen = rows.features, rows.targets
        return self._transformed


def at(rows: Any, places: Array) -> Any:
    """Return the given rows of an array, a matrix or a data frame."""
    return rows.iloc[places] if hasattr(rows, "iloc") else rows[places]


def refuse_unable(
    estimator: Any, task: Task, settings: EstimatorSettings, names: Sequence[MetricName]
) -> None:
    """Raise ValueError when the estimator cannot do what the settings require."""
    last = last_step(estimator)
    if isinstance(last, str) and last in NO_STEP:
        raise ValueError(f"estimator: its last step must be an estimator, got '{last}'")
    what = type(last).__name__
    if not hasattr(last, "fit") or not hasattr(last, "predict"):
        raise ValueError(f"estimator: must fit and predict, got {what}")
    if task == "classification" and is_regressor(last):
        raise ValueError(f"estimator: must be a classifier for this target, got the regressor {what}")
    if task == "regression" and is_classifier(last):
        raise ValueError(f"estimator: must be a regressor for this target, got the classifier {what}")
    if settings.iteration == "partial_fit" and not hasattr(last, "partial_fit"):
        raise ValueError(f"iteration: must not be 'partial_fit': {what} has no such method")
    if settings.iteration == "warm_start":
        parameters = last.get_params(deep=False)
        if "warm_start" not in parameters:
            raise ValueError(f"iteration: must not be 'warm_start': {what} has no such parameter")
        if settings.grows not in parameters:
            hint = did_you_mean(settings.grows, parameters)
            raise ValueError(f"grows: {what} has no parameter '{settings.grows}'; {hint}")
    if settings.sample_weight is not None and not has_fit_parameter(last, "sample_weight"):
        raise ValueError(f"sample_weight: {what} does not take weights of rows")
    boosting.refuse_unable(last, iteration=settings.iteration, patience=settings.early_stopping_rounds)
    if "log_loss" in names and not hasattr(last, "predict_proba"):
        raise ValueError(f"metrics: 'log_loss' needs predict_proba, which {what} does not have")
    if "roc_auc" in names and not (hasattr(last, "predict_proba") or hasattr(last, "decision_function")):
        raise ValueError(f"metrics: 'roc_auc' needs predict_proba or decision_function; {what} has neither")


def _weights(weights: Array | None) -> dict[str, Array]:
    return {} if weights is None else {"sample_weight": weights}
