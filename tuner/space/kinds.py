"""The kinds of dimensions in a sweep file, and the detection of dimensions in places that cannot hold one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from tuner.errors import Problem
from tuner.space.architecture import Architecture
from tuner.space.choices import Choice, Ordinal
from tuner.space.dimension import Dimension
from tuner.space.ranges import Float, Int
from tuner.space.repeat import Repeat
from tuner.space.values import written

KINDS: dict[str, type[Dimension]] = {
    "float": Float,
    "int": Int,
    "choice": Choice,
    "ordinal": Ordinal,
    "architecture": Architecture,
    "repeat": Repeat,
}

OTHER_TOOLS_KEYS = {
    *("min", "max", "low", "high", "lower", "upper", "range", "grid", "values", "choices", "options"),
    *("categorical", "uniform", "loguniform", "quniform", "log_uniform", "qloguniform", "normal"),
    *("randint", "lograndint", "distribution", "type", "q", "base"),
}
"""Keys with which other tools write a dimension. A mapping with only such keys is probably no constant."""

GRID_SEARCH = "grid_search"  # the only key with which a dictionary means a dimension in Ray Tune


def options_of(kind: type[Dimension]) -> list[str]:
    """Return the option keys that a kind of dimension accepts."""
    return [option.name for option in fields(kind) if option.kw_only]


def of_another_tool(entry: Mapping[Any, Any]) -> bool:
    """Return whether a hyperparameter's mapping is a dimension in the form of another tool."""
    options = {name for kind in KINDS.values() for name in options_of(kind)}
    foreign = entry.keys() - options
    return bool(foreign) and (GRID_SEARCH in entry or foreign <= OTHER_TOOLS_KEYS)


def is_nameless(entries: Mapping[Any, Any]) -> bool:
    """Return whether a mapping that should hold named hyperparameters is one dimension without a name."""
    kinds = [kind for kind in KINDS if isinstance(entries.get(kind), (list, tuple))]
    return len(kinds) == 1 and set(entries) <= {kinds[0], *options_of(KINDS[kinds[0]])}


def looks_like_dimension(value: Any) -> bool:
    """Return whether a value is a dimension, or is written like one: a kind and its list."""
    if isinstance(value, Dimension):
        return True
    if not isinstance(value, Mapping):
        return False
    if value.keys() == {GRID_SEARCH}:
        return True
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        return False
    body = value[kinds[0]]
    if kinds[0] == "repeat":
        return "each" in value
    groups = isinstance(body, Mapping) and kinds[0] in ("choice", "architecture")
    return groups or isinstance(body, (list, tuple))


def misplaced(value: Any, *, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the places and values of dimensions inside a value, at any depth. A place is like ``0.width``."""
    if looks_like_dimension(value):
        yield where, value
        return
    inner: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        inner = iter(value.items())
    elif isinstance(value, (list, tuple)):
        inner = enumerate(value)
    for key, item in inner:
        yield from misplaced(item, where=f"{where}.{key}" if where else str(key))


def misplaced_problems(value: Any, *, instead: str) -> list[Problem]:
    """Return a problem for each dimension in a value that cannot hold one. ``instead`` says what to write."""
    return [
        Problem(where, f"looks like a dimension, but nothing is searched here; {instead}, got {shown(found)}")
        for where, found in misplaced(value)
    ]


def shown(found: Any) -> str:
    """Return a dimension as a sweep file writes it."""
    return written(found.to_dict() if isinstance(found, Dimension) else found)
