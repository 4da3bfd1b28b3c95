"""Check a trial's results in the worker, before Ray, a searcher or a scheduler sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from tuner.errors import TrialError
from tuner.objective import ITERATIONS, SECONDS
from tuner.spec import describe, did_you_mean

RESOURCE = "__resource__"
"""The key for the amount of the scheduler's resource that a trial has used."""

PRUNED = "__pruned__"
"""The key that says that a function ended itself because it is not promising."""

SAVEABLE = "__saveable__"
"""The key that says that a function can write a checkpoint at this result."""


def checked(
    result: Mapping[Any, Any],
    metrics: Sequence[str],
    *,
    iteration: int,
    resource: str = ITERATIONS,
    used: float | None = None,
) -> dict[str, Any]:
    """Check a result, and return Ray's fields, each objective as a float, and ``metrics``.

    ``iteration`` is the number of results so far and replaces the trial's own count. ``resource`` is the
    scheduler's resource, and ``used`` its amount at the last result. Raises TrialError if an objective or the
    resource is missing, not a number or not finite, or if the resource does not increase.
    """
    result = flat(result)
    values = {metric: _read_number(result, metric) for metric in metrics}
    seconds = plain(result.get("time_total_s", 0.0))
    seconds = float(seconds) if isinstance(seconds, Real) and _is_finite(seconds) else 0.0
    seconds = max(0.0, seconds)  # Ray measures it by the wall clock, which may be set back
    known = {ITERATIONS: iteration, SECONDS: seconds}
    amount = known[resource] if resource in known else _read_number(result, resource)
    if resource not in known and used is not None and amount <= used:
        raise TrialError(f"'{resource}' must increase with each result, got {amount:g} after {used:g}")
    return {
        **{name: result[name] for name in _READ_BY_DRIVER if name in result},
        "done": bool(result.get("done", False)),
        "training_iteration": iteration,
        "time_total_s": seconds,
        RESOURCE: amount,
        **values,
        "metrics": metrics_of(result),
    }


def _read_number(result: Mapping[Any, Any], name: str) -> float:
    if name not in result:
        reported = [str(other) for other in result if other not in _AUTOMATIC]
        raise TrialError(f"a result has no '{name}'{did_you_mean(name, reported) or '; it is empty'}")
    value = result[name]
    if not is_number(value):
        raise TrialError(f"'{name}' must be a number, got {_describe_value(value)}")
    if not _is_finite(value):
        raise TrialError(f"'{name}' must be finite, got {describe(value)}")
    return float(value)


class Shown(str):
    """The description of a value that cannot be sent to the driver."""


def _describe_value(value: Any) -> str:
    return value if isinstance(value, Shown) else describe(value)


def metrics_of(result: Mapping[Any, Any]) -> dict[str, float | int | bool | str | None]:
    """Return the metrics that the trainable reported (see ``flat``), ready for JSON.

    Numbers, text and ``None`` are kept. A number that is not finite becomes ``None``. Arrays and objects are
    left out.
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
    """Flatten a nested result: ``{"val": {"loss": x}}`` gets the key ``val/loss``, as in Ray Tune.

    NumPy and PyTorch scalars become Python numbers.
    """
    flattened: dict[Any, Any] = {}
    for name, value in result.items():
        if isinstance(value, Mapping) and name not in _AUTOMATIC:
            flattened.update({f"{name}/{key}": inner for key, inner in flat(value).items()})
        else:
            flattened[name] = plain(value)
    return flattened


def is_kept(value: Any) -> bool:
    """Return whether a metric's value is recorded: a number, text or ``None``."""
    return value is None or isinstance(value, (Real, str))


def is_number(value: Any) -> bool:
    """Return whether a value can be an objective. A Boolean cannot."""
    value = plain(value)
    return isinstance(value, Real) and not isinstance(value, bool)


def plain(value: Any) -> Any:
    """Convert a NumPy or PyTorch scalar to a Python number. Other values are returned unchanged."""
    if isinstance(value, (Real, str)) or type(value).__module__.split(".")[0] not in ("numpy", "torch"):
        return value
    return value.item() if all(length == 1 for length in getattr(value, "shape", (0,))) else value


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # the integer does not fit in a float
        return False


# Fields that Ray adds to each result.
_AUTOMATIC = frozenset(
    [
        *("trial_id", "date", "timestamp", "pid", "hostname", "node_ip", "config", "done", "experiment_tag"),
        *("training_iteration", "time_this_iter_s", "time_total_s", "time_since_restore"),
        *("iterations_since_restore", "timesteps_total", "timesteps_since_restore", "episodes_total"),
        *("should_checkpoint", "checkpoint_dir_name", SAVEABLE),
    ]
)

# Fields of a result, besides metrics, that the driver reads.
_READ_BY_DRIVER = ("pid", "node_ip", "should_checkpoint", "checkpoint_dir_name", SAVEABLE)
