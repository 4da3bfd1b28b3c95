"""Narrow an optional value to one that must exist, for tests under mypy."""

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """Return the value, which must not be ``None``."""
    assert value is not None
    return value
