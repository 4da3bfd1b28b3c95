"""How the page writes numbers and text: at most four significant digits, and nothing that HTML would read."""

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
    """A text as HTML, without control characters."""
    return escape(clean(value))


def brief(value: Any) -> str:
    """A value with numbers of at most four significant digits; text as it is, the rest like JSON."""
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
    """A value for the embedded data: floats have four significant digits, other numbers are as they are."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if value is None or (isinstance(value, int) and abs(value) < _LONGEST_WHOLE):
        return value
    return brief(value)


def cut(value: str, length: int) -> str:
    """A text with at most so many characters."""
    return value if len(value) <= length else value[: length - 1] + "…"


def thinned(items: Sequence[_T], most: int) -> list[_T]:
    """At most ``most`` (at least 2) of the items, evenly spread, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
