"""``Constraint``: what must hold between hyperparameters, as arithmetic; parsed, never evaluated as code."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.values import same
from tuner.spec import describe, did_you_mean

# Far beyond what is readable, and short enough for Python's parser whatever is nested in it.
_LENGTH = 300

_Value = Callable[[Mapping[str, Any]], Any]

_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    # In floating point: a power of whole numbers may be larger than memory.
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

# As a sweep file writes them; Python's own words are literals already.
_WORDS = {"true": True, "false": False, "null": None}


class Constraint:
    """An expression such as ``hidden * depth <= 2048``, which each configuration must make true.

    It is made of names of hyperparameters, numbers, texts, true, false and null (to be compared by ``==`` and
    ``!=``), ``+ - * / // % **``, comparisons, ``and``, ``or``, ``not`` and the functions abs, max, min, log,
    log2, log10 and sqrt. It says nothing about a configuration that lacks one of its hyperparameters, and is
    not met by one for which it cannot be computed (a division by zero).
    """

    def __init__(self, text: Any, *, numeric: Mapping[str, bool]) -> None:
        """``numeric``: the hyperparameters, and whether each is always a number. Raises SpecError."""
        if not isinstance(text, str) or not text.strip():
            raise SpecError([Problem("", f"a constraint must be an expression, got {describe(text)}")])
        self.text = text
        self.names: set[str] = set()
        self._numeric = numeric
        if len(text) > _LENGTH:
            raise self._wrong(f"must have at most {_LENGTH} characters, got {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._wrong("is no expression; must read as in hidden * depth <= 2048") from None
        self._holds = self._truth(tree)

    def __repr__(self) -> str:
        return f"Constraint({self.text!r})"

    def holds(self, config: Mapping[str, Any]) -> bool:
        """Whether it is met, or says nothing about ``config``."""
        if not self.names <= config.keys():
            return True
        try:
            return bool(self._holds(config))
        except (ArithmeticError, ValueError):
            return False

    def _wrong(self, what: str) -> SpecError:
        return SpecError([Problem("", f"'{self.text[:60]}' {what}")])

    def _truth(self, node: ast.expr) -> _Value:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._truth(value) for value in values]
                every = all if isinstance(op, ast.And) else any
                return lambda config: every(part(config) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._truth(operand)
                return lambda config: not inner(config)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                links = [
                    self._comparison(op, one, other)
                    for op, one, other in zip(ops, sides, sides[1:], strict=False)
                ]
                return lambda config: all(link(config) for link in links)
        raise self._wrong(f"must compare something, but '{ast.unparse(node)}' is neither true nor false")

    def _comparison(self, op: ast.cmpop, one: ast.expr, other: ast.expr) -> _Value:
        if order := _ORDER.get(type(op)):
            a, b = self._number(one), self._number(other)
            return lambda config: order(a(config), b(config))
        if equality := _EQUALITY.get(type(op)):
            a, b = self._value(one), self._value(other)
            return lambda config: equality(a(config), b(config))
        raise self._wrong("must compare by <, <=, >, >=, == or !=")

    def _value(self, node: ast.expr) -> _Value:
        """A side of == or !=: anything that a hyperparameter can be."""
        match node:
            case ast.Constant(value=str() | bool() | None as value):
                return lambda config: value
            case ast.Name(id=name) if name in _WORDS and name not in self._numeric:
                return lambda config: _WORDS[name]
            case ast.Name(id=name):
                self._know(name)
                return lambda config: config[name]
        return self._number(node)

    def _number(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return lambda config: value
            case ast.Name(id=name):
                self._know(name)
                if not self._numeric[name]:
                    raise self._wrong(f"reckons with '{name}', which is not always a number")
                return lambda config: config[name]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                inner = self._number(operand)
                return (lambda config: -inner(config)) if isinstance(op, ast.USub) else inner
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                combine, a, b = _ARITHMETIC[type(op)], self._number(left), self._number(right)
                return lambda config: combine(a(config), b(config))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args)
        raise self._wrong(f"must be arithmetic, but '{ast.unparse(node)}' is not")

    def _call(self, name: str, args: list[ast.expr]) -> _Value:
        if name not in _FUNCTIONS:
            raise self._wrong(f"calls an unknown function '{name}'{did_you_mean(name, _FUNCTIONS)}")
        several = name in ("max", "min")
        if len(args) < 2 if several else len(args) != 1:
            need = "at least two numbers" if several else "one number"
            raise self._wrong(f"must give '{name}' {need}, got {len(args)}")
        function, parts = _FUNCTIONS[name], [self._number(arg) for arg in args]
        return lambda config: function(*(part(config) for part in parts))

    def _know(self, name: str) -> None:
        if name not in self._numeric:
            raise self._wrong(f"names an unknown hyperparameter '{name}'{did_you_mean(name, self._numeric)}")
        self.names.add(name)
