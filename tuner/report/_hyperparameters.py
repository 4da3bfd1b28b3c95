"""Reads the search space of a journal's sweep: one entry for each name of a hyperparameter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tuner.journal.rules import is_number

_MAX_LAYERS = 1_000

# The default of an architecture.
_LAYERS = (1, 4)


def hyperparameters(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return name -> entry: a constant, a range, a list of choices or an architecture.

    Names in groups follow the choice that holds the groups. Entries with the same name are merged.
    """
    found: dict[str, list[Any]] = {}
    for name, entry in _walk({name: entry for name, entry in space.items() if name != "constraints"}):
        found.setdefault(name, []).append(entry)
    return {name: _union(entries) for name, entries in found.items()}


def is_searched(entry: Any) -> bool:
    """Return whether an entry is a dimension. An invalid dimension counts as a constant."""
    return bounds(entry) is not None or layers(entry) is not None or choices(entry) is not None


def bounds(entry: Any) -> tuple[float, float] | None:
    """Return the lowest and the highest value of a ``float`` or ``int``; ``None`` for anything else."""
    if not isinstance(entry, Mapping):
        return None
    pair = entry.get("float", entry.get("int"))
    if not (isinstance(pair, list) and len(pair) == 2 and all(map(is_number, pair)) and pair[0] <= pair[1]):
        return None
    return pair[0], pair[1]


def choices(entry: Any) -> list[Any] | None:
    """Return the values of a ``choice`` or ``ordinal``; ``None`` for anything else."""
    if not isinstance(entry, Mapping):
        return None
    values = entry.get("choice", entry.get("ordinal"))
    return list(values) if isinstance(values, list) else None


def layers(entry: Any) -> tuple[int, int] | None:
    """Return the fewest and the most layers of an ``architecture``; ``None`` for anything else."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("architecture"), Mapping):
        return None
    pair = entry.get("layers", _LAYERS)
    if not (isinstance(pair, (list, tuple)) and [type(count) for count in pair] == [int, int]):
        return None
    return (pair[0], pair[1]) if 0 <= pair[0] <= pair[1] <= _MAX_LAYERS else None


def _walk(space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, entry in space.items():
        groups = entry.get("choice") if isinstance(entry, Mapping) else None
        if isinstance(groups, Mapping):
            yield name, {**entry, "choice": list(groups)}
            for group in groups.values():
                yield from _walk(group if isinstance(group, Mapping) else {})
        else:
            yield name, _with_types(entry)


def has_types(value: Any) -> bool:
    """Return whether a value in a space has a type that JSON lacks, such as a tuple. Imports no NumPy."""
    text = json.dumps(value)
    return '"tuple"' in text or '"pairs"' in text


def _with_types(entry: Any) -> Any:
    """Return the entry with its listed values in their own types."""
    if not has_types(entry):
        return entry
    from tuner.space import decoded  # imports NumPy

    kind = next((kind for kind in ("choice", "ordinal") if is_searched(entry) and kind in entry), None)
    if kind is None:
        return entry if is_searched(entry) else decoded(entry)
    return {**entry, kind: [decoded(value) for value in entry[kind]]}


def _union(entries: list[Any]) -> Any:
    if len(entries) == 1:
        return entries[0]
    ranges = [found for entry in entries if (found := _range(entry)) is not None]
    if len(ranges) == len(entries):
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        log = all(entry.get("log", False) for entry in entries if is_searched(entry))
        return {"float": [low, high], "log": log} if low < high else low
    counts = [found for entry in entries if (found := layers(entry)) is not None]
    if len(counts) == len(entries):
        fewest, most = min(low for low, _ in counts), max(high for _, high in counts)
        return {**entries[0], "layers": [fewest, most]}
    values = [value for entry in entries for value in _list_values(entry)]
    return {"choice": [value for index, value in enumerate(values) if value not in values[:index]]}


def _range(entry: Any) -> tuple[float, float] | None:
    """Return the range of an entry, which may be a number; ``None`` if it is neither."""
    return (entry, entry) if is_number(entry) else bounds(entry)


def _list_values(entry: Any) -> list[Any]:
    if not is_searched(entry):
        return [entry]
    return choices(entry) or list(bounds(entry) or ())
