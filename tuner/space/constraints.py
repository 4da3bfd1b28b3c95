"""``Constraint`` and ``Arithmetic``: a condition on hyperparameters, and a number computed from them.

Both are parsed, never evaluated as code.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from tuner.errors import Problem, SpecError
from tuner.space.values import same
from tuner.spec import describe, did_you_mean

# Longer than any readable constraint, and short enough that nesting cannot overflow Python's parser.
_MAX_LENGTH = 300

_Value = Callable[[Mapping[str, Any]], Any]
"""Computes a part of the expression from a configuration."""

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    # Floating point, because a power of integers may exceed the memory.
    ast.Pow: lambda base, exponent: math.pow(base, exponent),
}
_ORDER: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITY: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: same,
    ast.NotEq: lambda one, other: not same(one, other),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "max": max,
    "min": min,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "sqrt": math.sqrt,
}

_OF_LISTS: dict[str, Callable[..., Any]] = {"sum": sum, "max": max, "min": min}

# The words of a sweep file. Python's True, False and None are literals already.
_WORDS = {"true": True, "false": False, "null": None}


class _Expression:
    """An expression over hyperparameters."""

    _kind: ClassVar[str]
    """What it is, for errors."""
    _example: ClassVar[str]

    def __init__(
        self, text: Any, *, numeric: Mapping[str, bool], lists: Mapping[str, bool] | None = None
    ) -> None:
        """Parse ``text``. Raises SpecError if it is not valid.

        - ``numeric``: names of the hyperparameters that are no lists, and whether each is always a number
        - ``lists``: names of the lists, and whether all values of each are numbers
        """
        if not isinstance(text, str) or not text.strip():
            raise SpecError([Problem("", f"{self._kind} must be an expression, got {describe(text)}")])
        self.text = text
        self.names: set[str] = set()
        self._numeric = numeric
        self._lists = lists or {}
        if len(text) > _MAX_LENGTH:
            raise self._error(f"must have at most {_MAX_LENGTH} characters, got {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error(f"is not an expression; write it like {self._example}") from None
        self._value = self._compile(tree)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def _compile(self, tree: ast.expr) -> _Value:
        raise NotImplementedError

    def _error(self, what: str) -> SpecError:
        return SpecError([Problem("", f"'{self.text[:60]}' {what}")])

    def _compile_number(self, node: ast.expr) -> _Value:
        """Return a function that computes the number ``node`` in a configuration."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return lambda config: value
            case ast.Name(id=name):
                self._record_name(name)
                if name in self._lists:
                    uses = f"sum({name}), max({name}), min({name}) or {name}[0]"
                    raise self._error(f"computes with '{name}', which is a list; write {uses}")
                if not self._numeric[name]:
                    raise self._error(f"computes with '{name}', which is not always a number")
                return lambda config: config[name]
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                place = self._place(name, index)
                return lambda config: config[name][place]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                inner = self._compile_number(operand)
                return (lambda config: -inner(config)) if isinstance(op, ast.USub) else inner
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                combine, a, b = _ARITHMETIC[type(op)], self._compile_number(left), self._compile_number(right)
                return lambda config: combine(a(config), b(config))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._compile_call(name, args)
        raise self._error(f"must be arithmetic, but '{ast.unparse(node)}' is not")

    def _place(self, name: str, index: ast.expr) -> int:
        """Return the place of a list's value in ``name[index]``."""
        self._record_list(name)
        try:
            place = ast.literal_eval(index)
        except ValueError:
            place = None
        if not isinstance(place, int) or isinstance(place, bool):
            raise self._error(f"must name a place of '{name}' by a whole number, as {name}[0]")
        return place

    def _record_list(self, name: str) -> None:
        self._record_name(name)
        if name not in self._lists:
            raise self._error(f"uses '{name}' as a list, but it is a single value")
        if not self._lists[name]:
            raise self._error(f"computes with '{name}', whose values are not always numbers")

    def _compile_call(self, name: str, args: list[ast.expr]) -> _Value:
        match args:
            case [ast.Name(id=named)] if name in _OF_LISTS and (
                named in self._lists or name not in _FUNCTIONS
            ):
                self._record_list(named)
                of_list = _OF_LISTS[name]
                return lambda config: of_list(config[named])
        if name not in _FUNCTIONS:
            known = _FUNCTIONS.keys() | _OF_LISTS.keys()
            raise self._error(f"calls an unknown function '{name}'{did_you_mean(name, known)}")
        takes_several = name in ("max", "min")
        if len(args) < 2 if takes_several else len(args) != 1:
            need = "at least two numbers" if takes_several else "one number"
            raise self._error(f"must give '{name}' {need}, got {len(args)}")
        function, parts = _FUNCTIONS[name], [self._compile_number(arg) for arg in args]
        return lambda config: function(*(part(config) for part in parts))

    def _record_name(self, name: str) -> None:
        known = {*self._numeric, *self._lists}
        if name not in known:
            raise self._error(f"names an unknown hyperparameter '{name}'{did_you_mean(name, known)}")
        self.names.add(name)


