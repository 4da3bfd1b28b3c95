"""``read``: parse the entries of a space, check them against each other and order them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space import conditions
from tuner.space.choices import Choice
from tuner.space.conditions import Condition, Constant
from tuner.space.constraints import Constraint
from tuner.space.dimension import Dimension
from tuner.space.entries import parse
from tuner.space.kinds import is_nameless, shown
from tuner.space.repeat import MAX_LENGTH, Repeat, lengths_of
from tuner.space.values import is_number, raise_any
from tuner.spec import describe, did_you_mean

RESERVED = ("seed", "sweep_seed")
"""Keys that tuner adds to a trainable's configuration."""

CONSTRAINTS = "constraints"
"""The key of a space that holds its constraints."""


@dataclass(frozen=True)
class Slot:
    """A hyperparameter: its name in configurations, and when it is active."""

    key: str
    name: str
    dimension: Dimension
    group_of: str | None = None  # the key of the choice whose group contains it
    conditions: tuple[Condition, ...] = ()
    place: int | None = None  # its place in a list (see ``Repeat``), from 0; None: no part of a list


@dataclass
class Entries:
    """The result of ``read``."""

    entries: dict[str, Any] = field(default_factory=dict)
    """The top level of the space."""
    slots: dict[str, Slot] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    """Keys, parents first."""
    constraints: list[Constraint] = field(default_factory=list)


def read(entries: Mapping[str, Any]) -> Entries:
    """Return the hyperparameters of a space. Raises SpecError with every problem found."""
    found = Entries()
    problems: list[Problem] = []
    if is_nameless(entries):
        what = f"must be a mapping of hyperparameters, as {{name: {shown(entries)}}}, got a dimension"
        raise SpecError([Problem("", what)])
    for name, entry in entries.items():
        if not isinstance(name, str):
            problems.append(Problem("", f"a hyperparameter's name must be text, got {describe(name)}"))
            continue
        if name == CONSTRAINTS:
            continue
        try:
            found.entries[name] = parse(entry)
        except SpecError as error:
            problems += [problem.inside(name) for problem in error.problems]
    if not set(entries) - {CONSTRAINTS}:
        problems.append(Problem("", "an empty space has nothing to search; name at least one hyperparameter"))
    # Names of invalid entries: other entries may refer to them without another problem.
    unread = {str(name) for name in entries} - found.entries.keys() - {CONSTRAINTS}
    for name, entry in found.entries.items():
        for slot in _slots(name, name, entry, group_of=None, own_conditions=()):
            if slot.key in found.slots:
                problems.append(Problem(slot.key, "duplicate hyperparameter; choose another name"))
            found.slots[slot.key] = slot
    problems += _check_names(found.slots)
    problems += _read_conditions(found.slots, unread)
    if not problems:
        problems += _check_sharing(found.slots)
        if cycle := _cycle(found.slots):
            problems.append(Problem("", f"conditions form a cycle: {' -> '.join(cycle)}"))
    problems += _expand_repeats(found, unread)
    problems += _read_constraints(found, entries.get(CONSTRAINTS, ()), unread)
    raise_any(problems)
    found.order = _topological(found.slots)
    return found


def _slots(
    key: str, name: str, entry: Any, *, group_of: str | None, own_conditions: tuple[Condition, ...]
) -> Iterator[Slot]:
    """Yield the slot of an entry, and those of the hyperparameters in its groups."""
    dimension = entry if isinstance(entry, Dimension) else Constant(entry)
    yield Slot(key, name, dimension, group_of, own_conditions)
    if isinstance(dimension, Choice):
        for value, group in dimension.groups.items():
            for child, inner in group.items():
                path = f"{key}.{value}.{child}"
                in_group = (Condition(name, (value,)),)
                yield from _slots(path, child, inner, group_of=key, own_conditions=in_group)


def _check_names(slots: Mapping[str, Slot]) -> list[Problem]:
    problems = [
        Problem(slot.key, "tuner sets this from the sweep's 'seed'; choose another name")
        for slot in slots.values()
        if slot.name in RESERVED
    ]
    return problems + [
        Problem(slot.key, "constraints must be at the top of the space")
        for slot in slots.values()
        if slot.name == CONSTRAINTS
    ]


def _read_conditions(slots: dict[str, Slot], unread: set[str]) -> list[Problem]:
    """Add to each slot its own conditions and those of the groups around it."""
    problems: list[Problem] = []
    names = {slot.name for slot in slots.values()} | unread
    for key, slot in slots.items():
        when: list[Condition] = []
        for parent, allowed in (slot.dimension.when or {}).items():
            where = f"{key}.when"
            if parent == slot.name:
                problems.append(Problem(where, f"'{parent}' cannot depend on itself"))
            elif parent not in names:
                hint = did_you_mean(parent, names - {slot.name})
                problems.append(Problem(where, f"unknown hyperparameter '{parent}'{hint}"))
            elif parent not in unread:
                parents = [other.dimension for other in slots.values() if other.name == parent]
                if any(isinstance(each, Repeat) for each in parents):
                    what = (
                        f"cannot depend on '{parent}', which is a list; use the hyperparameter of its length"
                    )
                    problems.append(Problem(where, what))
                    continue
                try:
                    when.append(conditions.read(parent, allowed, parents))
                except SpecError as error:
                    problems += [problem.inside(where) for problem in error.problems]
        around = slots[slot.group_of].conditions if slot.group_of is not None else ()
        slots[key] = Slot(key, slot.name, slot.dimension, slot.group_of, (*around, *slot.conditions, *when))
    return problems


