"""What is wrong with a result; checked in the worker, before Ray, a searcher or a scheduler sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from tuner.errors import TrialError
from tuner.objective import ITERATIONS, SECONDS
from tuner.spec import describe, did_you_mean

RESOURCE = "__resource__"
"""The key of what a trial has used."""


def checked(
    result: Mapping[Any, Any],
    metrics: Sequence[str],
    *,
    iteration: int,
    resource: str = ITERATIONS,
    used: float | None = None,
) -> dict[str, Any]:
    """What the driver needs of a result: Ray's own fields, each objective as a float, and ``metrics``.

    ``iteration``: how many results the trial has given, whatever it says itself. ``resource``: what the trial
    is measured by, of which it had ``used`` so much at its last result. Raises TrialError when an objective
    or the resource is missing, is no number, or is not finite, and when the resource does not rise.
    """
    result = flat(result)
    values = {metric: _number(result, metric) for metric in metrics}
    seconds = plain(result.get("time_total_s", 0.0))
    seconds = float(seconds) if isinstance(seconds, Real) and _is_finite(seconds) else 0.0
    seconds = max(0.0, seconds)  # Ray measures it by the time of day, which may be set back
    known = {ITERATIONS: iteration, SECONDS: seconds}
    amount = known[resource] if resource in known else _number(result, resource)
    if resource not in known and used is not None and amount <= used:
        raise TrialError(f"'{resource}' must rise from result to result, got {amount:g} after {used:g}")
    return {
        **{name: result[name] for name in _READ_BY_RAY if name in result},
        "done": bool(result.get("done", False)),
        "training_iteration": iteration,
        "time_total_s": seconds,
        RESOURCE: amount,
        **values,
        "metrics": metrics_of(result),
    }


def _number(result: Mapping[Any, Any], name: str) -> float:
    if name not in result:
        own = [str(other) for other in result if other not in _AUTOMATIC]
        raise TrialError(f"a result has no '{name}'{did_you_mean(name, own) or '; it is empty'}")
    value = result[name]
    if not is_number(value):
        raise TrialError(f"'{name}' must be a number, got {_shown(value)}")
    if not _is_finite(value):
        raise TrialError(f"'{name}' must be finite, got {describe(value)}")
    return float(value)


class Shown(str):
    """How an error names a value that cannot be sent."""


def _shown(value: Any) -> str:
    return value if isinstance(value, Shown) else describe(value)


def metrics_of(result: Mapping[Any, Any]) -> dict[str, float | int | bool | str | None]:
    """What the trainable itself reported (see ``flat``), JSON-ready.

    Numbers, text and ``None`` are kept, what is not finite becomes ``None``; arrays and objects are left out.
    """
    metrics: dict[str, float | int | bool | str | None] = {}
    for name, value in result.items():
        if name in _AUTOMATIC:
            continue
        if isinstance(value, (bool, str)) or value is None:
            metrics[str(name)] = value
        elif isinstance(value, Real) and not _is_finite(value):
            metrics[str(name)] = None
        elif isinstance(value, Real):
            metrics[str(name)] = int(value) if isinstance(value, int) else float(value)
    return metrics


def flat(result: Mapping[Any, Any]) -> dict[Any, Any]:
    """A result without nesting: ``{"val": {"loss": x}}`` has the key ``val/loss``, as in Ray Tune.

    NumPy and PyTorch scalars become numbers.
    """
    flattened: dict[Any, Any] = {}
    for name, value in result.items():
        if isinstance(value, Mapping) and name not in _AUTOMATIC:
            flattened.update({f"{name}/{key}": inner for key, inner in flat(value).items()})
        else:
            flattened[name] = plain(value)
    return flattened


def is_kept(value: Any) -> bool:
    """Whether a metric's value is recorded: a number, text or ``None``."""
    return value is None or isinstance(value, (Real, str))


def is_number(value: Any) -> bool:
    """Whether a value counts as a result of an objective; a truth value does not."""
    value = plain(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """A NumPy or PyTorch scalar as a Python number; anything else as it is."""
    if isinstance(value, (Real, str)) or type(value).__module__.split(".")[0] not in ("numpy", "torch"):
        return value
    return value.item() if all(length == 1 for length in getattr(value, "shape", (0,))) else value


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


# What Ray adds to each result.
_AUTOMATIC = frozenset(
    [
        *("trial_id", "date", "timestamp", "pid", "hostname", "node_ip", "config", "done", "experiment_tag"),
        *("training_iteration", "time_this_iter_s", "time_total_s", "time_since_restore"),
        *("iterations_since_restore", "timesteps_total", "timesteps_since_restore", "episodes_total"),
        *("should_checkpoint", "checkpoint_dir_name"),
    ]
)
_READ_BY_RAY = ("pid", "node_ip", "should_checkpoint", "checkpoint_dir_name")
