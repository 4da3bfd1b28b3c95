"""``Event`` and ``Checker``: what the rows of a journal must hold, whoever wrote them.

A journal may be damaged, or come from a stranger. Each row is checked here once, so that whoever reads one
can trust its types.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.errors import ResultsError


@dataclass(frozen=True)
class Event:
    """One entry of a journal."""

    time: float
    kind: str
    trial: int | None
    data: dict[str, Any]


_YEAR_10000 = 253_402_300_800.0  # in seconds since 1970; no calendar of Python's knows a later time

_MOST = 2**53  # whole numbers above are no longer exact in JSON elsewhere

_MOST_NESTED = 64  # Python's JSON writer fails somewhere above 300

_CHECKPOINTS = "checkpoints"


def checkpoint_name(path: str) -> str:
    """The part of a checkpoint's path that stays when the results folder moves: from ``checkpoints/`` on.

    A path without such a part is returned as it is.
    """
    parts = path.split("/")
    if _CHECKPOINTS not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index(_CHECKPOINTS)
    return "/".join(parts[last:])


def is_checkpoint_name(name: str) -> bool:
    """Whether a name lies below ``checkpoints/``, and so in the results folder."""
    first, *rest = name.split("/")
    return first == _CHECKPOINTS and bool(rest) and all(re.fullmatch(r"\w[\w.-]*", part) for part in rest)


class Checker:
    """Checks the rows of one journal in their order."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._number = 0  # of the last event, from 1
        self._objectives = 1
        self._trials: set[int] = set()

    def event(self, row: tuple[Any, ...]) -> Event:
        """The event of a row (time, kind, trial, data). Raises ResultsError when it cannot be one."""
        self._number += 1
        try:
            return self._event(*row)
        except ValueError as error:
            raise ResultsError(f"{self._source}: event {self._number} cannot be read: {error}") from None

    def _event(self, time: Any, kind: Any, trial: Any, data: Any) -> Event:
        _require(is_number(time) and 0 <= time < _YEAR_10000, "its time must be seconds since 1970", time)
        _require(isinstance(kind, str), "its kind must be text", kind)
        known = _KINDS.get(kind)
        if trial is not None:
            _require(_is_count(trial), "its trial must be a whole number from 0", trial)
        if known is not None:
            about = "must" if known.of_trial else "must not"
            _require((trial is not None) == known.of_trial, f"'{kind}' {about} name a trial", trial)
        content = _object(data)
        for key, (condition, what) in (known.required if known else {}).items():
            _require(key in content, f"'{kind}' must have '{key}'")
            _require(condition(content[key]), f"'{key}' of '{kind}' must be {what}", content[key])
        for key, (condition, what) in (known.optional if known else {}).items():
            if content.get(key) is not None:
                _require(condition(content[key]), f"'{key}' of '{kind}' must be {what}", content[key])
        self._check_order(kind, trial, content)
        for key in known.paths if known else ():
            if isinstance(content.get(key), str):
                content[key] = checkpoint_name(content[key])
        return Event(float(time), kind, trial, content)

    def _check_order(self, kind: str, trial: int | None, data: dict[str, Any]) -> None:
        if kind == "sweep":
            _require(self._number == 1, "'sweep' must be the first event")
            objective = data["sweep"].get("objective", {})
            several = objective if isinstance(objective, list) else [objective]
            sound = bool(several) and all(
                isinstance(each, dict) and isinstance(each.get("metric", ""), str) for each in several
            )
            what = "'objective' of the sweep must be an object with a 'metric', or a list of them"
            _require(sound, what, objective)
            self._objectives = len(several)
        elif kind == "suggested" and trial is not None:
            _require(trial not in self._trials, f"trial {trial} was suggested before")
            self._trials.add(trial)
        elif trial is not None:
            _require(trial in self._trials, f"trial {trial} was not suggested before")
        if kind == "reconfigured":
            _require(
                data["source"] in self._trials, f"its source, {data['source']}, was not suggested before"
            )
        if kind == "result" and self._objectives > 1:
            values = data.get("values")
            has_all = isinstance(values, list) and len(values) == self._objectives
            _require(has_all, f"'result' must have {self._objectives} values", values)


def _object(data: Any) -> dict[str, Any]:
    _require(isinstance(data, str), "its data must be text", data)
    _require(_nesting(data) <= _MOST_NESTED, f"its data must be nested at most {_MOST_NESTED} times")
    content = json.loads(data, parse_constant=_refuse)
    _require(isinstance(content, dict), "its data must be a JSON object", content)
    return dict(_encodable(content) if _SURROGATE.search(data) else content)


