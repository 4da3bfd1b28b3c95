"""``Choice`` and ``Ordinal``: one value of a list, without and with an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuner.errors import Problem
from tuner.space.dimension import Dimension, Ordered
from tuner.space.ranges import adjacent
from tuner.space.values import encoded, is_value, raise_any, same, written


@dataclass(frozen=True)
class Choice(Dimension):
    """One of a list of different values. JSON must be able to represent each.

    A mapping instead of the list makes groups. Its keys are the choices. Each holds, by plain name, the
    hyperparameters that are active with that choice only. Two groups may use the same name::

        {"optimizer": Choice({"sgd": {"lr": Float(1e-3, 1.0)}, "adam": {"lr": Float(1e-5, 1e-2)}})}
    """

    choices: Any  # a tuple after construction
    groups: Mapping[str, Mapping[str, Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._unwrap()
        groups = {}
        problems: list[Problem] = []
        if isinstance(self.choices, Mapping):
            for value, group in self.choices.items():
                groups[value] = {} if group is None else group
                if not isinstance(value, str):
                    what = f"the value of a group must be text, got {written(value)}; use 'when' instead"
                    problems.append(Problem("", what))
                if not isinstance(groups[value], Mapping):
                    what = f"a group must be a mapping of hyperparameters, got {written(group)}"
                    problems.append(Problem(f"choice.{value}", what))
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "choices", tuple(self.choices))
        problems += _check_values(self.choices, "choice") + self.problems()
        raise_any(problems or self._default_problems())
        object.__setattr__(self, "default", self.own(self.default))

    def sample(self, rng: np.random.Generator) -> Any:
        return self.choices[int(rng.integers(len(self.choices)))]

    def contains(self, value: Any) -> bool:
        return any(same(value, choice) for choice in self.choices)

    def neighbour(self, value: Any, rng: np.random.Generator) -> Any:
        others = [choice for choice in self.choices if not same(choice, value)]
        return others[int(rng.integers(len(others)))] if others else value

    def own(self, value: Any) -> Any:
        return _own(self.choices, value)

    def index(self, value: Any) -> int:
        """Return the position of ``value`` among the choices. ``1`` and ``True`` differ."""
        return _index(self.choices, value)

    def quantile(self, share: float) -> Any:
        """Return the choice whose part of [0, 1] contains ``share``. All parts are equal."""
        return self.choices[min(int(share * len(self.choices)), len(self.choices) - 1)]

    def share(self, value: Any) -> float:
        """Return the middle of the part of [0, 1] that ``quantile`` maps to ``value``."""
        return (self.index(value) + 0.5) / len(self.choices)

    def values(self) -> list[Any]:
        return list(self.choices)

    def extremes(self) -> list[Any]:
        return list(self.choices)

    def to_dict(self) -> dict[str, Any]:
        if not self.groups:
            return self._with_options({"choice": list(map(encoded, self.choices))})
        groups = {
            value: {
                name: entry.to_dict() if isinstance(entry, Dimension) else encoded(entry)
                for name, entry in group.items()
            }
            for value, group in self.groups.items()
        }
        return self._with_options({"choice": groups})

    def in_words(self) -> str:
        return f"it is one of {', '.join(map(written, self.choices))}"


@dataclass(frozen=True)
class Ordinal(Ordered):
    """One of a list of different values whose order matters."""

    choices: tuple[Any, ...]

    def __post_init__(self) -> None:
        self._unwrap()
        object.__setattr__(self, "choices", tuple(self.choices))
        raise_any(_check_values(self.choices, "ordinal") + self.problems() or self._default_problems())
        object.__setattr__(self, "default", self.own(self.default))

    def contains(self, value: Any) -> bool:
        return any(same(value, choice) for choice in self.choices)

    def own(self, value: Any) -> Any:
        return _own(self.choices, value)

    def index(self, value: Any) -> int:
        """Return the position of ``value``. ``1`` and ``True`` differ."""
        return _index(self.choices, value)

    @property
    def count(self) -> int:
        return len(self.choices)

    def place(self, value: Any) -> float:
        return (self.index(value) + 0.5) / self.count

    def at(self, place: float) -> Any:
        return self.choices[min(int(place * self.count), self.count - 1)]

    def _adjacent(self, value: Any, rng: np.random.Generator) -> Any:
        return self.choices[adjacent(self.index(value), 0, self.count - 1, rng)]

    def values(self) -> list[Any]:
        return list(self.choices)

    def extremes(self) -> list[Any]:
        return list(self.choices)

    def to_dict(self) -> dict[str, Any]:
        return self._with_options({"ordinal": list(map(encoded, self.choices))})

    def in_words(self) -> str:
        return f"it is one of {', '.join(map(written, self.choices))}"


def _own(choices: tuple[Any, ...], value: Any) -> Any:
    """Return the choice that equals ``value``; ``value`` itself if there is none."""
    return next((choice for choice in choices if choice is value or same(choice, value)), value)


def _index(choices: tuple[Any, ...], value: Any) -> int:
    return next(index for index, choice in enumerate(choices) if same(value, choice))


def _check_values(choices: tuple[Any, ...], kind: str) -> list[Problem]:
    a_kind = "an ordinal" if kind == "ordinal" else "a choice"
    problems = []
    if not choices:
        problems.append(Problem("", f"{a_kind} needs at least one value"))
    for index, value in enumerate(choices):
        if isinstance(value, Dimension):
            what = f"the options of {a_kind} are values, not dimensions; use groups or 'when', got {value!r}"
            problems.append(Problem("", what))
        elif not is_value(value):
            problems.append(
                Problem("", f"each value of {a_kind} must be one that JSON can write, got {value!r}")
            )
        if any(same(value, other) for other in choices[:index]):
            where = "choices" if kind == "choice" else "values"
            problems.append(Problem("", f"duplicate value {value!r} among the {where}"))
    return problems
