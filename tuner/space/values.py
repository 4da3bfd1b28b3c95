"""What a hyperparameter's value may be: anything that JSON can write, compared as JSON compares it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tuner.errors import Problem, SpecError


def is_json(value: Any) -> bool:
    """Whether JSON can write the value and give it back."""
    if isinstance(value, (int, float)):
        return is_finite(value)
    if value is None or isinstance(value, str):
        return True
    if isinstance(value, (list, tuple)):
        return all(map(is_json, value))
    return isinstance(value, Mapping) and all(isinstance(k, str) and is_json(v) for k, v in value.items())


def is_value(value: Any) -> bool:
    """Whether a hyperparameter can have the value: what JSON can write, also with whole numbers as keys."""
    if isinstance(value, Mapping):
        texts = {str(key) for key in value}
        keys = all(isinstance(key, (str, int)) and not isinstance(key, bool) for key in value)
        return keys and len(texts) == len(value) and all(map(is_value, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(is_value, value))
    return is_json(value)


def encoded(value: Any) -> Any:
    """A value as a sweep file writes it: ``{tuple: [...]}``, and ``{pairs: ...}`` where keys are no text."""
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
    """What ``encoded`` was given; the value itself where nothing in it was encoded."""
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
    """Equal as JSON values: ``1`` and ``1.0`` are one number, ``True`` is none."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        ours, theirs = ({str(key): item for key, item in each.items()} for each in (one, other))
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def written(value: Any) -> str:
    """A value as a sweep file writes it."""
    return repr(value) if isinstance(value, str) else json.dumps(value, default=repr)


def raise_any(problems: list[Problem]) -> None:
    if problems:
        raise SpecError(problems)


def is_number(value: Any) -> bool:
    """Whether the value is a finite number, which a truth value is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)


def is_finite(number: float) -> bool:
    """Whether it is a number that a float can hold, up to rounding."""
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond all floats
        return False
