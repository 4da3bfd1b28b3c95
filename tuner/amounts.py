"""``Varying``: an amount of a resource that depends on a trial's hyperparameters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapSerializer, WrapValidator

from tuner.errors import Problem, SpecError
from tuner.space import Arithmetic, Choice, Ordered, Ordinal, SearchSpace, numbers_in, same
from tuner.space.conditions import Constant
from tuner.space.values import is_number, written
from tuner.spec import Spec, describe, did_you_mean, nearest, problems_of

_FORM = "{when: {NAME: {value: amount}}, else: amount}"


class Varying:
    """An amount that depends on a trial's hyperparameters.

    It is an expression, such as ``max(1, hidden // 512)``, or a table with the amount for each value of one
    hyperparameter: ``{when: {model: {large: 8, small: 1}}, else: 2}``. ``else`` is for other values, and for
    configurations in which the hyperparameter is inactive.
    """

    def __init__(self, given: str | Mapping[str, Any]) -> None:
        """Raises SpecError if the form is wrong. ``problems`` checks the names."""
        self.written = given
        """As a sweep file writes it."""
        self._name, self._amounts, self._otherwise = (
            ("", {}, None) if isinstance(given, str) else _read_table(given)
        )

    def __repr__(self) -> str:
        return f"Varying({self.written!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Varying) and self.written == other.written

    def __hash__(self) -> int:
        return hash(repr(self.written))

    @property
    def amounts(self) -> dict[str, float]:
        """The amounts of a table by their places in a sweep file; empty for an expression."""
        found = {f"when.{self._name}.{value}": amount for value, amount in self._amounts.items()}
        return found if self._otherwise is None else {**found, "else": self._otherwise}

    def of(self, config: Mapping[str, Any]) -> float:
        """Return the amount for a trial with these hyperparameters. Raises SpecError if there is none."""
        if isinstance(self.written, str):
            numeric = {name: is_number(value) for name, value in config.items()}
            lists = {
                name: all(map(is_number, value)) for name, value in config.items() if isinstance(value, list)
            }
            plain = {name: always for name, always in numeric.items() if name not in lists}
            return _whole(self._computed(Arithmetic(self.written, numeric=plain, lists=lists), config))
        if (name := self._name) in config and (amount := self._listed(config[name])) is not None:
            return amount
        if self._otherwise is not None:
            return self._otherwise
        where = f"{name}={written(config[name])}" if name in config else f"a trial without {name}"
        raise SpecError([Problem("", f"must have an amount for {where}, or 'else'")])

    def problems(self, space: SearchSpace) -> list[Problem]:
        """Return what is wrong for the trials of a space."""
        if space.is_open:
            what = "cannot depend on hyperparameters that an Optuna objective names while it runs"
            return [Problem("", what)]
        return self._text_problems(space) if isinstance(self.written, str) else self._table_problems(space)

    def _text_problems(self, space: SearchSpace) -> list[Problem]:
        text = str(self.written)
        if text.isidentifier() and text not in space.names and not nearest(text, space.names):
            return [Problem("", f"must be a number, got {describe(text)}")]
        numeric, lists = numbers_in((name, d) for name in space.names for d in space.standing_for(name))
        try:
            names = Arithmetic(text, numeric=numeric, lists=lists).names
        except SpecError as error:
            return list(error.problems)
        if not names:
            return [Problem("", f"must be a number, got {describe(text)}")]
        return [
            Problem("", f"'{text}' computes with '{name}', which is not always active; write {_FORM}")
            for name in sorted(names)
            if not space.always(name)
        ]

    def _table_problems(self, space: SearchSpace) -> list[Problem]:
        name = self._name
        if name not in space.names:
            return [Problem("when", f"unknown hyperparameter '{name}'{did_you_mean(name, space.names)}")]
        dimensions = space.standing_for(name)
        words = "; or ".join(dimension.in_words() for dimension in dimensions)
        found = [
            Problem(f"when.{name}", f"'{name}' can never be {written(value)}; {words}")
            for value in self._amounts
            if not any(dimension.contains(form) for dimension in dimensions for form in _forms(value))
        ]
        if self._otherwise is not None or found:
            return found
        if not space.always(name):
            return [Problem("", f"must have 'else' for the trials in which '{name}' is inactive")]
        listed = (Choice, Ordinal, Constant)
        values = [value for each in dimensions if isinstance(each, listed) for value in each.values()]
        missing = [written(value) for value in values if self._listed(value) is None]
        if missing:
            what = f"must have an amount for {', '.join(missing)}; or write 'else'"
            return [Problem(f"when.{name}", what)]
        for each in dimensions:
            count = each.count if isinstance(each, Ordered) else None
            if not isinstance(each, listed) and (count is None or count > len(self._amounts)):
                return [Problem("", f"must have 'else' for the other values of '{name}'; {words}")]
        return []

    def _listed(self, value: Any) -> float | None:
        """Return the amount that the table has for a value. JSON turns all keys into texts."""
        exact = (amount for key, amount in self._amounts.items() if same(key, value))
        as_text = (amount for key, amount in self._amounts.items() if key == json.dumps(value, default=repr))
        return next(exact, next(as_text, None))

    def _computed(self, arithmetic: Arithmetic, config: Mapping[str, Any]) -> float:
        try:
            found = arithmetic.of(config)
        except (ArithmeticError, ValueError, IndexError) as error:
            self._refuse(f"cannot be computed ({error})", arithmetic, config)
        if not is_number(found):
            self._refuse(f"must be a finite number, got {found}", arithmetic, config)
        return found

    def _refuse(self, what: str, arithmetic: Arithmetic, config: Mapping[str, Any]) -> NoReturn:
        values = ", ".join(f"{name}={written(config[name])}" for name in sorted(arithmetic.names))
        raise SpecError([Problem("", f"'{self.written}' {what} for {values}")])


def _read_table(given: Mapping[str, Any]) -> tuple[str, dict[Any, float], float | None]:
    """Return the hyperparameter, the amount for each of its values, and the one for other values."""
    for key in given:
        if key not in ("when", "else"):
            raise SpecError([Problem("", f"unknown key '{key}'{did_you_mean(key, ('when', 'else'))}")])
    when = given.get("when")
    if not isinstance(when, Mapping) or len(when) != 1:
        got = describe(dict(given))
        raise SpecError([Problem("", f"must be {_FORM} with one hyperparameter, got {got}")])
    [(name, amounts)] = when.items()
    if not isinstance(amounts, Mapping) or not amounts:
        what = f"must be a mapping of values to amounts, got {describe(amounts)}"
        raise SpecError([Problem(f"when.{name}", what)])
    return str(name), dict(amounts), given.get("else")


def _forms(key: Any) -> Iterable[Any]:
    """Yield the values that a key can mean: itself, and what its text means in JSON."""
    yield key
    if isinstance(key, str):
        try:
            yield json.loads(key)
        except ValueError:
            return


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _validate(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a number, or the form and each amount of a ``Varying``."""
    if isinstance(value, Varying):
        return value
    if isinstance(value, str):
        return Varying(value)
    if not isinstance(value, Mapping):
        return check(value)
    varying = Varying(value)
    problems: list[Problem] = []
    for where, amount in varying.amounts.items():
        try:
            check(amount)
        except ValidationError as error:
            problems += [problem.inside(where) for problem in problems_of(error, Spec)]
    if problems:
        raise SpecError(problems)
    return varying


VARIES = (
    WrapValidator(_validate),
    WrapSerializer(lambda value, write: value.written if isinstance(value, Varying) else write(value)),
)
"""Metadata of a field whose value may also be a ``Varying``. Type checkers see the type of the number."""


def in_schema(schema: dict[str, Any]) -> None:
    """Allow an expression or a table in the JSON Schema of an amount."""
    number = {key: schema.pop(key) for key in list(schema) if key not in ("default", "description", "title")}
    table = {"type": "object", "minProperties": 1, "additionalProperties": number}
    schema["anyOf"] = [
        number,
        {
            "type": "string",
            "description": "an expression over hyperparameters",
            "not": {"enum": ["yes", "no", "on", "off", "all", "none", "auto"]},
        },
        {
            "type": "object",
            "description": "an amount for each value of a hyperparameter",
            "properties": {
                "when": {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": table,
                },
                "else": number,
            },
            "required": ["when"],
            "additionalProperties": False,
        },
    ]
