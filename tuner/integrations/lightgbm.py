"""``TunerCallback`` for LightGBM 4: ``train``, ``cv`` and its scikit-learn estimators."""

from __future__ import annotations

from functools import partial
from typing import Any

import lightgbm

from tuner.integrations._boosting import Boosting


class TunerCallback(Boosting):
    """Reports ``val-rmse`` and the like: the name of the validation set and the metric.

    ``lightgbm.cv`` gives the means of the folds, and their deviations as ``val-rmse-std``. These trials
    have no checkpoint.
    """

    _file = "model.txt"
    order = 25  # before LightGBM's early stopping, which ends the round

    def __call__(self, env: Any) -> None:
        """Report the round's results. Raises EarlyStopException if the training must end."""
        if env.iteration == env.begin_iteration:
            self._begin()
        metrics = {}
        for name, metric, value, _, *deviation in env.evaluation_result_list:
            metrics[f"{name}-{metric}"] = float(value)
            if deviation and deviation[0] is not None:
                metrics[f"{name}-{metric}-std"] = float(deviation[0])
        save = None
        if isinstance(env.model, lightgbm.Booster):
            save = partial(env.model.save_model, num_iteration=-1)  # all rounds, not only up to the best
        # The rounds of a model that training continues from are counted already.
        if self._report(env.iteration + 1, metrics, save):
            raise lightgbm.EarlyStopException(env.iteration, env.evaluation_result_list)
