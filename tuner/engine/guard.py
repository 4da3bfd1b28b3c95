"""What is wrong with a result; checked in the worker, before Ray, a searcher or a scheduler sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from tuner.errors import TrialError
from tuner.spec import did_you_mean


def checked(result: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The result with its objective as a plain float.

    Raises TrialError when the objective is missing, is no number, or is not finite.
    """
    if metric not in result:
        own = [name for name in result if name not in _AUTOMATIC]
        raise TrialError(f"a result has no '{metric}'{did_you_mean(metric, own) or '; it is empty'}")
    value = plain(result[metric])
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TrialError(f"'{metric}' must be a number, got {result[metric]!r}")
    if not math.isfinite(value):
        raise TrialError(f"'{metric}' must be finite, got {float(value)}")
    return {**result, metric: float(value)}


def metrics_of(result: Mapping[str, Any]) -> dict[str, float | int | bool | str | None]:
    """What the trainable itself reported, JSON-ready; what is not finite becomes ``None``."""
    metrics: dict[str, float | int | bool | str | None] = {}
    for name, value in result.items():
        value = plain(value)
        if name in _AUTOMATIC:
            continue
        if isinstance(value, (bool, str)) or value is None:
            metrics[name] = value
        elif isinstance(value, Real):
            metrics[name] = (
                (int(value) if isinstance(value, int) else float(value)) if math.isfinite(value) else None
            )
    return metrics


def plain(value: Any) -> Any:
    """A NumPy or PyTorch scalar as a Python number; anything else as it is."""
    if isinstance(value, (Real, str)) or not hasattr(value, "item") or getattr(value, "size", 1) == 0:
        return value
    shape = getattr(value, "shape", ())
    return value.item() if all(length == 1 for length in shape) else value


# What Ray adds to each result.
_AUTOMATIC = frozenset(
    [
        "trial_id",
        "date",
        "timestamp",
        "time_this_iter_s",
        "time_total_s",
        "pid",
        "hostname",
        "node_ip",
        "config",
        "time_since_restore",
        "iterations_since_restore",
        "training_iteration",
        "done",
        "should_checkpoint",
        "checkpoint_dir_name",
        "timesteps_total",
        "episodes_total",
        "experiment_tag",
        "timesteps_since_restore",
    ]
)
