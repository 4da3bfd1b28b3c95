"""Read the space of a ``TunerSearchCV``: dimensions, lists of options, and distributions of SciPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tuner.errors import Problem, SpecError
from tuner.space import Dimension, Float, Int, SearchSpace, is_json
from tuner.space.kinds import KINDS
from tuner.spec import describe, locate, unwrapped

Objects = dict[str, list[tuple[str, Any]]]
"""Parameter -> (text in the sweep, object that it stands for)."""

_LONGEST_TEXT = 80
"""Characters of a text that stands for an object."""

_DISTRIBUTIONS = ("uniform", "loguniform", "reciprocal", "randint")
_PLACEHOLDERS = ("passthrough", "drop", None)


def read_space(space: Any, estimator: Any) -> tuple[SearchSpace, Objects]:
    """Return the search space, and the objects that its texts represent.

    JSON cannot hold an estimator or a function, so the space has a text in its place. Raises SpecError with
    every problem found.
    """
    if isinstance(space, SearchSpace):
        space = space.to_dict()
    if not isinstance(space, Mapping):
        what = f"must be a mapping of the estimator's parameters to what to search, got {describe(space)}"
        raise SpecError([Problem("space", what)])
    reader = _Reader(estimator)
    entries, problems = {}, []
    for name, entry in space.items():
        try:
            entries[str(name)] = reader.entry(str(name), entry)
        except SpecError as error:
            problems += [problem.inside(f"space.{name}") for problem in error.problems]
    if problems:
        raise SpecError(problems)
    try:
        return SearchSpace(entries), reader.objects
    except SpecError as error:
        raise SpecError(problem.inside("space") for problem in error.problems) from None


class _Reader:
    def __init__(self, estimator: Any) -> None:
        self._defaults = estimator.get_params(deep=True)
        self.objects: Objects = {}

    def entry(self, name: str, entry: Any) -> Any:
        """Return a parameter's entry as a sweep has it."""
        if isinstance(entry, Dimension):
            return self._with_paths(name, entry)
        if isinstance(entry, Mapping):
            return self._mapping(name, entry)
        if hasattr(entry, "rvs"):
            return _of_scipy(entry)
        if isinstance(entry, (list, tuple, range, np.ndarray)):
            return {"choice": [self._value(name, value) for value in _distinct(entry)]}
        if name == "constraints":
            return entry
        return self._value(name, entry)

    def _mapping(self, name: str, entry: Mapping[Any, Any]) -> Any:
        read = dict(entry)
        for kind in ("choice", "ordinal"):
            body = read.get(kind)
            if isinstance(body, Mapping):
                read[kind] = {self._value(name, option): self._group(group) for option, group in body.items()}
            elif isinstance(body, (list, tuple, np.ndarray)):
                read[kind] = [self._value(name, value) for value in body]
        if "default" in read:
            read["default"] = self._value(name, read["default"])
        if isinstance(read.get("when"), Mapping):
            read["when"] = {parent: self._condition(parent, wish) for parent, wish in read["when"].items()}
        if not any(kind in read for kind in KINDS):
            return self._value(name, entry)  # a constant, such as a class_weight
        return read

    def _group(self, group: Any) -> Any:
        if not isinstance(group, Mapping):
            return group  # the space says what is wrong
        return {inner: self.entry(inner, value) for inner, value in group.items()}

    def _condition(self, parent: str, wish: Any) -> Any:
        if isinstance(wish, (list, tuple)):
            return [self._value(parent, value) for value in wish]
        return wish if isinstance(wish, Mapping) else self._value(parent, wish)

    def _with_paths(self, name: str, dimension: Dimension) -> Dimension:
        for value in getattr(dimension, "choices", ()):
            self._value(name, value)
        for group in getattr(dimension, "groups", {}).values():
            for inner, entry in group.items():
                self.entry(inner, entry)
        return dimension

    def _value(self, name: str, value: Any) -> Any:
        """Return what a sweep has for a value: the value itself, or a text that represents it."""
        value = unwrapped(value)
        known = self.objects.setdefault(name, [])
        if isinstance(value, str) and self._is_path(name, value):
            if not any(text == value for text, _ in known):
                known.append((value, _instance(value)))
            return value
        if is_json(value) or isinstance(value, Mapping):
            return value
        for text, found in known:
            if found is value:
                return text
        text = original = _text(value)
        number = 1
        while any(text == other for other, _ in known):
            number += 1
            text = f"{original} #{number}"
        known.append((text, value))
        return text

    def _is_path(self, name: str, value: str) -> bool:
        """Return whether a text is the import path of a step, such as ``sklearn.decomposition:PCA``."""
        default = self._defaults.get(name)
        is_step = hasattr(default, "fit") or (name in self._defaults and default in _PLACEHOLDERS)
        return is_step and ":" in value


def _instance(path: str) -> Any:
    found = locate(path, {}, what="estimator")
    return found() if isinstance(found, type) else found


def _text(value: Any) -> str:
    named = getattr(value, "__qualname__", None)
    text = str(named) if named else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."


def _distinct(values: Any) -> list[Any]:
    """Return the values without repetitions, as plain Python values."""
    found: list[Any] = []
    for value in unwrapped(values, arrays=True) if isinstance(values, np.ndarray) else values:
        plain = unwrapped(value)
        if not any(_is_same(plain, other) for other in found):
            found.append(plain)
    return found


def _is_same(one: Any, other: Any) -> bool:
    """Return whether two options are the same. Arrays and the like are the same only as themselves."""
    return one is other or (type(one) is type(other) and (one == other) is True)


def _of_scipy(distribution: Any) -> Dimension:
    """Return the dimension of a frozen distribution of SciPy. Raises SpecError for one that has none."""
    name = getattr(getattr(distribution, "dist", None), "name", type(distribution).__name__)
    if name not in _DISTRIBUTIONS:
        what = f"must be uniform, loguniform or randint of scipy.stats, got {name}; write Float(low, high)"
        raise SpecError([Problem("", f"{what} or {{float: [low, high]}}")])
    low, high = distribution.support()
    if name == "randint":
        return Int(int(low), int(high))
    return Float(float(low), float(high), log=name != "uniform")
