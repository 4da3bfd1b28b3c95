"""Functions that a training script may call while it runs as a trial. Imports only the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_NAMES = {"lr": "lr", "learning_rate": "lr", "momentum": "momentum", "weight_decay": "weight_decay"}
"""Hyperparameter -> key of a PyTorch optimizer's ``param_groups``."""


def apply_config(config: Mapping[str, Any], optimizer: Any, schedulers: Iterable[Any] = ()) -> None:
    """Set a restored optimizer to the trial's own hyperparameters.

    A checkpoint holds the optimizer of the trial that wrote it. With ``scheduler: pbt`` this is often another
    trial with other hyperparameters. Call this function after each restore.

    - ``config``: the trial's configuration. Reads ``lr`` (or ``learning_rate``), ``momentum``,
      ``weight_decay``, ``beta1`` and ``beta2``, and sets those that the optimizer has.
    - ``optimizer``: an optimizer with ``param_groups``, as in PyTorch.
    - ``schedulers``: its learning-rate schedulers. They keep their progress, which is the factor by which
      they have changed the initial learning rate.
    """
    schedulers = list(schedulers)
    for group in optimizer.param_groups:
        for name, own in _NAMES.items():
            if name not in config or own not in group:
                continue
            if own == "lr" and schedulers and group.get("initial_lr"):
                group["lr"] = group["lr"] / group["initial_lr"] * config[name]
                group["initial_lr"] = config[name]
            else:
                group[own] = config[name]
        if "betas" in group:
            beta1, beta2 = group["betas"]
            group["betas"] = (config.get("beta1", beta1), config.get("beta2", beta2))
    initial = config.get("lr", config.get("learning_rate"))
    for scheduler in schedulers:
        if initial is not None and hasattr(scheduler, "base_lrs"):
            scheduler.base_lrs = [initial] * len(scheduler.base_lrs)