def _check_sharing(slots: Mapping[str, Slot]) -> list[Problem]:
    """Return a problem for each pair of hyperparameters with one name that can be active together."""
    problems = []
    by_name: dict[str, list[Slot]] = {}
    for slot in slots.values():
        for other in by_name.get(slot.name, []):
            if not conditions.exclusive(slot.conditions, other.conditions):
                what = f"'{slot.name}' can be active together with '{other.key}'; choose another name"
                problems.append(Problem(slot.key, what))
        by_name.setdefault(slot.name, []).append(slot)
    return problems


def _expand_repeats(found: Entries, unread: set[str]) -> list[Problem]:
    """Add a slot for each place of each list, after the slot of the list.

    A list is active where the hyperparameter of its length is.
    """
    problems: list[Problem] = []
    slots: dict[str, Slot] = {}
    for key, slot in found.slots.items():
        slots[key] = slot
        if not isinstance(slot.dimension, Repeat):
            continue
        try:
            length = _length_slot(found.slots, slot, slot.dimension, unread)
            if length is None and isinstance(slot.dimension.repeat, str):
                continue  # it is invalid itself
            for each in _repeated(slot, slot.dimension, length):
                slots[each.key] = each
        except SpecError as error:
            problems += [problem.inside(key) for problem in error.problems]
    found.slots = slots
    return problems


def _length_slot(slots: Mapping[str, Slot], slot: Slot, repeat: Repeat, unread: set[str]) -> Slot | None:
    """Return the slot that gives the length of a list; ``None`` if it is a number or could not be read."""
    name = repeat.repeat
    if isinstance(name, int) or name in unread:
        return None
    group = slot.key.removesuffix(slot.name)
    named = [other for other in slots.values() if other.name == name]
    beside = [other for other in named if other.key == f"{group}{name}"]
    if name == slot.name or not named:
        hint = did_you_mean(name, {other.name for other in slots.values()} - {slot.name})
        raise SpecError([Problem("repeat", f"unknown hyperparameter '{name}'{hint}")])
    if len(named) > 1 and not beside:
        what = f"several groups have a hyperparameter '{name}'; write the list into the group of its length"
        raise SpecError([Problem("repeat", what)])
    return (beside or named)[0]


def _repeated(slot: Slot, repeat: Repeat, length: Slot | None) -> Iterator[Slot]:
    """Yield the slot of a list, with its lengths, and those of its places."""
    around: tuple[Condition, ...] = slot.conditions
    lengths = [int(repeat.repeat)] if length is None else lengths_of(length.dimension)
    if lengths is None:
        assert length is not None
        what = f"'{length.name}' must be a whole number from 0 to {MAX_LENGTH}; {length.dimension.in_words()}"
        raise SpecError([Problem("repeat", what)])
    if length is not None:
        around = (*length.conditions, *(each for each in around if each not in length.conditions))
    bound = repeat.with_lengths(lengths)
    yield replace(slot, dimension=bound, conditions=around)
    for place in range(bound.lengths[-1]):
        # Lists of every length have the first places.
        long_enough = (
            ()
            if place < bound.lengths[0] or length is None
            else (Condition(length.name, (), place + 1, math.inf),)
        )
        conditions = (*around, *long_enough)
        key = f"{slot.key}[{place}]"
        yield Slot(key, slot.name, bound.at_place(place), slot.group_of, conditions, place)


def _read_constraints(found: Entries, given: Any, unread: set[str]) -> list[Problem]:
    if not isinstance(given, (list, tuple)):
        remedy = f"; write [{given}]" if isinstance(given, str) else ""
        return [Problem(CONSTRAINTS, f"must be a list of expressions, got {describe(given)}{remedy}")]
    numeric, lists = numbers_in(
        (slot.name, slot.dimension) for slot in found.slots.values() if slot.place is None
    )
    numeric = {**dict.fromkeys(unread, True), **numeric}
    problems = []
    for text in given:
        try:
            found.constraints.append(Constraint(text, numeric=numeric, lists=lists))
        except SpecError as error:
            problems += [problem.inside(CONSTRAINTS) for problem in error.problems]
    return problems


def numbers_in(dimensions: Iterable[tuple[str, Dimension]]) -> tuple[dict[str, bool], dict[str, bool]]:
    """Return whether each name is always a number, and whether each name of a list has only numbers."""
    numeric: dict[str, bool] = {}
    lists: dict[str, bool] = {}
    for name, dimension in dimensions:
        found, one = (lists, dimension.each) if isinstance(dimension, Repeat) else (numeric, dimension)
        found[name] = found.get(name, True) and all(map(is_number, one.extremes()))
    return numeric, lists


def _parents(slots: Mapping[str, Slot], key: str) -> list[str]:
    names = {condition.parent for condition in slots[key].conditions}
    return [other.key for other in slots.values() if other.name in names]


def _cycle(slots: Mapping[str, Slot]) -> list[str] | None:
    """Return a cycle of conditions, each key before one of its parents; ``None`` if there is none."""
    for start in slots:
        child_of: dict[str, str] = {}
        frontier = [start]
        while frontier:
            child = frontier.pop()
            for parent in _parents(slots, child):
                if parent == start:
                    path = [start, child]
                    while path[-1] != start:
                        path.append(child_of[path[-1]])
                    return path[::-1]
                if parent not in child_of:
                    child_of[parent] = child
                    frontier.append(parent)
    return None


def _topological(slots: Mapping[str, Slot]) -> list[str]:
    """Return the keys, every parent before its children."""
    ordered: list[str] = []
    waiting = list(slots)
    while waiting:
        ready = [key for key in waiting if all(parent in ordered for parent in _parents(slots, key))]
        ordered += ready
        waiting = [key for key in waiting if key not in ready]
    return ordered
