"""A restored optimizer keeps its own trial's hyperparameters, although another one may have saved it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tuner import client


def own_config() -> dict[str, Any]:
    """Return the trial's configuration for its checkpoints, without values that some files cannot hold."""
    plain = (bool, int, float, str)
    return {name: value for name, value in client.config().items() if isinstance(value, plain)}


def apply_own_config(saved: Mapping[str, Any], optimizer: Any, schedulers: Iterable[Any]) -> None:
    """Set the hyperparameters of ``optimizer`` that differ from those of the trial that saved it.

    Groups without weight decay among others that have it, such as biases and norms, stay without it.
    """
    changed = {name: value for name, value in own_config().items() if saved.get(name, value) != value}
    groups = optimizer.param_groups
    exempt = [group for group in groups if group.get("weight_decay") == 0]
    client.apply_config(changed, optimizer, schedulers)
    if len(exempt) < len(groups):
        for group in exempt:
            group["weight_decay"] = 0.0
