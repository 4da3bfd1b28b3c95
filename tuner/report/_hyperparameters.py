"""Reads the search space of a journal's sweep: one entry for each name of a hyperparameter."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tuner.journal.rules import is_number

_MAX_LAYERS = 1_000

# More places of a list than any space has.
_MAX_PLACES = 100

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


def named(trials: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return name -> entry of the hyperparameters that trials named while they ran.

    ``trials``: name -> dimension for each trial
    """
    found: dict[str, list[Any]] = {}
    for dimensions in trials:
        for name, entry in dimensions.items():
            entries = found.setdefault(name, [])
            if entry not in entries:
                entries.append(entry)
    return {name: _union(entries) for name, entries in found.items()}


def is_searched(entry: Any) -> bool:
    """Return whether an entry is a dimension. An invalid dimension counts as a constant."""
    kinds = (bounds, layers, choices, repeated)
    return any(kind(entry) is not None for kind in kinds)


def repeated(entry: Any) -> Mapping[str, Any] | None:
    """Return the dimension of each value of a list (``repeat``); ``None`` for anything else."""
    if not isinstance(entry, Mapping) or "repeat" not in entry or not isinstance(entry.get("each"), Mapping):
        return None
    each = entry["each"]
    return each if "repeat" not in each and is_searched(each) else None


def by_place(searched: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the searched entries, with one entry for each place of a list, as ``units[0]``.

    A list has as many places as the longest in ``configs``.
    """
    found: dict[str, Any] = {}
    for name, entry in searched.items():
        if (each := repeated(entry)) is None:
            found[name] = entry
            continue
        lists = [value for config in configs if isinstance(value := config.get(name), list)]
        longest = min(max(map(len, lists), default=1), _MAX_PLACES)
        found |= {f"{name}[{place}]": each for place in range(max(1, longest))}
    return found


def with_places(config: Mapping[str, Any], lists: Collection[str]) -> dict[str, Any]:
    """Return a configuration in which the values of the named lists have separate names."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if name in lists and isinstance(value, list):
            found |= {f"{name}[{place}]": each for place, each in enumerate(value)}
        else:
            found[name] = value
    return found


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
    if (each := repeated(entry)) is not None:
        return {**entry, "each": _with_types(each)}
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
    dimensions = [each for entry in entries if (each := repeated(entry)) is not None]
    if len(dimensions) == len(entries):
        return {**entries[0], "each": _union(dimensions)}
    values = [value for entry in entries for value in _list_values(entry)]
    return {"choice": [value for index, value in enumerate(values) if value not in values[:index]]}


def _range(entry: Any) -> tuple[float, float] | None:
    """Return the range of an entry, which may be a number; ``None`` if it is neither."""
    return (entry, entry) if is_number(entry) else bounds(entry)


def _list_values(entry: Any) -> list[Any]:
    if not is_searched(entry):
        return [entry]
    return choices(entry) or list(bounds(entry) or ())
