"""Find our word for another tool's word, for error messages.

Names are compared by letters and digits only, in lower case, so ``LearningRate`` equals ``learning_rate``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from tuner.synonyms.table import (
    DISTRIBUTIONS,
    ESTIMATORS,
    KEYS,
    METHODS,
    METRICS,
    OPTIONS,
    QUALIFIERS,
    ROLES,
    TRACKERS,
    VALUES,
    Place,
)


def squeezed(name: object) -> str:
    """Return the letters and digits of a name, in lower case."""
    return re.sub("[^a-z0-9]", "", str(name).lower())


def _invert(table: Mapping[str, str]) -> dict[str, list[str]]:
    """Turn our name -> their names into their squeezed name -> our names."""
    found: dict[str, list[str]] = {}
    for ours, theirs in table.items():
        for name in theirs.split():
            found.setdefault(squeezed(name), []).append(ours)
    return found


_KEYS = {place: _invert(table) for place, table in KEYS.items()}
_WORDS = [_invert(table) for table in (*KEYS.values(), OPTIONS, VALUES)]
# Each group lists the names with one meaning, ours first.
_GROUPS = [
    [squeezed(name) for name in (ours, *theirs.split())]
    for table in (*KEYS.values(), OPTIONS, VALUES)
    for ours, theirs in table.items()
]
_FORMS = {name: forms[0] for name, forms in _invert(DISTRIBUTIONS).items()}
_ROLES = {name: roles[0] for name, roles in _invert(ROLES).items()}
_ESTIMATORS = {name: paths[0] for name, paths in _invert(ESTIMATORS).items()}
_TRACKERS = {name: paths[0] for name, paths in _invert(TRACKERS).items()}
_MODES = {squeezed(name): mode for mode, names in METRICS.items() for name in names.split()}


def synonym(name: object, known: Iterable[str]) -> str | None:
    """Return the name in ``known`` that means the same as ``name``, or ``None`` if there is none."""
    by_name = {squeezed(each): each for each in known}
    for form in (squeezed(name), _without_ending(name)):
        if form in by_name:
            return by_name[form]
    groups = (group for group in _GROUPS if squeezed(name) in group)
    return next((by_name[each] for group in groups for each in group if each in by_name), None)


def others(known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (another tool's name, our name) for every name in ``known``."""
    known = set(known)
    for table in _WORDS:
        for name, ours in table.items():
            for each in ours:
                if each in known:
                    yield name, each


_PLACES: tuple[Place, ...] = (
    *("sweep", "objective", "budget", "resources", "scheduler", "searcher", "trainable", "space"),
)


def place_of(name: object) -> tuple[Place, str] | None:
    """Return the place and the key that a sweep file has for ``name``, or ``None`` if it has none."""
    wanted = squeezed(name)
    for place in _PLACES:
        keys = {squeezed(key): key for key in KEYS[place]}
        if wanted in keys:
            return place, keys[wanted]
        if wanted in _KEYS[place]:
            return place, _KEYS[place][wanted][0]
    return None


_METHOD_ENDINGS = ("sampler", "searcher", "search", "scheduler", "pruner", "algorithm", "optimizer")


def _without_ending(name: object) -> str:
    """Return a class's squeezed name without its role: ``tpe`` for ``TPESampler``."""
    whole = squeezed(str(name).rpartition(".")[2])
    shorter = (whole.removesuffix(end) for end in _METHOD_ENDINGS if whole.endswith(end) and whole != end)
    return next(shorter, whole)


def estimator(name: object) -> str | None:
    """Return the import path of an estimator known as ``name``, or ``None``."""
    return _ESTIMATORS.get(squeezed(name))


def tracker(name: object) -> str | None:
    """Return the import path of a logger known as ``name``, or ``None``."""
    return _TRACKERS.get(squeezed(name))


def method(name: object) -> Iterator[tuple[Literal["searcher", "scheduler"], str | Mapping[str, Any]]]:
    """Yield the key and the value that a sweep file has for each method known as ``name``."""
    whole, short = squeezed(str(name).rpartition(".")[2]), _without_ending(name)
    for key, table in METHODS.items():
        for ours, theirs in table:
            names = {squeezed(each) for each in theirs.split()}
            names |= {squeezed(ours)} if isinstance(ours, str) else set()
            if names & {whole, short}:
                yield key, ours


def mode_of(metric: str) -> Literal["min", "max"] | None:
    """Return the mode of a standard metric, with or without a word such as ``val``; ``None`` for others."""
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_./@-]*", metric):
        return None
    words = re.findall("[A-Z]?[a-z0-9]+|[A-Z0-9]+", re.sub("(?<=[a-z0-9])(?=[A-Z])", " ", metric))
    for core in _cores([word.lower() for word in words]):
        if core[:1] == ["neg"] and _MODES.get("".join(core[1:])) == "min":  # scikit-learn's scorers
            return "max"
        if (mode := _MODES.get("".join(core))) is not None:
            return mode
    return None


def _cores(words: list[str]) -> Iterator[list[str]]:
    """Yield the words of a metric without leading and trailing words that only name its rows."""
    qualifiers = QUALIFIERS.split()
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            if all(word in qualifiers for word in (*words[:start], *words[end:])):
                yield words[start:end]


def form_of(name: object) -> str | None:
    """Return the form in ``DISTRIBUTIONS`` that another tool's name means, or ``None`` if it is unknown."""
    word = squeezed(str(name).rpartition(".")[2]).removeprefix("suggest").removeprefix("hp")
    for end in ("distribution", "hyperparameter", "parameter", "valuespec", "uniformvalues"):
        if word != end and word not in _FORMS:
            word = word.removesuffix(end)
    return _FORMS.get(word)


def role_of(key: object) -> str | None:
    """Return the role in ``ROLES`` of a key of another tool's dimension, or ``None`` if it is unknown."""
    return _ROLES.get(squeezed(key))
