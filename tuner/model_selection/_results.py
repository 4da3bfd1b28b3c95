"""``cv_results_`` from a search's journal, with the keys that scikit-learn's searches give it."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import FitFailedWarning

from tuner.journal import TrialHistory

Floats = NDArray[np.float64]


def cv_results(
    trials: Sequence[TrialHistory],
    parameters: Callable[[Mapping[str, Any]], dict[str, Any]],
    *,
    folds: int,
    resource: str | None,
) -> dict[str, Any]:
    """Return ``cv_results_``, with one row per trial.

    A trial that was stopped early has NaN for the folds that it did not reach, and its means are over the
    others. ``n_resources`` says how much it used. It ranks behind every trial that used more.

    - ``parameters``: returns the estimator's parameters for a configuration.
    - ``resource``: the parameter that ``n_resources`` sets; ``None`` if it sets none.
    """
    metrics = [_metrics(trial) for trial in trials]
    used = np.array([int(found.get("n_resources") or 0) for found in metrics])
    params = []
    for trial, resources in zip(trials, used, strict=True):
        own = parameters(trial.config)
        params.append({**own, resource: int(resources)} if resource is not None and resources else own)
    failed = np.array([trial.state == "failed" for trial in trials])
    results: dict[str, Any] = {}
    for name in ("fit_time", "score_time"):
        array = _by_split(metrics, name, folds)
        results[f"mean_{name}"], results[f"std_{name}"] = _means(array)
    results |= _columns(params)
    results["params"] = params
    for name in _scores(metrics):
        array = _by_split(metrics, name, folds)
        array[failed] = math.nan
        results |= {f"split{split}_{name}": array[:, split] for split in range(folds)}
        means, results[f"std_{name}"] = _means(array)
        results[f"mean_{name}"] = means
        if name.startswith("test_"):
            results[f"rank_{name}"] = _ranks(means, used)
    results["n_resources"] = used
    return results


def report_failures(trials: Sequence[TrialHistory], *, error_score: float) -> None:
    """Warn of failed fits. Raises ValueError if every trial failed."""
    errors = [trial.error or "" for trial in trials if trial.state == "failed"]
    scored = [
        str(error)
        for trial in trials
        for name, error in _metrics(trial).items()
        if name.endswith("_fit_error") and trial.state != "failed"
    ]
    if not errors and not scored:
        return
    known = Counter(errors + scored)
    texts = "\n".join(f"{count} times:\n{text}" for text, count in known.items())
    if errors and len(errors) == len(trials):
        remedy = "Set error_score='raise' to stop at the first error"
        raise ValueError(f"All the {len(trials)} candidates failed. {remedy}. The errors:\n{texts}")
    what = f"{len(errors)} of {len(trials)} candidates failed and have the score nan"
    if scored:
        what = f"{len(scored)} fits failed and have the score {error_score}"
    warnings.warn(f"{what}. The errors:\n{texts}", FitFailedWarning, stacklevel=3)


def _metrics(trial: TrialHistory) -> dict[str, Any]:
    """Return the trial's newest metrics. With folds, each iteration adds those of a fold."""
    found: dict[str, Any] = {}
    for iteration in sorted(trial.results):
        found |= trial.results[iteration].metrics
    return found


def _scores(metrics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the scores' names without their splits, such as ``test_score``, in order of appearance."""
    names = (name.partition("_") for found in metrics for name in found if name.startswith("split"))
    return list(dict.fromkeys(name for _, _, name in names if name.startswith(("test_", "train_"))))


def _by_split(metrics: Sequence[Mapping[str, Any]], name: str, folds: int) -> Floats:
    """Return a metric as trials x folds; NaN where there is none."""
    rows = [[found.get(f"split{split}_{name}") for split in range(folds)] for found in metrics]
    return np.array(rows, dtype=np.float64).reshape(len(metrics), folds)


def _means(array: Floats) -> tuple[Floats, Floats]:
    """Return the means and standard deviations of the rows, without NaN; NaN for a row of NaN only."""
    known = ~np.isnan(array).all(axis=1)
    means, deviations = np.full(len(array), math.nan), np.full(len(array), math.nan)
    if known.any():
        means[known], deviations[known] = np.nanmean(array[known], axis=1), np.nanstd(array[known], axis=1)
    return means, deviations


def _ranks(means: Floats, used: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return ranks from 1: by resource, then by mean. Equal trials share a rank; NaN ranks last."""
    keys = [
        (-math.inf, 0.0) if np.isnan(m) else (float(u), float(m)) for m, u in zip(means, used, strict=True)
    ]
    return np.array([1 + sum(other > key for other in keys) for key in keys], dtype=np.int32)


def _columns(params: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a masked array ``param_<name>`` for each parameter. It is masked where a trial has none."""
    columns = {}
    for name in dict.fromkeys(name for each in params for name in each):
        values = {row: each[name] for row, each in enumerate(params) if name in each}
        column = np.ma.MaskedArray(np.empty(len(params), dtype=_dtype([*values.values()])), mask=True)
        for row, value in values.items():
            column[row] = value
        columns[f"param_{name}"] = column
    return columns


def _dtype(values: Sequence[Any]) -> Any:
    """Return the type of a column: a number or Boolean type if all values are such, else ``object``."""
    if all(isinstance(value, bool) for value in values):
        return np.bool_
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return np.array(values).dtype if numbers else np.dtype(object)
