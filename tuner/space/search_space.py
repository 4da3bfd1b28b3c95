"""``SearchSpace``: named dimensions, constants and conditions, the same for every searcher."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from tuner.errors import Problem, SpecError
from tuner.space.dimensions import Choice, Dimension, Float, Int, check_grid_size
from tuner.space.entries import parse
from tuner.space.values import as_list, raise_any, same, written
from tuner.spec import describe, did_you_mean

Config = dict[str, Any]
"""One trial's hyperparameters: the active dimensions and the constants, in the order of the space."""

RESERVED = ("seed", "sweep_seed")
"""Keys that tuner adds to what a trainable is given."""


class SearchSpace:
    """Named dimensions and constants, as a sweep file or a dict gives them.

    A value may be a ``Dimension``, the mapping that a sweep file writes (``{float: [0, 1], log: true}``), or
    anything else that JSON can write, which is a constant. Raises SpecError with every problem found.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.dimensions: dict[str, Dimension] = {}
        self.constants: Config = {}
        problems: list[Problem] = []
        for name, entry in entries.items():
            if not isinstance(name, str):
                problems.append(Problem("", f"a hyperparameter's name must be text, got {describe(name)}"))
                continue
            try:
                parsed = parse(entry)
            except SpecError as error:
                problems += [problem.inside(name) for problem in error.problems]
                continue
            if isinstance(parsed, Dimension):
                self.dimensions[name] = parsed
            else:
                self.constants[name] = parsed
        if not entries:
            problems.append(
                Problem("", "an empty space has nothing to search; name at least one hyperparameter")
            )
        problems += [
            Problem(name, "tuner sets this itself, from the sweep's own 'seed'; choose another name")
            for name in entries
            if name in RESERVED
        ]
        self._names = [str(name) for name in entries]
        problems += self._check_conditions(unread={problem.where.split(".")[0] for problem in problems})
        raise_any(problems)
        self._order = self._topological()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        return f"SearchSpace({self.to_dict()})"

    @property
    def names(self) -> list[str]:
        """Every hyperparameter, constants included, in the order given."""
        return list(self._names)

    @property
    def conditional(self) -> bool:
        """Whether any dimension is conditional."""
        return any(dimension.when for dimension in self.dimensions.values())

    def ordered(self) -> Iterator[tuple[str, Dimension]]:
        """The dimensions, every parent before its children."""
        return ((name, self.dimensions[name]) for name in self._order)

    def active(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether dimension ``name`` is active, given at least its parents in ``config``."""
        for parent, allowed in (self.dimensions[name].when or {}).items():
            if parent not in config or not any(same(config[parent], value) for value in as_list(allowed)):
                return False
        return True

    def complete(self, chosen: Mapping[str, Any]) -> Config:
        """The configuration for the values of dimensions: inactive ones left out, constants put in."""
        config = dict(self.constants)
        for name, _ in self.ordered():
            if name in chosen and self.active(name, config):
                config[name] = chosen[name]
        return {name: config[name] for name in self._names if name in config}

    def sample(self, rng: np.random.Generator) -> Config:
        """Draw one configuration: each active dimension on its own, parents first."""
        chosen: Config = dict(self.constants)
        for name, dimension in self.ordered():
            if self.active(name, chosen):
                chosen[name] = dimension.sample(rng)
        return self.complete(chosen)

    def mutated(self, config: Mapping[str, Any], rng: np.random.Generator) -> Config:
        """``config`` with one active dimension moved to a neighbour, and its conditions repaired.

        What the change makes active is drawn; what it makes inactive is left out. The same configuration
        where there is nothing to change.
        """
        active = [name for name, _ in self.ordered() if name in config]
        if not active:
            return self.complete(config)
        moved = active[int(rng.integers(len(active)))]
        chosen: Config = dict(self.constants)
        for name, dimension in self.ordered():
            if self.active(name, chosen):
                if name == moved:
                    chosen[name] = dimension.neighbour(config[name], rng)
                else:
                    chosen[name] = config[name] if name in config else dimension.sample(rng)
        return self.complete(chosen)

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether ``config`` is complete and valid: exactly the active dimensions and the constants."""
        expected = {name for name in self.dimensions if self.active(name, config)} | self.constants.keys()
        return (
            config.keys() == expected
            and all(same(config[name], value) for name, value in self.constants.items())
            and all(d.contains(config[name]) for name, d in self.dimensions.items() if name in config)
        )

    def grid(self) -> list[Config]:
        """Every configuration of the grid, the last dimension changing fastest.

        A configuration that differs only in inactive dimensions is counted once. Raises SpecError when a
        dimension has no finite list of values, or when there are more than a million configurations.
        """
        problems: list[Problem] = []
        partial: list[Config] = [dict(self.constants)]
        for name, dimension in self.ordered():
            try:
                values = dimension.values()
            except SpecError as error:
                problems += [problem.inside(name) for problem in error.problems]
                continue
            active = [self.active(name, config) for config in partial]
            raise_any(check_grid_size(len(partial) + sum(active) * (len(values) - 1)))
            partial = list(
                itertools.chain.from_iterable(
                    [{**config, name: value} for value in values] if is_active else [config]
                    for config, is_active in zip(partial, active, strict=True)
                )
            )
        raise_any(problems)
        return [self.complete(config) for config in partial]

    def to_dict(self) -> dict[str, Any]:
        """The space as a sweep file writes it."""
        return {
            name: self.dimensions[name].to_dict() if name in self.dimensions else self.constants[name]
            for name in self._names
        }

    def _check_conditions(self, *, unread: set[str]) -> list[Problem]:
        problems = []
        for name, dimension in self.dimensions.items():
            for parent, allowed in (dimension.when or {}).items():
                where = f"{name}.when"
                if parent == name:
                    problems.append(Problem(where, f"'{name}' cannot depend on itself"))
                elif parent not in self._names:
                    hint = did_you_mean(parent, [n for n in self._names if n != name])
                    problems.append(Problem(where, f"unknown hyperparameter '{parent}'{hint}"))
                elif not as_list(allowed):
                    problems.append(Problem(where, f"'{parent}' must be given at least one value, got []"))
                elif parent not in unread:
                    problems += [
                        Problem(where, f"'{parent}' can never be {written(value)}; {self._can_be(parent)}")
                        for value in as_list(allowed)
                        if not self._reachable(parent, value)
                    ]
        if not problems and (loop := self._loop()):
            problems.append(Problem("", f"conditions go round in a circle: {' -> '.join(loop)}"))
        return problems

    def _reachable(self, parent: str, value: Any) -> bool:
        if parent in self.constants:
            return same(self.constants[parent], value)
        return self.dimensions[parent].contains(value)

    def _can_be(self, parent: str) -> str:
        match self.dimensions.get(parent):
            case Choice(choices=choices):
                return f"it is one of {', '.join(map(written, choices))}"
            case Float(low=low, high=high, step=step) | Int(low=low, high=high, step=step):
                number = "a whole number" if isinstance(self.dimensions[parent], Int) else "a number"
                return f"it is {number} in [{low}, {high}]{f' by {step}' if step not in (None, 1) else ''}"
        return f"it is {written(self.constants[parent])}"

    def _parents(self, name: str) -> list[str]:
        return [parent for parent in self.dimensions[name].when or {} if parent in self.dimensions]

    def _loop(self) -> list[str] | None:
        """A circle of conditions, each name before one of its parents; ``None`` when there is none."""
        for start in self.dimensions:
            child_of: dict[str, str] = {}
            frontier = [start]
            while frontier:
                child = frontier.pop()
                for parent in self._parents(child):
                    if parent == start:
                        path = [start, child]
                        while path[-1] != start:
                            path.append(child_of[path[-1]])
                        return path[::-1]
                    if parent not in child_of:
                        child_of[parent] = child
                        frontier.append(parent)
        return None

    def _topological(self) -> list[str]:
        ordered: list[str] = []
        waiting = list(self.dimensions)
        while waiting:
            ready = [name for name in waiting if all(parent in ordered for parent in self._parents(name))]
            ordered += ready
            waiting = [name for name in waiting if name not in ready]
        return ordered

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def build(value: Any) -> SearchSpace:
            if isinstance(value, SearchSpace):
                return value
            if not isinstance(value, Mapping):
                raise SpecError([Problem("", f"must be a mapping of hyperparameters, got {describe(value)}")])
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            build,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda space: space.to_dict()),
        )
