"""``Repeat``: a list of values from one dimension, as long as another hyperparameter says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from tuner.errors import Problem
from tuner.space.choices import Choice, Ordinal
from tuner.space.conditions import Constant
from tuner.space.dimension import UNSET, Dimension
from tuner.space.ranges import Int
from tuner.space.values import encoded, raise_any
from tuner.spec import describe

MAX_LENGTH = 64
"""Maximum length of a list. Each of its places is a dimension for the searcher."""


@dataclass(frozen=True)
class Repeat(Dimension):
    """A list of values. All come from the dimension ``each``.

    ``repeat`` names the hyperparameter that gives the length of the list, or is the length itself::

        {"layers": Int(1, 4), "units": Repeat("layers", each=Int(4, 128))}

    A configuration holds the list: ``{"layers": 2, "units": [64, 16]}``. It lacks the list if it lacks
    ``layers``. A searcher sees a dimension for each place of the list (``units[0]``, ``units[1]``, and so
    on), which is active if the list is long enough.
    """

    repeat: str | int
    each: Dimension = field(kw_only=True)
    lengths: tuple[int, ...] = field(init=False, default=(), compare=False)
    """The possible lengths, ascending. A space sets them when it reads its hyperparameters."""

    def __post_init__(self) -> None:
        self._unwrap()
        raise_any(self.problems())

    def with_lengths(self, lengths: Sequence[int]) -> Self:
        """Return the dimension for these lengths. Raises SpecError if its default has another one."""
        bound = replace(self)
        object.__setattr__(bound, "lengths", tuple(sorted(set(lengths))))
        raise_any(bound._default_problems())
        return bound

    def at_place(self, place: int) -> Dimension:
        """Return the dimension at a place of the list, from 0, with its own default."""
        known = self.default is not UNSET and place < len(self.default)
        return replace(self.each, default=self.default[place]) if known else self.each

    def contains(self, value: Any) -> bool:
        is_list = isinstance(value, (list, tuple))
        return (
            is_list
            and (not self.lengths or len(value) in self.lengths)
            and all(map(self.each.contains, value))
        )

    def own(self, value: Any) -> Any:
        return [self.each.own(item) for item in value] if isinstance(value, (list, tuple)) else value

    def extremes(self) -> list[Any]:
        ends = self.each.extremes()
        shortest, longest = self.lengths[0], self.lengths[-1]
        return [[end] * longest for end in ends] + ([[ends[0]] * shortest] if shortest < longest else [])

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {"repeat": self.repeat, "each": self.each.to_dict()}
        if self.when is not None:
            body["when"] = dict(self.when)
        return body if self.default is UNSET else {**body, "default": [*map(encoded, self.default)]}

    def in_words(self) -> str:
        return f"it is a list of values; each is {self.each.in_words().removeprefix('it is ')}"

    def problems(self) -> list[Problem]:
        problems = super().problems()
        is_length = isinstance(self.repeat, int) and not isinstance(self.repeat, bool)
        if is_length and not 1 <= int(self.repeat) <= MAX_LENGTH:
            problems.append(Problem("repeat", f"a length must be from 1 to {MAX_LENGTH}, got {self.repeat}"))
        elif not is_length and not isinstance(self.repeat, str):
            what = (
                f"must be the name of the hyperparameter that gives the length, got {describe(self.repeat)}"
            )
            problems.append(Problem("repeat", what))
        if not isinstance(self.each, Dimension):
            what = f"must be a dimension, as {{int: [4, 128]}}, got {describe(self.each)}"
            problems.append(Problem("each", what))
        elif isinstance(self.each, Repeat):
            problems.append(Problem("each", "must not be a list itself: lists are not nested"))
        elif isinstance(self.each, Choice) and self.each.groups:
            problems.append(Problem("each", "must be a choice without groups: a list holds plain values"))
        elif self.each.when is not None:
            problems.append(Problem("each.when", "is not possible here; write 'when' beside 'repeat'"))
        return problems


def lengths_of(dimension: Dimension) -> list[int] | None:
    """Return the lengths that a hyperparameter gives; ``None`` if it is not a whole number from 0 to 64."""
    match dimension:
        case Int(low=low, high=high, step=step) if low >= 0 and high <= MAX_LENGTH:
            return list(range(low, high + 1, step))
        case Choice() | Ordinal() | Constant():
            values = dimension.values()
            whole = all(isinstance(each, int) and not isinstance(each, bool) for each in values)
            return values if whole and all(0 <= each <= MAX_LENGTH for each in values) else None
    return None