# The escape of half a character, which JSON can write and UTF-8 cannot.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _encodable(value: Any) -> Any:
    """The value with a question mark for each half of a character whose other half is missing."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _nesting(text: str) -> int:
    """How deep the text may be nested; brackets inside of quotes make it seem deeper, not less deep."""
    if text.count("[") + text.count("{") <= _MOST_NESTED:
        return 0
    depth = deepest = 0
    for bracket in re.findall(r"\"(?:[^\"\\]|\\.)*\"|[\[\]{}]", text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket, 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse(constant: str) -> None:
    raise ValueError(f"a number must be finite, got {constant}")


_NOTHING = object()


def _require(holds: bool, what: str, got: Any = _NOTHING) -> None:
    if not holds:
        raise ValueError(what if got is _NOTHING else f"{what}, got {_brief(got)}")


def _brief(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _MOST:
        return "a number of many digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_amount(value: Any) -> bool:
    return is_number(value) and 0 <= value <= _MOST


_Rule = tuple[Callable[[Any], bool], str]

_TEXT: _Rule = (lambda value: isinstance(value, str), "text")
_NUMBER: _Rule = (is_number, "a finite number")
_AMOUNT: _Rule = (_is_amount, "a number from 0 to 2^53")
_COUNT: _Rule = (_is_count, "a whole number from 0 to 2^53")
_OBJECT: _Rule = (lambda value: isinstance(value, dict), "an object")
_NUMBERS: _Rule = (
    lambda value: isinstance(value, list) and all(map(is_number, value)),
    "a list of finite numbers",
)
_CONTENTS: _Rule = (
    lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)),
    "two whole numbers",
)
_FLAG: _Rule = (lambda value: isinstance(value, bool), "true or false")
_MAYBE_NUMBER: _Rule = (lambda value: value is None or is_number(value), "a finite number or null")


def _one_of(*words: str) -> _Rule:
    return lambda value: isinstance(value, str) and value in words, f"one of {', '.join(words)}"


@dataclass(frozen=True)
class _Kind:
    """What the data of a kind of event must have, and may have; ``paths``: keys that name checkpoints."""

    of_trial: bool
    required: Mapping[str, _Rule]
    optional: Mapping[str, _Rule]
    paths: tuple[str, ...] = ()


_KINDS = {
    "sweep": _Kind(False, {"sweep": _OBJECT}, {"id": _TEXT, "signature": _TEXT, "began": _AMOUNT}),
    "suggested": _Kind(True, {"config": _OBJECT, "seed": _COUNT}, {}),
    "started": _Kind(True, {}, {"node": _TEXT}),
    "result": _Kind(
        True,
        {"iteration": _COUNT, "value": _MAYBE_NUMBER, "seconds": _AMOUNT, "metrics": _OBJECT},
        {"values": _NUMBERS},
    ),
    "decision": _Kind(
        True,
        {"action": _one_of("continue", "pause", "resume", "stop", "complete"), "resource": _NUMBER},
        {
            "value": _NUMBER,
            "cutoff": _NUMBER,
            "rank": _COUNT,
            "of": _COUNT,
            "rung": _NUMBER,
            "bracket": _COUNT,
            "reason": _TEXT,
            "source": _COUNT,
        },
    ),
    "reconfigured": _Kind(
        True,
        {"source": _COUNT, "iteration": _COUNT, "config": _OBJECT},
        {"checkpoint": _TEXT, "contents": _CONTENTS},
        paths=("checkpoint",),
    ),
    "checkpoint": _Kind(
        True,
        {"path": _TEXT, "iteration": _COUNT, "best": _TEXT},
        {"contents": _CONTENTS},
        paths=("path", "best"),
    ),
    "lost": _Kind(True, {"error": _TEXT}, {"lanes": _COUNT, "died": _FLAG}),
    "leaked": _Kind(
        False, {"memory": _TEXT, "before": _AMOUNT, "after": _AMOUNT, "share": _AMOUNT}, {"node": _TEXT}
    ),
    "ended": _Kind(True, {"state": _one_of("completed", "stopped", "failed")}, {"error": _TEXT}),
    "resumed": _Kind(False, {}, {"began": _AMOUNT}),
    "spent": _Kind(False, {"gpu_seconds": _AMOUNT}, {}),
    "finished": _Kind(False, {"reason": _TEXT}, {}),
}
