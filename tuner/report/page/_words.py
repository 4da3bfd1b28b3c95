"""Writes numbers with at most four significant digits, and text without HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeVar

from tuner.report.phrases import clean

_T = TypeVar("_T")

# A longer whole number is rounded, too.
_LONGEST_WHOLE = 10**12


def text(value: str) -> str:
    """Return a text as HTML, without control characters."""
    return escape(clean(value))


def brief(value: Any) -> str:
    """Return a value as text: numbers with four significant digits, text unchanged, the rest like JSON."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int) and abs(value) < _LONGEST_WHOLE:
        return str(value)
    if isinstance(value, (int, float)):
        return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e+")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{clean(str(key))}: {brief(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(brief, value)) + "]"
    return clean(str(value))


def rounded(value: Any) -> Any:
    """Return a value for the embedded data. Floats have four significant digits."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if value is None or (isinstance(value, int) and abs(value) < _LONGEST_WHOLE):
        return value
    return brief(value)


def cut(value: str, length: int) -> str:
    """Return the text, shortened to a number of characters."""
    return value if len(value) <= length else value[: length - 1] + "…"


def thinned(items: Sequence[_T], most: int) -> list[_T]:
    """Return at most ``most`` (at least 2) of the items, evenly spread, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
