"""The kinds of dimensions as a sweep file names them, and what looks like one where none can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from tuner.errors import Problem
from tuner.space.architecture import Architecture
from tuner.space.choices import Choice, Ordinal
from tuner.space.dimension import Dimension
from tuner.space.ranges import Float, Int
from tuner.space.values import written

KINDS: dict[str, type[Dimension]] = {
    "float": Float,
    "int": Int,
    "choice": Choice,
    "ordinal": Ordinal,
    "architecture": Architecture,
}

ELSEWHERE = {
    *("min", "max", "low", "high", "lower", "upper", "range", "grid", "values", "choices", "options"),
    *("categorical", "uniform", "loguniform", "quniform", "log_uniform", "qloguniform", "normal"),
    *("randint", "lograndint", "distribution", "type", "q", "base"),
}
"""How other tools write a dimension; a mapping of nothing but these is hardly meant as a constant."""

GRID_SEARCH = "grid_search"  # the one key with which Ray Tune's dictionaries say a dimension


def options_of(kind: type[Dimension]) -> list[str]:
    """The keys that stand beside a kind."""
    return [option.name for option in fields(kind) if option.kw_only]


def of_another_tool(entry: Mapping[Any, Any]) -> bool:
    """Whether a hyperparameter's mapping is a dimension as other tools write one."""
    options = {name for kind in KINDS.values() for name in options_of(kind)}
    foreign = entry.keys() - options
    return bool(foreign) and (GRID_SEARCH in entry or foreign <= ELSEWHERE)


def is_nameless(entries: Mapping[Any, Any]) -> bool:
    """Whether a mapping that should hold hyperparameters by name is one dimension without a name."""
    kinds = [kind for kind in KINDS if isinstance(entries.get(kind), (list, tuple))]
    return len(kinds) == 1 and set(entries) <= {kinds[0], *options_of(KINDS[kinds[0]])}


def looks_like_dimension(value: Any) -> bool:
    """Whether a value is a dimension, or is written like one: a kind and its list."""
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
    groups = isinstance(body, Mapping) and kinds[0] in ("choice", "architecture")
    return groups or isinstance(body, (list, tuple))


def misplaced(value: Any, *, where: str = "") -> Iterator[tuple[str, Any]]:
    """What looks like a dimension in a value, however deep, and its place, as in ``0.width``."""
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
    """A problem for each dimension in a value that can hold none; ``instead``: what to write."""
    return [
        Problem(where, f"looks like a dimension, but nothing is searched here; {instead}, got {shown(found)}")
        for where, found in misplaced(value)
    ]


def shown(found: Any) -> str:
    """A dimension as a sweep file writes it."""
    return written(found.to_dict() if isinstance(found, Dimension) else found)
