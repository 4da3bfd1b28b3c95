"""``of_tune_config``, ``of_run_config``: translate the limits and settings of a ``Tuner``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ray.tune import RunConfig
from ray.tune.stopper import CombinedStopper, MaximumIterationStopper, NoopStopper, TimeoutStopper

from tuner.ray_tune._parts import Parts

_MOST_KEPT = 2
"""Checkpoints that a sweep keeps of a trial: the last one, and the one at its best value."""


def of_tune_config(config: Any, parts: Parts) -> None:
    """Add the objective and the limits of a ``TuneConfig``."""
    parts.aim("tune_config", config.metric, config.mode)
    if config.num_samples == -1:
        if config.time_budget_s is None:
            parts.refuse("tune_config.num_samples", "must be a number, or -1 with time_budget_s")
    else:
        parts.budget["trials"] = config.num_samples
    if config.time_budget_s is not None:
        parts.limit("seconds", _seconds(config.time_budget_s))
    if config.max_concurrent_trials:
        parts.limit("concurrent", config.max_concurrent_trials)
    for name in ("trial_name_creator", "trial_dirname_creator"):
        if getattr(config, name) is not None:
            parts.refuse(f"tune_config.{name}", "must be left out: a sweep numbers its trials")


def of_run_config(config: Any, parts: Parts) -> None:
    """Add the folder of a ``RunConfig``, and how trials stop, fail and save."""
    if config.name is not None:
        parts.parts["name"] = config.name
    if config.storage_path != RunConfig().storage_path:
        parts.parts["out"] = str(config.storage_path)
    if config.storage_filesystem is not None:
        parts.refuse("run_config.storage_filesystem", "must be left out; name a folder as storage_path")
    if config.callbacks:
        names = ", ".join(type(each).__name__ for each in config.callbacks)
        parts.refuse("run_config.callbacks", f"name them as loggers of the sweep instead, got {names}")
    if config.progress_reporter is not None:
        parts.refuse("run_config.progress_reporter", "must be left out; give tuner.run a progress")
    if not isinstance(config.log_to_file, bool):
        what = "must be true or false: a sweep keeps the output of each trial"
        parts.refuse("run_config.log_to_file", f"{what}, got {config.log_to_file!r}")
    if config.sync_config != type(config.sync_config)():
        parts.refuse("run_config.sync_config", "must be left out: a sweep copies nothing between machines")
    _add_stop(config.stop, parts)
    _add_failures(config.failure_config, parts)
    _check_checkpoints(config.checkpoint_config, parts)


def _add_stop(stop: Any, parts: Parts) -> None:
    if stop is None or isinstance(stop, NoopStopper):
        return
    if isinstance(stop, Mapping):
        for name, limit in stop.items():
            _add_limit(str(name), limit, parts)
    elif isinstance(stop, CombinedStopper):
        for each in stop._stoppers:
            _add_stop(each, parts)
    elif isinstance(stop, MaximumIterationStopper):
        parts.limit("iterations", stop._max_iter)
    elif isinstance(stop, TimeoutStopper):
        parts.limit("seconds", float(stop._timeout_seconds))
    else:
        what = f"a {type(stop).__name__} cannot be translated"
        parts.refuse("run_config.stop", f"{what}; write a scheduler, such as median or curve, or a budget")


def _add_limit(name: str, limit: Any, parts: Parts) -> None:
    """Add one entry of a ``stop`` mapping, which ends a trial when a result reaches the limit."""
    if name == "done" and limit is True:
        return  # such a result ends a trial anyway
    if name == "training_iteration":
        parts.limit("iterations", parts.whole(f"run_config.stop.{name}", limit))
    elif name == "time_total_s":
        parts.limit("trial_seconds", float(limit))
    else:
        what = (
            "a sweep limits only training_iteration and time_total_s; let the function return at that value"
        )
        parts.refuse(f"run_config.stop.{name}", what)


def _add_failures(config: Any, parts: Parts) -> None:
    if config.max_failures < 0:
        what = f"must be a number of retries, got {config.max_failures}"
        parts.refuse("run_config.failure_config.max_failures", what)
    elif config.max_failures:
        parts.budget["retries"] = config.max_failures
    if config.fail_fast is True:
        parts.budget["failures"] = 0
    elif config.fail_fast:
        what = f"must be true or false, got {config.fail_fast!r}"
        parts.refuse("run_config.failure_config.fail_fast", what)


def _check_checkpoints(config: Any, parts: Parts) -> None:
    """Refuse what a sweep does otherwise. It keeps the last checkpoint, and the one at the best value."""
    where = "run_config.checkpoint_config"
    kept = config.num_to_keep
    if kept is not None and kept > _MOST_KEPT:
        what = f"must be at most {_MOST_KEPT}: a sweep keeps a trial's last checkpoint and its best one"
        parts.refuse(f"{where}.num_to_keep", f"{what}, got {kept}")
    if config.checkpoint_frequency:
        what = "must be left out; checkpoint_every of the sweep is in seconds"
        parts.refuse(f"{where}.checkpoint_frequency", f"{what}, got {config.checkpoint_frequency}")
    score = config.checkpoint_score_attribute
    objective = parts.objectives()
    if score is None or not isinstance(objective, Mapping):
        return
    if (score, config.checkpoint_score_order) != (objective["metric"], objective["mode"]):
        what = f"must be the objective, {objective['mode']} of {objective['metric']}"
        parts.refuse(f"{where}.checkpoint_score_attribute", f"{what}, got {score}")


def _seconds(duration: Any) -> float:
    return duration.total_seconds() if isinstance(duration, datetime.timedelta) else float(duration)
