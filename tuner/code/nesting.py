"""``nest``: a configuration in which ``optimizer.lr`` is the key ``lr`` of a dictionary ``optimizer``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

NESTED = "nested"
"""The setting with which a function or class gets its configuration nested."""


def nest(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose dotted names are nested. ``clash`` must find nothing in its names."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        *parents, last = name.split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return found


def clash(names: Iterable[str]) -> tuple[str, str] | None:
    """Return a name, and another one that would be nested inside its value; ``None`` if there is none."""
    known = set(names)
    for name in sorted(known):
        parts = name.split(".")
        for length in range(1, len(parts)):
            if (parent := ".".join(parts[:length])) in known:
                return parent, name
    return None


def flattened(value: Mapping[str, Any], *, is_leaf: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
    """Return the entries of nested dictionaries under dotted names.

    ``is_leaf(item)`` says whether a dictionary is a value, not a level of the nesting.
    """
    found: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and not is_leaf(item):
            inner = flattened(item, is_leaf=is_leaf)
            found |= {f"{name}.{key}": each for key, each in inner.items()}
        else:
            found[str(name)] = item
    return found
