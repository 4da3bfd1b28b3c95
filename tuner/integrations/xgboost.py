"""``TunerCallback`` for XGBoost 2 and later: ``train``, ``cv`` and its scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import xgboost

from tuner.integrations._boosting import Boosting


class TunerCallback(Boosting, xgboost.callback.TrainingCallback):
    """Reports ``val-rmse`` and the like: the name of the evaluation set and the metric.

    ``xgboost.cv`` gives the means of the folds, and their deviations as ``test-rmse-std``. These trials
    have no checkpoint.
    """

    _file = "model.ubj"

    def before_training(self, model: Any) -> Any:
        self._begin()
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: dict[str, dict[str, list[Any]]]) -> bool:
        """Report the last values of ``evals_log``. Return whether the training must end."""
        metrics = {}
        for name, values in evals_log.items():
            for metric, curve in values.items():
                mean, *deviation = curve[-1] if isinstance(curve[-1], tuple) else (curve[-1],)
                metrics[f"{name}-{metric}"] = float(mean)
                if deviation:
                    metrics[f"{name}-{metric}-std"] = float(deviation[0])
        save = model.save_model if isinstance(model, xgboost.Booster) else None
        return self._report(self.rounds + epoch + 1, metrics, save)
