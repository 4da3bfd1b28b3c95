"""Needs of the boosting libraries beyond scikit-learn's interface: XGBoost, LightGBM, CatBoost, and
scikit-learn's own histogram-based trees.

Each library is imported only for its own estimators.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from sklearn.base import clone, is_classifier

from trainables.sklearn.rows import FitRows

_FAMILIES = ("xgboost", "lightgbm", "catboost")

_ALIASES = {
    "xgboost": ("n_estimators",),
    "lightgbm": (
        *("n_estimators", "num_iterations", "num_iteration", "num_trees", "num_boost_round", "num_rounds"),
        "n_iter",
    ),
    "catboost": ("iterations", "n_estimators", "num_boost_round", "num_trees"),
    "sklearn": ("max_iter",),
}
"""Library -> the names of the number of rounds, the usual one first."""

_THREADS = {
    "xgboost": ("n_jobs", "nthread"),
    "lightgbm": ("n_jobs", "num_threads", "nthread"),
    "catboost": ("thread_count",),
}

MODEL_FILE = {"xgboost": "model.ubj", "lightgbm": "model.txt", "catboost": "model.cbm"}
"""Library -> name of the file that holds a model, in the library's own format."""


def library(estimator: Any) -> str | None:
    """Return the boosting library of an estimator, or ``None`` if it belongs to none."""
    for base in type(estimator).__mro__:
        top = base.__module__.partition(".")[0]
        if top in _FAMILIES:
            return top
        if base.__module__.startswith("sklearn.ensemble._hist_gradient_boosting"):
            return "sklearn"
    return None


def set_defaults(estimator: Any, *, threads: int | None, random_state: int) -> None:
    """Set what an unset parameter would do to the process: use all CPUs, write files, or print."""
    name = library(estimator)
    if name is None or name == "sklearn":
        return
    given = {key for key, value in estimator.get_params().items() if value is not None}
    defaults: dict[str, Any] = {}
    if threads is not None and not given & {*_THREADS[name]}:
        defaults[_THREADS[name][0]] = threads
    if name == "lightgbm" and not given & {"verbosity", "verbose"}:
        defaults["verbosity"] = -1
    if name == "catboost":
        # It copies its parameters, and scikit-learn clones only estimators that keep the objects themselves.
        parameters = estimator.get_params()
        defaults |= {key: tuple(value) for key, value in parameters.items() if isinstance(value, list)}
        defaults |= {"allow_writing_files": False} if "allow_writing_files" not in given else {}
        if not given & {"verbose", "silent", "logging_level", "verbose_eval"}:
            defaults["logging_level"] = "Silent"
        if not given & {"random_seed", "random_state"}:
            defaults["random_seed"] = random_state % 2**31
    estimator.set_params(**defaults)


def refuse_unable(estimator: Any, *, iteration: str, patience: int | None) -> None:
    """Raise ValueError when the estimator's library cannot do what the settings require."""
    name, what = library(estimator), type(estimator).__name__
    known = "XGBoost, LightGBM, CatBoost"
    if patience is not None and name is None:
        needs = f"{known} or HistGradientBoosting of scikit-learn"
        raise ValueError(f"early_stopping_rounds: needs an estimator of {needs}, got {what}")
    if iteration != "boosting":
        return
    if name is None or name == "sklearn":
        remedy = "; write iteration: warm_start and grows: max_iter" if name else ""
        raise ValueError(f"iteration: boosting needs an estimator of {known}, got {what}{remedy}")
    given = {key for key, value in estimator.get_params().items() if value is not None}
    if name == "catboost" and not given & {"learning_rate", "eta"}:
        why = "CatBoost derives it from the number of rounds of one fit"
        raise ValueError(f"iteration: boosting needs a learning_rate for {what}, since {why}; got none")


def refuse_rounds(estimator: Any, parameters: Mapping[str, Any]) -> None:
    """Raise ValueError if a number of rounds is given, which ``iteration: boosting`` decides.

    ``parameters``: the trial's, by their names in a pipeline.
    """
    aliases = _ALIASES[library(estimator) or "sklearn"]
    for name in parameters:
        if name.rpartition("__")[2] in aliases:
            what = "must be left out: with iteration: boosting, each iteration adds 'growth' rounds"
            raise ValueError(f"{name}: {what}, got {parameters[name]!r}")


