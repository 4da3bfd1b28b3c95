"""Rules for the values in a journal's rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from tuner.errors import ResultsError


class Rule(NamedTuple):
    """A condition on a stored value, and the conversion to the value of an event."""

    holds: Callable[[Any], bool]
    what: str
    """The condition in words, for error messages."""
    read: Callable[[Any], Any] = lambda value: value
    """Converts the stored value."""


_YEAR_10000 = 253_402_300_800.0  # in seconds since 1970; Python's datetime supports no later time

_MAX_EXACT = 2**53  # many JSON readers store numbers as floats, which are not exact above this

_MAX_NESTED = 64  # Python's JSON writer fails somewhere above 300

_NOTHING = object()


def require(holds: bool, what: str, got: Any = _NOTHING) -> None:
    """Raise ValueError with the requirement ``what`` and the value ``got``, unless ``holds``."""
    if not holds:
        raise ValueError(what if got is _NOTHING else f"{what}, got {_brief(got)}")


def unreadable(source: str, number: int, error: ValueError) -> ResultsError:
    """Return the error for an invalid event of a journal."""
    return ResultsError(f"{source}: event {number} cannot be read: {error}")


def check_columns(time: Any, kind: Any, trial: Any) -> None:
    """Raise ValueError unless the columns of a row are valid."""
    require(is_number(time) and 0 <= time < _YEAR_10000, "its time must be in seconds since 1970", time)
    require(isinstance(kind, str), "its kind must be text", kind)
    if trial is not None:
        require(_is_count(trial), "its trial must be a whole number from 0", trial)


def parsed(data: Any) -> dict[str, Any]:
    """Parse the JSON object in a row's data. Raises ValueError if it is not one."""
    require(isinstance(data, str), "its data must be text", data)
    require(_nesting(data) <= _MAX_NESTED, f"its data must have at most {_MAX_NESTED} levels of nesting")
    content = _DECODER.decode(data)
    require(isinstance(content, dict), "its data must be a JSON object", content)
    return dict(_replace_surrogates(content) if _SURROGATE.search(data) else content)


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of a surrogate, which JSON can express and UTF-8 cannot."""


def _replace_surrogates(value: Any) -> Any:
    """Return the value with a question mark in place of each lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_replace_surrogates(key): _replace_surrogates(item) for key, item in value.items()}
    return value


def _nesting(text: str) -> int:
    """Return an upper bound on the depth of nesting of a JSON text."""
    if text.count("[") + text.count("{") <= _MAX_NESTED:
        return 0
    depth = deepest = 0
    for bracket in re.findall(r"\"(?:[^\"\\]|\\.)*\"|[\[\]{}]", text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"a number must be finite, got {constant}")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _brief(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _MAX_EXACT:
        return "a number with many digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number that fits in a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # the integer does not fit in a float
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_EXACT


def _is_amount(value: Any) -> bool:
    return is_number(value) and 0 <= value <= _MAX_EXACT


ANYTHING = Rule(lambda value: True, "anything")
TEXT = Rule(lambda value: isinstance(value, str), "text")
NUMBER = Rule(is_number, "a finite number")
AMOUNT = Rule(_is_amount, "a number from 0 to 2^53")
COUNT = Rule(_is_count, "a whole number from 0 to 2^53")
OBJECT = Rule(lambda value: isinstance(value, dict), "an object")
NUMBERS = Rule(
    lambda value: isinstance(value, list) and all(map(is_number, value)),
    "a list of finite numbers",
    read=tuple,
)
CONTENTS = Rule(
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)),
    "two whole numbers from 0 to 2^53",
    read=tuple,
)
FLAG = Rule(lambda value: isinstance(value, bool), "true or false")
MAYBE_NUMBER = Rule(lambda value: value is None or is_number(value), "a finite number or null")


def one_of(*words: str) -> Rule:
    """Return the rule that a value must equal one of the given texts."""
    return Rule(lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}")


RANKS = Rule(
    lambda value: (
        isinstance(value, list)
        and all(
            isinstance(rank, dict)
            and isinstance(rank.get("node"), str)
            and isinstance(rank.get("gpus"), list)
            and all(isinstance(gpu, str) for gpu in rank["gpus"])
            for rank in value
        )
    ),
    "a list of ranks, each with its node and gpus",
    tuple,
)
