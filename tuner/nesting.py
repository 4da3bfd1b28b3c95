"""``nested``: names with dots as dictionaries in dictionaries, as in Hydra's configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration in which ``optimizer.lr`` is the key ``lr`` of the dictionary ``optimizer``.

    Raises ValueError if a name is both a value and a dictionary.
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        *parents, last = str(name).split(".")
        inner = found
        for depth, parent in enumerate(parents, 1):
            if ".".join(parents[:depth]) in config:
                raise ValueError(f"'{'.'.join(parents[:depth])}' is a value, so '{name}' cannot be inside it")
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return found
