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


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values: ``1`` and ``1.0`` are one number, ``True`` is none."""
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
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
