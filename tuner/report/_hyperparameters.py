"""``hyperparameters``: a space as a sweep writes it, by the names that its configurations have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_KINDS = ("float", "int", "choice", "ordinal")


def hyperparameters(space: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> what a configuration can have there: a constant, a range or a list of choices.

    Names in groups come after the choice that holds them; of several of one name, one entry holds them all.
    """
    found: dict[str, list[Any]] = {}
    for name, entry in _walk({name: entry for name, entry in space.items() if name != "constraints"}):
        found.setdefault(name, []).append(entry)
    return {name: _union(entries) for name, entries in found.items()}


def is_searched(entry: Any) -> bool:
    """Whether an entry is a dimension and no constant."""
    return isinstance(entry, Mapping) and not entry.keys().isdisjoint(_KINDS)


def _walk(space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, entry in space.items():
        groups = entry.get("choice") if isinstance(entry, Mapping) else None
        if isinstance(groups, Mapping):
            yield name, {**entry, "choice": list(groups)}
            for group in groups.values():
                yield from _walk(group or {})
        else:
            yield name, _with_types(entry)


def has_types(value: Any) -> bool:
    """Whether something in a space has a type that JSON does not have, as a tuple; found without imports."""
    text = json.dumps(value)
    return '"tuple"' in text or '"pairs"' in text


def _with_types(entry: Any) -> Any:
    """The entry with the values that it lists in their own types."""
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
    ranges = [bounds for entry in entries if (bounds := _bounds(entry)) is not None]
    if len(ranges) == len(entries):
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        log = all(entry.get("log", False) for entry in entries if is_searched(entry))
        return {"float": [low, high], "log": log} if low < high else low
    values = [value for entry in entries for value in _listed(entry)]
    return {"choice": [value for index, value in enumerate(values) if value not in values[:index]]}


def _bounds(entry: Any) -> tuple[float, float] | None:
    """The least and the largest number of an entry; ``None`` where it is none, or lists what it can be."""
    if isinstance(entry, (int, float)) and not isinstance(entry, bool):
        return entry, entry
    if not is_searched(entry):
        return None
    low_high = entry.get("float", entry.get("int"))
    return None if low_high is None else (low_high[0], low_high[1])


def _listed(entry: Any) -> list[Any]:
    if not is_searched(entry):
        return [entry]
    return list(entry.get("choice", entry.get("ordinal", _bounds(entry) or ())))
