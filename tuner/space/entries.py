"""What a sweep file writes for a hyperparameter, read: a dimension or a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.architecture import Architecture
from tuner.space.choices import Choice, Ordinal
from tuner.space.dimension import Dimension
from tuner.space.ranges import Float, Int
from tuner.space.values import is_json, raise_any
from tuner.spec import describe, did_you_mean, nearest, unwrapped

KINDS: dict[str, type[Dimension]] = {
    "float": Float,
    "int": Int,
    "choice": Choice,
    "ordinal": Ordinal,
    "architecture": Architecture,
}

_ONE_OF = f"must say one of {', '.join([*KINDS][:-1])} and {[*KINDS][-1]}"


def parse(entry: Any) -> Any:
    """A dimension for the mapping of a sweep file; whatever is no such mapping is a constant.

    What stands in the groups of a choice is read, too.
    """
    entry = unwrapped(entry, arrays=True)
    if isinstance(entry, Choice) and entry.groups:
        return _with_groups_read(entry)
    if isinstance(entry, Dimension):
        return entry
    if isinstance(entry, Mapping):
        kinds = [kind for kind in KINDS if kind in entry]
        if len(kinds) == 1:
            return _dimension(kinds[0], dict(entry))
        if len(kinds) > 1:
            raise SpecError([Problem("", f"{_ONE_OF}, got {' and '.join(kinds)}")])
        options = {name for kind in KINDS.values() for name in _options(kind)}
        unknown = next((key for key in entry if key not in options), None)
        if unknown is None:
            raise SpecError([Problem("", f"{_ONE_OF}, got {dict(entry)}")])
        near = nearest(unknown, KINDS)
        hint = f"did you mean '{near}'?" if near else _ONE_OF
        raise SpecError([Problem("", f"unknown key '{unknown}'; {hint}")])
    if not is_json(entry):
        raise SpecError([Problem("", f"a constant must be a value that JSON can write, got {entry!r}")])
    return entry


def _options(kind: type[Dimension]) -> list[str]:
    return [option.name for option in fields(kind) if option.kw_only]


def _dimension(kind: str, entry: dict[str, Any]) -> Dimension:
    cls = KINDS[kind]
    make: Callable[..., Dimension] = cls
    body = entry.pop(kind)
    options = _options(cls)
    problems = [
        Problem("", f"unknown key '{key}'{did_you_mean(key, [kind, *options])}")
        for key in entry
        if key not in options
    ]
    if cls is Architecture:
        raise_any(problems)
        return make(body, **entry)
    listed = kind in ("choice", "ordinal")
    if not isinstance(body, (list, tuple)) and not (kind == "choice" and isinstance(body, Mapping)):
        need = "a list of values" if listed else "[low, high]"
        problems.append(Problem(kind, f"must be {need}, got {describe(body)}"))
    elif not listed and len(body) != 2:
        problems.append(Problem(kind, f"must be [low, high], got {len(body)} values"))
    raise_any(problems)
    return parse(make(body, **entry)) if listed else make(*body, **entry)


def _with_groups_read(choice: Choice) -> Choice:
    groups: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for value, group in choice.groups.items():
        groups[value] = {}
        for name, entry in group.items():
            try:
                groups[value][name] = parse(entry)
            except SpecError as error:
                problems += [problem.inside(f"{value}.{name}") for problem in error.problems]
    raise_any(problems)
    return replace(choice, choices=groups)
