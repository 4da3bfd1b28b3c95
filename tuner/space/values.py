"""Values of hyperparameters: anything that JSON can represent, compared as JSON does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tuner.errors import Problem, SpecError


def is_json(value: Any) -> bool:
    """Return whether JSON can represent the value and restore it."""
    if isinstance(value, (int, float)):
        return is_finite(value)
    if value is None or isinstance(value, str):
        return True
    if isinstance(value, (list, tuple)):
        return all(map(is_json, value))
    return isinstance(value, Mapping) and all(isinstance(k, str) and is_json(v) for k, v in value.items())


def is_value(value: Any) -> bool:
    """Return whether a hyperparameter can have the value: JSON, also with whole numbers as keys."""
    if isinstance(value, Mapping):
        texts = {str(key) for key in value}
        keys = all(isinstance(key, (str, int)) and not isinstance(key, bool) for key in value)
        return keys and len(texts) == len(value) and all(map(is_value, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_value, value))
    return is_json(value)


def encoded(value: Any) -> Any:
    """Return a value as a sweep file writes it.

    A tuple becomes ``{tuple: [...]}``. A mapping becomes ``{pairs: ...}`` if its keys are not all texts.
    """
    if isinstance(value, tuple):
        return {"tuple": [encoded(item) for item in value]}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if decoded(value) is not value or not all(isinstance(key, str) for key in value):
        return {"pairs": [[key, encoded(item)] for key, item in value.items()]}
    return {key: encoded(item) for key, item in value.items()}


def decoded(value: Any) -> Any:
    """Return the original of an encoded value; the value itself if nothing in it was encoded."""
    if isinstance(value, list):
        items = [decoded(item) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, Mapping):
        return value
    [(key, body), *more] = value.items() or [(None, None)]
    if key == "tuple" and not more and isinstance(body, (list, tuple)):
        return tuple(map(decoded, body))
    if key == "pairs" and not more and isinstance(body, list) and all(map(_is_pair, body)):
        return {name: decoded(item) for name, item in body}
    inner = {name: decoded(item) for name, item in value.items()}
    return inner if any(inner[name] is not value[name] for name in value) else value


def _is_pair(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], (str, int))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON: ``1`` equals ``1.0``, and ``True`` is not a number."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        ours, theirs = ({str(key): item for key, item in each.items()} for each in (one, other))
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def written(value: Any) -> str:
    """Return a value as a sweep file writes it."""
    return repr(value) if isinstance(value, str) else json.dumps(value, default=repr)


def raise_any(problems: list[Problem]) -> None:
    if problems:
        raise SpecError(problems)


def is_number(value: Any) -> bool:
    """Return whether the value is a finite number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def is_finite(number: float) -> bool:
    """Return whether a float can hold the number, up to rounding."""
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond all floats
        return False
