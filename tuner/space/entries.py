"""What a sweep file writes for a hyperparameter, read: a dimension or a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.dimensions import Choice, Dimension, Float, Int
from tuner.space.values import is_json, raise_any
from tuner.spec import describe, did_you_mean, nearest

KINDS: dict[str, type[Dimension]] = {"float": Float, "int": Int, "choice": Choice}


def parse(entry: Any) -> Any:
    """A dimension for the mapping of a sweep file; whatever is no such mapping is a constant."""
    if isinstance(entry, Dimension):
        return entry
    if isinstance(entry, Mapping):
        kinds = [kind for kind in KINDS if kind in entry]
        if len(kinds) == 1:
            return _dimension(kinds[0], dict(entry))
        if len(kinds) > 1:
            raise SpecError(
                [Problem("", f"must say one of float, int and choice, got {' and '.join(kinds)}")]
            )
        options = {option.name for kind in KINDS.values() for option in fields(kind)}
        unknown = next((key for key in entry if key not in options), None)
        if unknown is None:
            raise SpecError([Problem("", f"must say one of float, int and choice, got {dict(entry)}")])
        near = nearest(unknown, KINDS)
        hint = f"did you mean '{near}'?" if near else "must say one of float, int and choice"
        raise SpecError([Problem("", f"unknown key '{unknown}'; {hint}")])
    if not is_json(entry):
        raise SpecError([Problem("", f"a constant must be a value that JSON can write, got {entry!r}")])
    return entry


def _dimension(kind: str, entry: dict[str, Any]) -> Dimension:
    cls = KINDS[kind]
    make: Callable[..., Dimension] = cls
    body = entry.pop(kind)
    options = {option.name for option in fields(cls)} - {"low", "high", "choices"}
    problems = [
        Problem("", f"unknown key '{key}'{did_you_mean(key, [kind, *options])}")
        for key in entry
        if key not in options
    ]
    if not isinstance(body, (list, tuple)):
        need = "a list of values" if kind == "choice" else "[low, high]"
        problems.append(Problem(kind, f"must be {need}, got {describe(body)}"))
    elif kind != "choice" and len(body) != 2:
        problems.append(Problem(kind, f"must be [low, high], got {len(body)} values"))
    raise_any(problems)
    return make(body, **entry) if kind == "choice" else make(*body, **entry)
