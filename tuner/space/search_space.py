"""``SearchSpace``: named dimensions, constants, conditions and constraints, the same for every searcher."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice, Ordinal
from tuner.space.conditions import Constant
from tuner.space.constraints import Constraint
from tuner.space.coverage import covered
from tuner.space.dimension import UNSET, Dimension, check_grid_size
from tuner.space.reading import CONSTRAINTS, Slot, read
from tuner.space.values import encoded, same
from tuner.spec import describe

if TYPE_CHECKING:
    import optuna

Config = dict[str, Any]
"""One trial's hyperparameters: the active dimensions and the constants, in the order of the space."""

# A space whose constraints turn away more than 199 of 200 draws is refused: 10 of these are to be accepted.
_TRIAL_DRAWS = 2_000
_LEAST_ACCEPTED = 10

# At one acceptance in 500, below what is let in, a draw fails for good less than once in 10**17 times.
_DRAWS = 20_000

# Neighbours that are tried before a configuration is drawn afresh instead.
_MUTATIONS = 100


class SearchSpace:
    """Named dimensions and constants, as a sweep file or a dict gives them.

    A value may be a ``Dimension``, the mapping that a sweep file writes (``{float: [0, 1], log: true}``), or
    anything else that JSON can write, which is a constant. ``constraints`` is a list of expressions
    (``Constraint``). Raises SpecError with every problem found.

    A dimension in a group of a choice goes by its path (``optimizer.sgd.lr``), its *key*, since another group
    may have one of the same name; a configuration has it by its plain name (``lr``). Elsewhere the two are
    one.
    """

    def __init__(self, entries: Mapping[str, Any]) -> None:
        found = read(entries)
        self._entries = found.entries
        self._slots: dict[str, Slot] = found.slots
        self._order = found.order
        self.constraints: list[Constraint] = found.constraints
        self.names: list[str] = list(dict.fromkeys(slot.name for slot in self._slots.values()))
        """Every hyperparameter, constants included, in the order given."""
        self.dimensions: dict[str, Dimension] = {
            key: slot.dimension
            for key, slot in self._slots.items()
            if not isinstance(slot.dimension, Constant)
        }
        """Key -> what is searched, in the order given."""
        self.constants: Config = {
            slot.name: slot.dimension.value
            for slot in self._slots.values()
            if isinstance(slot.dimension, Constant) and not slot.conditions
        }
        """Those that every configuration has."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        return f"SearchSpace({self.to_dict()})"

    @property
    def conditional(self) -> bool:
        """Whether anything in it is conditional."""
        return any(slot.conditions for slot in self._slots.values())

    def ordered(self) -> Iterator[tuple[str, Dimension]]:
        """The dimensions by key, every parent before its children."""
        return ((key, self.dimensions[key]) for key in self._order if key in self.dimensions)

    def name(self, key: str) -> str:
        """The name by which a configuration has a dimension."""
        return self._slots[key].name

    def standing_for(self, name: str) -> list[Dimension]:
        """What can stand under a name in a configuration: one dimension, or one for each of its groups."""
        return [slot.dimension for slot in self._slots.values() if slot.name == name]

    def parents(self, name: str) -> set[str]:
        """The names on which it depends whether ``name`` is there."""
        found: set[str] = set()
        frontier = [name]
        while frontier:
            child = frontier.pop()
            slots = [slot for slot in self._slots.values() if slot.name == child]
            new = {condition.parent for slot in slots for condition in slot.conditions} - found
            found |= new
            frontier += new
        return found

    def always(self, name: str) -> bool:
        """Whether every configuration has ``name``, as far as conditions on listed values tell."""
        conditions = [slot.conditions for slot in self._slots.values() if slot.name == name]
        return covered(conditions, self._values_always_there)

    def _values_always_there(self, name: str) -> Sequence[Any] | None:
        """The values of a choice or an ordinal that every configuration has; ``None``: it is no such one."""
        standing = self.standing_for(name)
        if len(standing) == 1 and isinstance(standing[0], (Choice, Ordinal)) and self.always(name):
            return standing[0].choices
        return None

    def active(self, key: str, config: Mapping[str, Any]) -> bool:
        """Whether a dimension is active, given at least its parents in ``config``."""
        return all(condition.holds(config) for condition in self._slots[key].conditions)

    def build(self, choose: Callable[[str, Dimension], Any]) -> Config:
        """The configuration in which ``choose(key, dimension)`` says the value of each active dimension.

        Asked parents first. Constraints are not looked at.
        """
        config: Config = {}
        for key in self._order:
            slot = self._slots[key]
            if self.active(key, config):
                constant = isinstance(slot.dimension, Constant)
                config[slot.name] = (
                    slot.dimension.value if constant else slot.dimension.own(choose(key, slot.dimension))  # type: ignore[attr-defined]
                )
        return {name: config[name] for name in self.names if name in config}

    def complete(self, chosen: Mapping[str, Any]) -> Config:
        """The configuration for the values of dimensions by key: inactive ones left out, constants put in."""
        config = self.build(lambda key, _: chosen.get(key, UNSET))
        return {name: value for name, value in config.items() if value is not UNSET}

    def by_key(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the active dimensions by key."""
        return {
            key: config[self.name(key)]
            for key, _ in self.ordered()
            if self.name(key) in config and self.active(key, config)
        }

    def restored(self, config: Mapping[str, Any]) -> Config:
        """A configuration that JSON gave back, each value in the type that it has in the space."""

        def own(name: str, value: Any) -> Any:
            fitting = (d for d in self.standing_for(name) if d.contains(value))
            return next((d.own(value) for d in fitting), value)

        return {name: own(name, value) for name, value in config.items()}

    def allows(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration meets every constraint that speaks of it."""
        return all(constraint.holds(config) for constraint in self.constraints)

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether ``config`` is complete and valid: exactly what is active and the constants, all allowed."""
        try:
            expected = self.build(lambda key, _: config[self.name(key)])
        except KeyError:
            return False
        return (
            config.keys() == expected.keys()
            and all(same(config[name], value) for name, value in expected.items())
            and all(self.dimensions[key].contains(value) for key, value in self.by_key(config).items())
            and self.allows(config)
        )

    def sample(
        self,
        rng: np.random.Generator,
        *,
        given: Mapping[str, Any] | None = None,
        defaults: bool = False,
    ) -> Config:
        """Draw a configuration: each active dimension on its own, parents first; again until it is allowed.

        ``given``: values by name that are not drawn; with ``defaults``, nor are dimensions that have one.
        Raises SpecError when hardly any draw is allowed.
        """
        given = given or {}

        def choose(key: str, dimension: Dimension) -> Any:
            name = self.name(key)
            if name in given:
                return given[name]
            return dimension.default if defaults and dimension.default is not UNSET else dimension.sample(rng)

        for _ in range(_DRAWS):
            config = self.build(choose)
            if self.allows(config):
                return config
        raise SpecError([Problem(CONSTRAINTS, f"none of {_DRAWS} draws meets them{_beside(given)}")])

    def defaults(self) -> dict[str, Any]:
        """Key -> default, of the dimensions that have one."""
        return {key: d.default for key, d in self.dimensions.items() if d.default is not UNSET}

    def mutated(self, config: Mapping[str, Any], rng: np.random.Generator) -> Config:
        """``config`` with one active dimension moved to a neighbour, and its conditions repaired.

        What the change makes active is drawn; what it makes inactive is left out. Where no neighbour is found
        that is allowed, a new configuration is drawn instead.
        """
        before = self.by_key(config)
        keys = list(before)
        for _ in range(_MUTATIONS if keys else 0):
            moved = keys[int(rng.integers(len(keys)))]

            def choose(key: str, dimension: Dimension, moved: str = moved) -> Any:
                if key not in before:
                    return dimension.sample(rng)
                return dimension.neighbour(before[key], rng) if key == moved else before[key]

            mutated = self.build(choose)
            if self.allows(mutated) and not same(mutated, config):
                return mutated
        return self.sample(rng)

    def grid(self) -> list[Config]:
        """Every configuration of the grid that the constraints allow, the last dimension changing fastest.

        A configuration that differs only in inactive dimensions is counted once. Raises SpecError when a
        dimension has no finite list of values, when there are more than a million configurations before
        constraints, or none after them.
        """
        problems: list[Problem] = []
        partial: list[Config] = [{}]
        for key in self._order:
            slot = self._slots[key]
            try:
                values = slot.dimension.values()
            except SpecError as error:
                problems += [problem.inside(key) for problem in error.problems]
                continue
            active = [self.active(key, config) for config in partial]
            check_grid_size(len(partial) + sum(active) * (len(values) - 1))
            partial = list(
                itertools.chain.from_iterable(
                    [{**config, slot.name: value} for value in values] if is_active else [config]
                    for config, is_active in zip(partial, active, strict=True)
                )
            )
        if not problems and not any(map(self.allows, partial)):
            what = f"none of the {len(partial)} configurations of the grid meets them"
            problems.append(Problem(CONSTRAINTS, what))
        if problems:
            raise SpecError(problems)
        allowed = filter(self.allows, partial)
        return [{name: config[name] for name in self.names if name in config} for config in allowed]

    @functools.cached_property
    def tightness(self) -> Problem | None:
        """That the constraints turn away nearly all that is drawn, with the share seen; else ``None``."""
        if not self.constraints:
            return None
        rng = np.random.default_rng(0)
        accepted = sum(
            self.allows(self.build(lambda key, dimension: dimension.sample(rng))) for _ in range(_TRIAL_DRAWS)
        )
        if accepted >= _LEAST_ACCEPTED:
            return None
        what = (
            f"must be met by at least {_LEAST_ACCEPTED / _TRIAL_DRAWS:.1%} of the space, "
            f"got {accepted} of {_TRIAL_DRAWS} draws ({accepted / _TRIAL_DRAWS:.2%}); "
            "narrow the ranges, or write conditions"
        )
        return Problem(CONSTRAINTS, what)

    def from_optuna(self, trial: optuna.trial.Trial) -> Config:
        """The configuration that an Optuna trial suggests, define-by-run; constraints are not looked at."""
        from tuner.space.optuna import Parameter

        return self.build(lambda key, dimension: Parameter(key, dimension).ask(trial))

    def to_hyperopt(self) -> dict[str, Any]:
        """The space for ``hyperopt.fmin``, conditions included; its points are for ``from_hyperopt``."""
        from tuner.space.hyperopt import Expression

        return Expression(self._slots, self._order).nodes

    def from_hyperopt(self, point: Mapping[str, Any]) -> Config:
        """The configuration for a point of ``to_hyperopt``; constraints are not looked at."""
        from tuner.space.hyperopt import drawn

        return self.build(lambda key, dimension: drawn(dimension, point[key]))

    def to_dict(self) -> dict[str, Any]:
        """The space as a sweep file writes it."""
        written = {
            name: entry.to_dict() if isinstance(entry, Dimension) else encoded(entry)
            for name, entry in self._entries.items()
        }
        if self.constraints:
            written[CONSTRAINTS] = [constraint.text for constraint in self.constraints]
        return written

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


def _beside(given: Mapping[str, Any]) -> str:
    return f" beside {', '.join(f'{name}={value}' for name, value in given.items())}" if given else ""
