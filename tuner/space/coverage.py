"""``covered``: whether one of several sets of conditions holds in every configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tuner.space.conditions import Condition


def covered(
    alternatives: Sequence[Sequence[Condition]], values_of: Callable[[str], Sequence[Any] | None]
) -> bool:
    """Return whether one of several sets of conditions holds in every configuration.

    ``values_of`` returns the values of a parent that every configuration has; ``None`` if they cannot be
    listed. The result is ``False`` if it depends on other parents.
    """
    if not all(alternatives):
        return True  # one set has no conditions (left)
    parents = {condition.parent for conditions in alternatives for condition in conditions}
    for parent in sorted(parents):
        if (values := values_of(parent)) is not None:
            return all(covered(_remaining(alternatives, parent, value), values_of) for value in values)
    return False


def _remaining(
    alternatives: Sequence[Sequence[Condition]], parent: str, value: object
) -> list[list[Condition]]:
    """Return the alternatives that remain at a parent's value, without their conditions on that parent."""
    return [
        [condition for condition in conditions if condition.parent != parent]
        for conditions in alternatives
        if all(condition.admits(value) for condition in conditions if condition.parent == parent)
    ]
