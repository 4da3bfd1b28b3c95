"""Finds our word for a word of another tool, for errors.

Names are compared by their letters and digits alone, in lower case: ``LearningRate`` is ``learning_rate``.
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
    """The letters and digits of a name, in lower case."""
    return re.sub("[^a-z0-9]", "", str(name).lower())


def _turned(table: Mapping[str, str]) -> dict[str, list[str]]:
    """Squeezed name of others -> our words for it."""
    found: dict[str, list[str]] = {}
    for ours, theirs in table.items():
        for name in theirs.split():
            found.setdefault(squeezed(name), []).append(ours)
    return found


_KEYS = {place: _turned(table) for place, table in KEYS.items()}
_WORDS = [_turned(table) for table in (*KEYS.values(), OPTIONS, VALUES)]
_GROUPS = [
    [squeezed(name) for name in (ours, *theirs.split())]
    for table in (*KEYS.values(), OPTIONS, VALUES)
    for ours, theirs in table.items()
]
_FORMS = {name: forms[0] for name, forms in _turned(DISTRIBUTIONS).items()}
_ROLES = {name: roles[0] for name, roles in _turned(ROLES).items()}
_ESTIMATORS = {name: paths[0] for name, paths in _turned(ESTIMATORS).items()}
_TRACKERS = {name: paths[0] for name, paths in _turned(TRACKERS).items()}
_MODES = {squeezed(name): mode for mode, names in METRICS.items() for name in names.split()}


def synonym(name: object, known: Iterable[str]) -> str | None:
    """Return the one of ``known`` that means the same as ``name``; ``None``: there is none."""
    by_name = {squeezed(each): each for each in known}
    for own in (squeezed(name), _without_ending(name)):
        if own in by_name:
            return by_name[own]
    own = squeezed(name)
    groups = (group for group in _GROUPS if own in group)
    return next((by_name[each] for group in groups for each in group if each in by_name), None)


def others(known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each name that others have for one of ``known``, and that one."""
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
    """The place and the key that a sweep file has for ``name``; ``None``: it has none."""
    own = squeezed(name)
    for place in _PLACES:
        keys = {squeezed(key): key for key in KEYS[place]}
        if own in keys:
            return place, keys[own]
        if own in _KEYS[place]:
            return place, _KEYS[place][own][0]
    return None


_METHOD_ENDINGS = ("sampler", "searcher", "search", "scheduler", "pruner", "algorithm", "optimizer")


def _without_ending(name: object) -> str:
    """The squeezed name of a class without what it is, as in ``TPESampler``."""
    own = squeezed(str(name).rpartition(".")[2])
    found = (own.removesuffix(end) for end in _METHOD_ENDINGS if own.endswith(end) and own != end)
    return next(found, own)


def estimator(name: object) -> str | None:
    """Return the import path of an estimator that goes by ``name``; ``None``: not known."""
    return _ESTIMATORS.get(squeezed(name))


def tracker(name: object) -> str | None:
    """Return the import path of a logger that goes by ``name``; ``None``: not known."""
    return _TRACKERS.get(squeezed(name))


def method(name: object) -> Iterator[tuple[Literal["searcher", "scheduler"], str | Mapping[str, Any]]]:
    """What a sweep file writes for the methods that go by ``name``, and under which key."""
    own, short = squeezed(str(name).rpartition(".")[2]), _without_ending(name)
    for key, table in METHODS.items():
        for ours, theirs in table:
            names = {squeezed(each) for each in theirs.split()}
            names |= {squeezed(ours)} if isinstance(ours, str) else set()
            if names & {own, short}:
                yield key, ours


def mode_of(metric: str) -> Literal["min", "max"] | None:
    """Return the mode of a standard metric, with or without a word for its rows; ``None``: it is none."""
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
    """The words of a metric without some of its first and last, if these only say of which rows it is."""
    qualifiers = QUALIFIERS.split()
    for start in range(len(words)):
        for end in range(len(words), start, -1):
            if all(word in qualifiers for word in (*words[:start], *words[end:])):
                yield words[start:end]


def form_of(name: object) -> str | None:
    """The form of a dimension, as in ``DISTRIBUTIONS``, that another tool's name means; ``None``: none."""
    own = squeezed(str(name).rpartition(".")[2]).removeprefix("suggest").removeprefix("hp")
    for end in ("distribution", "hyperparameter", "parameter", "valuespec", "uniformvalues"):
        if own != end and own not in _FORMS:
            own = own.removesuffix(end)
    return _FORMS.get(own)


def role_of(key: object) -> str | None:
    """What a key of another tool's dimension holds, as in ``ROLES``; ``None``: nothing known."""
    return _ROLES.get(squeezed(key))