class Constraint(_Expression):
    """An expression such as ``hidden * depth <= 2048`` that each configuration must satisfy.

    It may contain names of hyperparameters, numbers, texts, true, false and null (with ``==`` and ``!=``
    only), ``+ - * / // % **``, comparisons, ``and``, ``or``, ``not`` and the functions abs, max, min, log,
    log2, log10 and sqrt. A list allows sum, max, min and one value, as ``units[0]``, or ``units[-1]``
    for the last.

    A configuration that lacks one of the hyperparameters, or the place of a list, satisfies it. A
    configuration violates it if it cannot be computed, for example because of a division by zero.
    """

    _kind = "a constraint"
    _example = "hidden * depth <= 2048"

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Return whether ``config`` satisfies the constraint, or lacks one of its hyperparameters."""
        if not self.names <= config.keys():
            return True
        try:
            return bool(self._value(config))
        except IndexError:  # a list is shorter
            return True
        except (ArithmeticError, ValueError):
            return False

    def _compile(self, tree: ast.expr) -> _Value:
        return self._compile_truth(tree)

    def _compile_truth(self, node: ast.expr) -> _Value:
        """Return a function that computes whether ``node`` holds in a configuration."""
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._compile_truth(value) for value in values]
                combine = all if isinstance(op, ast.And) else any
                return lambda config: combine(part(config) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._compile_truth(operand)
                return lambda config: not inner(config)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                links = [
                    self._compile_comparison(op, one, other)
                    for op, one, other in zip(ops, sides, sides[1:], strict=False)
                ]
                return lambda config: all(link(config) for link in links)
        raise self._error(f"must be a comparison, but '{ast.unparse(node)}' is neither true nor false")

    def _compile_comparison(self, op: ast.cmpop, one: ast.expr, other: ast.expr) -> _Value:
        if order := _ORDER.get(type(op)):
            a, b = self._compile_number(one), self._compile_number(other)
            return lambda config: order(a(config), b(config))
        if equality := _EQUALITY.get(type(op)):
            a, b = self._compile_value(one), self._compile_value(other)
            return lambda config: equality(a(config), b(config))
        raise self._error("must compare with <, <=, >, >=, == or !=")

    def _compile_value(self, node: ast.expr) -> _Value:
        """Compile a side of == or !=, which may be any value."""
        match node:
            case ast.Constant(value=str() | bool() | None as value):
                return lambda config: value
            case ast.Name(id=name) if name in _WORDS and name not in self._numeric:
                return lambda config: _WORDS[name]
            case ast.Name(id=name):
                self._record_name(name)
                return lambda config: config[name]
        return self._compile_number(node)


class Arithmetic(_Expression):
    """A number such as ``max(1, hidden // 512)``, in the language of ``Constraint``."""

    _kind = "an amount"
    _example = "max(1, hidden // 512)"

    def of(self, config: Mapping[str, Any]) -> float:
        """Return the number for a configuration, which must have all ``names``.

        Raises ArithmeticError, ValueError or IndexError if it cannot be computed.
        """
        return self._value(config)  # type: ignore[no-any-return]

    def _compile(self, tree: ast.expr) -> _Value:
        return self._compile_number(tree)
