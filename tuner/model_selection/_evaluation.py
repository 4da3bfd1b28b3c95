"""``Evaluation``: what all candidates of a search share. ``SearchCandidate``: the progress of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sklearn.base import clone
from sklearn.model_selection._validation import _fit_and_score

from tuner.errors import TrialError
from tuner.model_selection._fidelity import FOLDS, SAMPLES, Fidelity, RowNumbers
from tuner.space import same


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The estimator, data, splits and scorers of a search."""

    estimator: Any
    """Is cloned for each fit."""
    X: Any
    y: Any
    folds: Sequence[tuple[RowNumbers, RowNumbers]]
    """Row numbers of the training and the test part of each split."""
    scorer: Any
    """One scorer, or one that returns a dictionary."""
    fit_params: Mapping[str, Any]
    """Metadata for ``fit``, one value per row of ``X`` or a single one."""
    score_params: Mapping[str, Any]
    """Metadata for the scorer."""
    error_score: Any
    """``"raise"``, or the score of a fit that fails."""
    return_train_score: bool
    verbose: int
    names: Sequence[str]
    """The parameters that the search sets."""
    objects: Mapping[str, Sequence[tuple[str, Any]]]
    """Parameter -> (text in the sweep, object that it stands for)."""
    fidelity: Fidelity
    objective: str
    """The metric to optimise, as ``mean_test_score`` in ``cv_results_``."""

    def parameters(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the estimator's parameters for a configuration, with objects in place of their texts."""
        return {name: self._object(name, config[name]) for name in self.names if name in config}

    def _object(self, name: str, value: Any) -> Any:
        return next((found for text, found in self.objects.get(name, ()) if same(text, value)), value)

    def score(self, parameters: Mapping[str, Any], split: int, resource: int) -> dict[str, Any]:
        """Fit a clone to the training part of a split and score it, as scikit-learn's searches do.

        Raises the fit's error if ``error_score`` is ``"raise"``, and TrialError if the error leaves no
        finite score.
        """
        train, test = self.folds[split]
        if self.fidelity.name == SAMPLES:
            train = self.fidelity.rows(split, resource)
        elif self.fidelity.name != FOLDS:
            parameters = {**parameters, self.fidelity.name: resource}
        found = _fit_and_score(
            clone(self.estimator),
            self.X,
            self.y,
            scorer=self.scorer,
            train=train,
            test=test,
            verbose=self.verbose,
            parameters=parameters,
            fit_params=self.fit_params,
            score_params=self.score_params,
            return_train_score=self.return_train_score,
            return_times=True,
            error_score=self.error_score,
        )
        error = found["fit_error"]
        if error is not None and not math.isfinite(self.error_score):
            raise TrialError(f"the fit to the training part of split {split} failed:\n{error}")
        metrics = {"fit_time": found["fit_time"], "score_time": found["score_time"]}
        for part in ("test", "train") if self.return_train_score else ("test",):
            scores = found[f"{part}_scores"]
            scores = scores if isinstance(scores, dict) else {"score": scores}
            metrics |= {f"{part}_{name}": float(score) for name, score in scores.items()}
        return metrics if error is None else {**metrics, "fit_error": error}


class SearchCandidate:
    """The evaluation of one configuration, an iteration at a time.

    An iteration is the next fold, or all folds with the next resource.
    """

    def __init__(self, evaluation: Evaluation, config: Mapping[str, Any]) -> None:
        self._evaluation = evaluation
        self._parameters = evaluation.parameters(config)
        self.iteration = 0
        self.values: list[float] = []
        """The objective on each fold so far, if an iteration is a fold."""

    def step(self) -> dict[str, Any]:
        """Evaluate for one iteration, and return its metrics.

        The metrics of a fold are named as in ``cv_results_``: ``split0_test_score``.
        """
        evaluation = self._evaluation
        resource = evaluation.fidelity.resources[self.iteration]
        by_fold = evaluation.fidelity.name == FOLDS
        splits = [self.iteration] if by_fold else range(len(evaluation.folds))
        metrics: dict[str, Any] = {}
        values = self.values if by_fold else []
        for split in splits:
            found = evaluation.score(self._parameters, split, resource)
            metrics |= {f"split{split}_{name}": value for name, value in found.items()}
            values.append(_objective(found, evaluation.objective))
        self.iteration += 1
        return {**metrics, evaluation.objective: fmean(values), "n_resources": resource}


def _objective(found: Mapping[str, Any], objective: str) -> float:
    """Return the objective of a fold: the metric of that name, else the first one of the scorer."""
    names = [name for name in found if name.startswith("test_")]
    name = objective.removeprefix("mean_")
    return float(found[name if name in found else names[0]])
