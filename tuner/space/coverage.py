"""``covered``: whether conditions leave no gap, so that something is there in every configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tuner.space.choices import Choice, Ordinal
from tuner.space.conditions import Condition

if TYPE_CHECKING:
    from tuner.space.search_space import SearchSpace


def covered(space: SearchSpace, alternatives: Sequence[Sequence[Condition]]) -> bool:
    """Whether one of several sets of conditions holds in every configuration.

    Known for conditions on choices and ordinals; ``False`` where those on other parents would have to tell.
    """
    if not all(alternatives):
        return True  # one of them has no conditions (left)
    parents = {condition.parent for conditions in alternatives for condition in conditions}
    for parent in sorted(parents):
        standing = space.standing_for(parent)
        if len(standing) == 1 and isinstance(standing[0], (Choice, Ordinal)) and space.always(parent):
            return all(covered(space, _given(alternatives, parent, value)) for value in standing[0].choices)
    return False


def _given(alternatives: Sequence[Sequence[Condition]], parent: str, value: object) -> list[list[Condition]]:
    """The alternatives that are left at a value of a parent, without their conditions on it."""
    return [
        [condition for condition in conditions if condition.parent != parent]
        for conditions in alternatives
        if all(condition.admits(value) for condition in conditions if condition.parent == parent)
    ]
