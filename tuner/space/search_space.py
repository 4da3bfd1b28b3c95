"""``SearchSpace``: named dimensions, constants, conditions and constraints, independent of the searcher."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice, Ordinal
from tuner.space.conditions import Constant
from tuner.space.constraints import Constraint
from tuner.space.coverage import covered
from tuner.space.dimension import UNSET, Dimension, check_grid_size
from tuner.space.foreign import named_entries
from tuner.space.reading import CONSTRAINTS, Entries, Slot, read
from tuner.space.repeat import Repeat
from tuner.space.values import encoded, same
from tuner.spec import describe

if TYPE_CHECKING:
    import optuna

Config = dict[str, Any]
"""A trial's hyperparameters: the active dimensions and the constants, in the order of the space."""

# A space is refused if its constraints reject more than 199 of 200 draws: 10 of 2,000 draws must pass.
_TEST_DRAWS = 2_000
_MIN_ACCEPTED = 10

# A space must accept at least 1 draw in 200. Even at 1 in 500, the probability that none of 20,000 draws is
# accepted is below 1e-17.
_MAX_DRAWS = 20_000

# If this many neighbours are rejected, a new configuration is drawn.
_MAX_MUTATIONS = 100


class SearchSpace:
    """Named dimensions and constants, as a sweep file or a dict gives them.

    A value may be a ``Dimension`` or a sweep file's mapping, such as ``{float: [0, 1], log: true}``. Anything
    else that JSON can represent is a constant. ``constraints`` is a list of expressions (see ``Constraint``).
    Raises SpecError with every problem found.

    A dimension in a group of a choice is identified by its path, its *key* (``optimizer.sgd.lr``), because
    another group may have one with the same name. A configuration uses the plain name (``lr``). For other
    dimensions, key and name are equal.
    """

    is_open = False
    """Whether its hyperparameters are unknown until a trial names them. It then has no dimensions."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._begin(read(entries))

    @classmethod
    def defined_by_run(cls) -> Self:
        """Return a space whose hyperparameters each trial names while it runs, as in Optuna."""
        space = cls.__new__(cls)
        space._begin(Entries())
        space.is_open = True
        return space

    def _begin(self, found: Entries) -> None:
        self._entries = found.entries
        self._slots: dict[str, Slot] = found.slots
        self._order = found.order
        self.constraints: list[Constraint] = found.constraints
        self.names: list[str] = list(dict.fromkeys(slot.name for slot in self._slots.values()))
        """Every hyperparameter, constants included, in the order given."""
        self.dimensions: dict[str, Dimension] = {
            key: slot.dimension
            for key, slot in self._slots.items()
            if not isinstance(slot.dimension, (Constant, Repeat))
        }
        """Key -> dimension to search, in the order given."""
        self.constants: Config = {
            slot.name: slot.dimension.value
            for slot in self._slots.values()
            if isinstance(slot.dimension, Constant) and not slot.conditions
        }
        """Constants that every configuration has."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    def __repr__(self) -> str:
        return f"SearchSpace({self.to_dict()})"

    @property
    def conditional(self) -> bool:
        """Return whether any hyperparameter is conditional."""
        return any(slot.conditions for slot in self._slots.values())

    def ordered(self) -> Iterator[tuple[str, Dimension]]:
        """Yield the dimensions by key, every parent before its children."""
        return ((key, self.dimensions[key]) for key in self._order if key in self.dimensions)

    def name(self, key: str) -> str:
        """Return the name of a dimension in configurations."""
        return self._slots[key].name

    def place(self, key: str) -> str:
        """Return where a configuration has a dimension: by its name (``lr``), or in a list (``units[0]``)."""
        slot = self._slots[key]
        return slot.name if slot.place is None else f"{slot.name}[{slot.place}]"

    def value(self, key: str, config: Mapping[str, Any]) -> Any:
        """Return the value of a dimension in a configuration; ``UNSET`` if it has none."""
        slot = self._slots[key]
        found = config.get(slot.name, UNSET)
        if slot.place is None or found is UNSET:
            return found
        listed = isinstance(found, (list, tuple)) and slot.place < len(found)
        return found[slot.place] if listed else UNSET

    def as_written(self) -> Iterator[tuple[str, Dimension]]:
        """Yield the dimensions by key as the space writes them: those of a list once, by its own key."""
        for key, slot in self._slots.items():
            if slot.place is None and not isinstance(found := slot.dimension, Constant):
                yield key, found.each if isinstance(found, Repeat) else found

    def standing_for(self, name: str) -> list[Dimension]:
        """Return the dimensions, lists and constants with a name. Several groups may use the same name."""
        return [slot.dimension for slot in self._slots.values() if slot.name == name and slot.place is None]

    def parents(self, name: str) -> set[str]:
        """Return the names that decide whether ``name`` is active, ancestors included."""
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
        """Return whether every configuration has ``name``.

        ``False`` also if that depends on a parent that not every configuration has, or on a number.
        """
        slots = [slot for slot in self._slots.values() if slot.name == name and slot.place is None]
        conditions = [slot.conditions for slot in slots]
        return covered(conditions, self._values_if_always_active)

    def _values_if_always_active(self, name: str) -> Sequence[Any] | None:
        """Return the values of a choice or an ordinal that every configuration has; else ``None``."""
        dimensions = self.standing_for(name)
        if len(dimensions) == 1 and isinstance(dimensions[0], (Choice, Ordinal)) and self.always(name):
            return dimensions[0].choices
        return None

    def active(self, key: str, config: Mapping[str, Any]) -> bool:
        """Return whether a dimension is active. ``config`` must hold at least its parents."""
        return all(condition.holds(config) for condition in self._slots[key].conditions)

    def build(self, choose: Callable[[str, Dimension], Any]) -> Config:
        """Return the configuration in which ``choose(key, dimension)`` gives each active dimension's value.

        Parents are asked before their children. Constraints are ignored.
        """
        config: Config = {}
        for key in self._order:
            slot = self._slots[key]
            if not self.active(key, config):
                continue
            match slot.dimension:
                case Constant(value=value):
                    config[slot.name] = value
                case Repeat():
                    config[slot.name] = []
                case dimension if slot.place is None:
                    config[slot.name] = dimension.own(choose(key, dimension))
                case dimension:
                    config[slot.name].append(dimension.own(choose(key, dimension)))
        return {name: config[name] for name in self.names if name in config}

    def complete(self, chosen: Mapping[str, Any]) -> Config:
        """Return the configuration for ``chosen``, a mapping of key -> value.

        Inactive dimensions are left out, and constants are added.
        """
        config = self.build(lambda key, _: chosen.get(key, UNSET))
        for name in {slot.name for slot in self._slots.values() if slot.place is not None} & config.keys():
            config[name] = [item for item in config[name] if item is not UNSET]
        return {name: value for name, value in config.items() if value is not UNSET}

    def by_key(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the active dimensions by key."""
        return {
            key: value
            for key, _ in self.ordered()
            if (value := self.value(key, config)) is not UNSET and self.active(key, config)
        }

    def restored(self, config: Mapping[str, Any]) -> Config:
        """Return a configuration read from JSON, with each value in the type that the space gives it."""

        def own(name: str, value: Any) -> Any:
            fitting = (d for d in self.standing_for(name) if d.contains(value))
            return next((d.own(value) for d in fitting), value)

        return {name: own(name, value) for name, value in config.items()}

    def allows(self, config: Mapping[str, Any]) -> bool:
        """Return whether a configuration meets every constraint that applies to it."""
        return all(constraint.holds(config) for constraint in self.constraints)

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Return whether ``config`` is complete and valid.

        It must have exactly the active hyperparameters and constants, with allowed values.
        """
        missing: list[str] = []

        def choose(key: str, dimension: Dimension) -> Any:
            if (value := self.value(key, config)) is UNSET:
                missing.append(key)
            return value

        expected = self.build(choose)
        return not missing and (
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
        """Draw a configuration that meets the constraints: each active dimension separately, parents first.

        ``given`` holds values by name that are not drawn. With ``defaults``, dimensions take their defaults
        instead of being drawn. Raises SpecError if none of 20,000 draws meets the constraints.
        """
        given = given or {}

        def choose(key: str, dimension: Dimension) -> Any:
            if (value := self.value(key, given)) is not UNSET:
                return value
            return dimension.default if defaults and dimension.default is not UNSET else dimension.sample(rng)

        for _ in range(_MAX_DRAWS):
            config = self.build(choose)
            if self.allows(config):
                return config
        raise SpecError([Problem(CONSTRAINTS, f"none of {_MAX_DRAWS} draws meets them{_with_given(given)}")])

    def defaults(self) -> dict[str, Any]:
        """Return key -> default for the dimensions that have one."""
        return {key: d.default for key, d in self.dimensions.items() if d.default is not UNSET}

    def mutated(self, config: Mapping[str, Any], rng: np.random.Generator) -> Config:
        """Return ``config`` with one active dimension moved to a neighbour.

        Dimensions that become active are drawn, and those that become inactive are left out. If no allowed
        neighbour is found, a new configuration is drawn.
        """
        before = self.by_key(config)
        keys = list(before)
        for _ in range(_MAX_MUTATIONS if keys else 0):
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
        """Return all allowed configurations of the grid. The last dimension changes fastest.

        Configurations that differ only in inactive dimensions count once. Raises SpecError if a dimension has
        no finite list of values, if there are more than a million configurations before constraints, or none
        after them.
        """
        problems: list[Problem] = []
        partial: list[Config] = [{}]
        for key in self._order:
            slot = self._slots[key]
            try:
                values = [[]] if isinstance(slot.dimension, Repeat) else slot.dimension.values()
            except SpecError as error:
                if not slot.place:  # all places of a list have the same problem
                    problems += [problem.inside(_written_key(slot)) for problem in error.problems]
                continue
            active = [self.active(key, config) for config in partial]
            check_grid_size(len(partial) + sum(active) * (len(values) - 1))
            partial = list(
                itertools.chain.from_iterable(
                    [_with_value(config, slot, value) for value in values] if is_active else [config]
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
        """Return a problem if the constraints reject nearly all of 2,000 draws; else ``None``."""
        if not self.constraints:
            return None
        rng = np.random.default_rng(0)
        accepted = sum(
            self.allows(self.build(lambda key, dimension: dimension.sample(rng))) for _ in range(_TEST_DRAWS)
        )
        if accepted >= _MIN_ACCEPTED:
            return None
        what = (
            f"must be met by at least {_MIN_ACCEPTED / _TEST_DRAWS:.1%} of the space, "
            f"got {accepted} of {_TEST_DRAWS} draws ({accepted / _TEST_DRAWS:.2%}); "
            "narrow the ranges, or write conditions"
        )
        return Problem(CONSTRAINTS, what)

    def from_optuna(self, trial: optuna.trial.Trial) -> Config:
        """Return the configuration that an Optuna trial suggests, define-by-run. Constraints are ignored."""
        from tuner.space.optuna import Parameter

        return self.build(lambda key, dimension: Parameter(key, dimension).ask(trial))

    def to_hyperopt(self) -> dict[str, Any]:
        """Return the space for ``hyperopt.fmin``, conditions included. ``from_hyperopt`` reads its points."""
        from tuner.space.hyperopt import Expression

        return Expression(self._slots, self._order).nodes

    def from_hyperopt(self, point: Mapping[str, Any]) -> Config:
        """Return the configuration for a point of ``to_hyperopt``. Constraints are ignored."""
        from tuner.space.hyperopt import from_hyperopt

        return self.build(lambda key, dimension: from_hyperopt(dimension, point[key]))

    def to_dict(self) -> dict[str, Any]:
        """Return the space as a sweep file writes it."""
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
                ours = named_entries(value) if isinstance(value, list) else None
                what = f"must be a mapping of hyperparameters, got {describe(value)}"
                raise SpecError([Problem("", f"{what}; write {ours}" if ours else what)])
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            build,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda space: space.to_dict()),
        )


def _written_key(slot: Slot) -> str:
    """Return the key of a slot; for a place of a list, that of the list."""
    return slot.key if slot.place is None else slot.key.rpartition("[")[0]


def _with_value(config: Config, slot: Slot, value: Any) -> Config:
    """Return the configuration and a slot's value, which a list gets as its last."""
    return {**config, slot.name: value if slot.place is None else [*config[slot.name], value]}


def _with_given(given: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{name}={value}' for name, value in given.items())}" if given else ""
