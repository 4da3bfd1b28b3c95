"""The pandas types of a report's columns."""

from __future__ import annotations

from typing import Any


def dtype_of(name: str, values: list[Any]) -> Any:
    """Return the pandas type of a column; ``None`` if pandas chooses."""
    present = [value for value in values if value is not None]
    if name in ("value", "seconds") or name.startswith("value."):
        return "float64"
    if name in ("id", "state", "error") or not present:
        return "object"
    if len(present) < len(values) and all(type(value) is int for value in present):
        return "Int64" if all(-(2**63) <= value < 2**63 for value in present) else "object"
    return None
