"""Translate a space into a HyperOpt expression, in which conditions are switches, and points back."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice
from tuner.space.conditions import Condition, Constant
from tuner.space.dimension import Dimension, Ordered
from tuner.space.ranges import Float, Int
from tuner.space.reading import Slot
from tuner.space.repeat import Repeat

# Number of bisections of [0, 1]. Shares that still lie together are treated as equal.
_HALVINGS = 60


class Expression:
    """A space as HyperOpt expressions.

    ``nodes`` maps a key to its dimension's expression, whose value is -1 while the dimension is inactive. A
    choice is drawn by position, other dimensions by their share of the prior in [0, 1]. HyperOpt's labels are
    the keys.

    A conditional dimension is at the leaves of a tree of switches over its ancestors, parents first. HyperOpt
    does not accept a switch inside another switch that depends on it.
    """

    def __init__(self, slots: Mapping[str, Slot], order: Sequence[str]) -> None:
        from hyperopt import hp
        from hyperopt.pyll import scope

        self._slots = slots
        self._order = order
        self._scope = scope
        self._leaves: dict[str, Any] = {}
        for key, slot in slots.items():
            if isinstance(slot.dimension, Choice):
                self._leaves[key] = hp.randint(key, len(slot.dimension.choices))
            elif isinstance(slot.dimension, Ordered):
                self._leaves[key] = hp.uniform(key, 0.0, 1.0)
            elif not isinstance(slot.dimension, (Constant, Repeat)):
                what = f"HyperOpt cannot search dimensions of type {type(slot.dimension).__name__}"
                raise SpecError([Problem(key, what)])
        self.nodes = {key: self._tree(slots[key], self._ancestors(key), {}) for key in self._leaves}

    def _ancestors(self, key: str) -> list[Slot]:
        """Return all slots that decide whether a slot is active, parents first."""
        names: set[str] = set()
        frontier = [self._slots[key]]
        while frontier:
            wanted = {condition.parent for condition in frontier.pop().conditions} - names
            names |= wanted
            frontier += [slot for slot in self._slots.values() if slot.name in wanted]
        return [self._slots[other] for other in self._order if self._slots[other].name in names]

    def _tree(self, slot: Slot, ancestors: Sequence[Slot], known: Mapping[str, Any]) -> Any:
        """Return the expression of a slot's dimension, -1 where it is inactive.

        ``known`` holds the values of the ancestors that are decided.
        """
        undecided = {other.name for other in ancestors}
        for condition in slot.conditions:
            if condition.parent not in undecided and not condition.holds(known):
                return -1
        if not ancestors:
            return self._leaves[slot.key]
        first, *rest = ancestors
        if not all(condition.holds(known) for condition in first.conditions):
            return self._tree(slot, rest, known)
        relevant = [c for other in (*rest, slot) for c in other.conditions if c.parent == first.name]
        trees: dict[tuple[bool, ...], Any] = {}

        def tree(value: Any) -> Any:
            # Values at which the same conditions hold share a tree.
            admitted = tuple(condition.admits(value) for condition in relevant)
            if admitted not in trees:
                trees[admitted] = self._tree(slot, rest, {**known, first.name: value})
            return trees[admitted]

        if isinstance(first.dimension, Constant):
            return tree(first.dimension.value)
        if isinstance(first.dimension, Choice):
            branches = [tree(value) for value in first.dimension.choices]
            return branches[0] if len(trees) == 1 else self._scope.switch(self._leaves[first.key], *branches)
        assert isinstance(first.dimension, Ordered)
        found = {edge for condition in relevant for edge in _edges(first.dimension, condition)}
        edges = sorted(edge for edge in found if 0.0 < edge <= 1.0)
        branches = [tree(first.dimension.quantile(edge)) for edge in (0.0, *edges)]
        if len(trees) == 1:
            return branches[0]
        reached = [self._scope.int(self._leaves[first.key] >= edge) for edge in edges]
        return self._scope.switch(functools.reduce(operator.add, reached), *branches)


def from_hyperopt(dimension: Dimension, value: Any) -> Any:
    """Return the dimension's value for a value that HyperOpt drew."""
    if isinstance(dimension, Choice):
        return dimension.choices[int(value)]
    assert isinstance(dimension, Ordered)
    return dimension.quantile(min(max(float(value), 0.0), 1.0))


def to_hyperopt(dimension: Dimension, value: Any) -> Any:
    """Return the value that HyperOpt would have drawn for a dimension's value."""
    if isinstance(dimension, Choice):
        return dimension.index(value)
    assert isinstance(dimension, Ordered)
    return dimension.share(value)


def _edges(dimension: Ordered, condition: Condition) -> Iterator[float]:
    """Yield the shares at which the condition starts or stops holding. Shares above 1 are never reached."""
    values = list(condition.values)
    if not isinstance(dimension, (Float, Int)):
        values = [value for value in dimension.values() if condition.admits(value)]
    elif condition.low <= condition.high:
        yield _first(lambda share: dimension.quantile(share) >= condition.low)
        yield _first(lambda share: dimension.quantile(share) > condition.high)
    for place in (dimension.place(value) for value in values if dimension.contains(value)):
        yield _first(lambda share, place=place: _place(dimension, share) >= place)  # type: ignore[misc]
        yield _first(lambda share, place=place: _place(dimension, share) > place)  # type: ignore[misc]


def _place(dimension: Ordered, share: float) -> float:
    return dimension.place(dimension.quantile(share))


def _first(holds: Callable[[float], bool]) -> float:
    """Return the smallest share at which ``holds`` is true; above 1 if there is none.

    ``holds`` must stay true for all larger shares.
    """
    if not holds(1.0):
        return 2.0
    low, high = 0.0, 1.0
    if holds(low):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