def fit_until_worse(estimator: Any, rows: FitRows, validation: FitRows, *, patience: int) -> None:
    """Fit until the validation loss has not improved for ``patience`` rounds."""
    name = library(estimator)
    features, targets, weights = rows
    x, y, w = validation
    if name == "xgboost":
        estimator.set_params(early_stopping_rounds=patience)
        given = {} if w is None else {"sample_weight_eval_set": [w]}
        estimator.fit(features, targets, sample_weight=weights, eval_set=[(x, y)], verbose=False, **given)
    elif name == "lightgbm":
        import lightgbm

        stop = lightgbm.early_stopping(patience, verbose=False)
        # Since 4.7 the rows have separate arguments, and `eval_set` warns.
        split = "eval_X" in inspect.signature(estimator.fit).parameters
        held_out: dict[str, Any] = {"eval_X": (x,), "eval_y": (y,)} if split else {"eval_set": [(x, y)]}
        given = {} if w is None else {"eval_sample_weight": [w]}
        estimator.fit(features, targets, sample_weight=weights, callbacks=[stop], **held_out, **given)
    elif name == "catboost":
        import catboost

        features_of_text = estimator.get_params().get("cat_features")
        pool = catboost.Pool(x, y, weight=w, cat_features=features_of_text)
        estimator.fit(features, targets, sample_weight=weights, eval_set=pool, early_stopping_rounds=patience)
    else:
        estimator.set_params(early_stopping=True, n_iter_no_change=patience)
        estimator.fit(features, targets, weights, X_val=x, y_val=y, sample_weight_val=w)


def rounds(estimator: Any) -> int:
    """Return the number of rounds with which a fitted estimator predicts."""
    name = library(estimator)
    if name == "xgboost":
        best = getattr(estimator, "best_iteration", None) if estimator.early_stopping_rounds else None
        return int(estimator.get_booster().num_boosted_rounds() if best is None else best + 1)
    if name == "lightgbm":
        return int(estimator.best_iteration_ or estimator.booster_.num_trees() // _trees_per_round(estimator))
    if name == "catboost":
        return int(estimator.tree_count_)
    return int(estimator.n_iter_)


def with_rounds(estimator: Any, count: int) -> Any:
    """Return an unfitted copy that trains for this number of rounds, without early stopping."""
    name = library(estimator) or "sklearn"
    copy = clone(estimator)
    given = {key for key, value in copy.get_params().items() if value is not None}
    own = next((alias for alias in _ALIASES[name] if alias in given), _ALIASES[name][0])
    further: dict[str, dict[str, Any]] = {
        "sklearn": {"early_stopping": False},
        "xgboost": {"early_stopping_rounds": None},
    }
    return copy.set_params(**{own: count}, **further.get(name, {}))


def continued(estimator: Any, model: Any, rows: FitRows, *, count: int, random_state: int | None) -> Any:
    """Return a copy of the estimator, fitted for ``count`` more rounds after ``model``.

    - ``model``: the result of ``model_of`` or ``load_model``; ``None`` for the first rounds.
    - ``random_state``: replaces the estimator's. Each fit restarts its random numbers, so with one value
      all iterations would draw the same rows. ``None`` keeps the user's.
    """
    name = library(estimator)
    copy = with_rounds(estimator, count)
    if random_state is not None:
        given = {key for key, value in copy.get_params().items() if value is not None}
        seed = "random_seed" if "random_seed" in given else "random_state"
        copy.set_params(**{seed: random_state})
    if name == "xgboost":
        return copy.fit(
            rows.features, rows.targets, sample_weight=rows.weights, xgb_model=model, verbose=False
        )
    return copy.fit(rows.features, rows.targets, sample_weight=rows.weights, init_model=model)


def model_of(estimator: Any) -> Any:
    """Return the library's own model of a fitted estimator, for ``continued``."""
    name = library(estimator)
    if name == "xgboost":
        return estimator.get_booster()
    if name == "lightgbm":
        return estimator.booster_
    # In memory, CatBoost would continue with state that no file holds, so a resumed trial would differ.
    with tempfile.TemporaryDirectory() as folder:
        save_model(estimator, estimator, Path(folder))
        return load_model(estimator, Path(folder))


def save_model(estimator: Any, model: Any, folder: Path) -> None:
    """Write a model into a folder, in the format of its library. ``estimator`` names the library."""
    name = cast(str, library(estimator))
    every_round = {"num_iteration": -1} if name == "lightgbm" else {}
    model.save_model(str(folder / MODEL_FILE[name]), **every_round)


def load_model(estimator: Any, folder: Path) -> Any:
    """Return the model that ``save_model`` wrote, for ``continued``. ``estimator`` names the library."""
    name = cast(str, library(estimator))
    path = str(folder / MODEL_FILE[name])
    if name == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=path)
    if name == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path)
    import catboost

    kind = catboost.CatBoostClassifier if is_classifier(estimator) else catboost.CatBoostRegressor
    return kind().load_model(path)


def _trees_per_round(estimator: Any) -> int:
    return int(estimator.booster_.num_model_per_iteration())
