"""Parse what a sweep file writes for a hyperparameter: a dimension or a constant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tuner.errors import Problem, SpecError
from tuner.space.architecture import Architecture
from tuner.space.choices import Choice, Ordinal
from tuner.space.dimension import Dimension
from tuner.space.foreign import in_our_form
from tuner.space.kinds import (
    KINDS,
    is_nameless,
    misplaced_problems,
    of_another_tool,
    options_of,
    shown,
)
from tuner.space.repeat import Repeat
from tuner.space.values import decoded, is_number, is_value, raise_any, written
from tuner.spec import describe, did_you_mean, nearest, unwrapped
from tuner.synonyms import form_of, role_of, synonym

_ONE_OF = f"must say one of {', '.join([*KINDS][:-1])} and {[*KINDS][-1]}"


_MARKS = ("log", "points", "when", "prior")
"""Options that only dimensions have."""

_MIN_SIMILARITY = 0.75
"""Minimum similarity in [0, 1] of a key to a kind to count as its misspelling."""

_WRITE_SEPARATELY = "write it as a separate hyperparameter, or list whole values with {choice: [...]}"


def parse(entry: Any) -> Any:
    """Return the dimension that a sweep file's mapping means; anything else is a constant.

    Groups of a choice are parsed too. Raises SpecError for a dimension in the form of another tool. It also
    raises SpecError for a dimension inside a constant or an option, where nothing would be searched.
    """
    entry = unwrapped(entry, arrays=True)
    if isinstance(entry, Choice) and entry.groups:
        return _with_groups_read(entry)
    if isinstance(entry, (Choice, Ordinal)):
        _refuse_in_options(entry.choices, "choice" if isinstance(entry, Choice) else "ordinal")
    if isinstance(entry, Dimension):
        return entry
    if isinstance(entry, Mapping):
        kinds = [kind for kind in KINDS if kind in entry]
        if len(kinds) == 1:
            return _dimension(kinds[0], dict(entry))
        if len(kinds) > 1:
            raise SpecError([Problem("", f"{_ONE_OF}, got {' and '.join(kinds)}")])
        _refuse_half_written(entry)
    elif isinstance(entry, str) and (ours := in_our_form(entry)):
        what = f"must be a mapping, got {describe(entry)}; write {ours}, or {{choice: ['{entry}']}} for text"
        raise SpecError([Problem("", what)])
    raise_any(misplaced_problems(entry, instead=_WRITE_SEPARATELY))
    entry = decoded(entry)
    if not is_value(entry):
        ours = in_our_form(entry)
        remedy = f"; write {ours}" if ours else ""
        what = f"a constant must be a value that JSON can write, got {entry!r}{remedy}"
        raise SpecError([Problem("", what)])
    return entry


def _refuse_half_written(entry: Mapping[Any, Any]) -> None:
    """Raise SpecError for a mapping without a kind that is probably meant as a dimension."""
    options = {name for kind in KINDS.values() for name in options_of(kind)}
    unknown = [key for key in entry if key not in options]
    if not unknown:
        raise SpecError([Problem("", f"{_ONE_OF}, got {dict(entry)}")])
    if (ours := in_our_form(entry)) and entry.keys() != {"value"}:
        telling = any(form_of(key) is not None or role_of(key) == "form" for key in entry)
        plain = of_another_tool(entry) and not telling
        constant = f", or {{choice: [{written(entry)}]}} for a constant" if plain else ""
        raise SpecError([Problem("", f"{_ONE_OF}, got {written(entry)}; write {ours}{constant}")])
    if of_another_tool(entry):
        what = f"{_ONE_OF}, or a constant, as {{choice: [{written(entry)}]}}"
        raise SpecError([Problem("", f"{what}, got {written(entry)}")])
    near = nearest(unknown[0], KINDS, likeness=_MIN_SIMILARITY)
    listed = isinstance(entry[unknown[0]], (list, tuple, Mapping))
    if near and listed and len(unknown) == 1:
        raise SpecError([Problem("", f"unknown key '{unknown[0]}'; did you mean '{near}'?")])
    if any(mark in entry for mark in _MARKS):
        raise SpecError([Problem("", f"unknown key '{unknown[0]}'; {_ONE_OF}")])


def _refuse_in_options(options: Any, kind: str) -> None:
    """Raise SpecError for dimensions among, or inside, the options of a choice or an ordinal."""
    if isinstance(options, (list, tuple)):
        instead = (
            "give each option a group, as {choice: {name: {hyperparameter: {int: [1, 3]}}}}, "
            "or write a hyperparameter with 'when'"
        )
        found = misplaced_problems(options, instead=instead)
        raise_any([problem.inside(kind) for problem in found])


def _dimension(kind: str, entry: dict[str, Any]) -> Dimension:
    cls = KINDS[kind]
    make: Callable[..., Dimension] = cls
    body = entry.pop(kind)
    if kind in ("choice", "ordinal") and isinstance(body, (list, tuple)):
        body = [decoded(value) for value in body]
        entry = {key: decoded(value) if key == "default" else value for key, value in entry.items()}
    options = options_of(cls)
    problems = [
        Problem("", f"unknown key '{key}'{_option_hint(key, value, [kind, *options])}")
        for key, value in entry.items()
        if key not in options
    ]
    if cls is Architecture:
        raise_any(problems)
        return make(body, **entry)
    if cls is Repeat:
        return _repeat(body, entry, problems)
    listed = kind in ("choice", "ordinal")
    if not isinstance(body, (list, tuple)) and not (kind == "choice" and isinstance(body, Mapping)):
        need = "a list of values" if listed else "[low, high]"
        problems.append(Problem(kind, f"must be {need}, got {describe(body)}{_remedy(kind, body)}"))
    elif not listed and len(body) != 2:
        remedy = _remedy(kind, body)
        problems.append(Problem(kind, f"must be [low, high], got {len(body)} values{remedy}"))
    raise_any(problems)
    return parse(make(body, **entry)) if listed else make(*body, **entry)


def _repeat(body: Any, options: dict[str, Any], problems: list[Problem]) -> Repeat:
    if "each" not in options:
        problems.append(Problem("each", "must be given: the dimension of each value, as {int: [4, 128]}"))
    raise_any(problems)
    try:
        options["each"] = parse(options["each"])
    except SpecError as error:
        raise SpecError([problem.inside("each") for problem in error.problems]) from None
    if isinstance(options.get("default"), (list, tuple)):
        options["default"] = [decoded(value) for value in options["default"]]
    return Repeat(body, **options)


def _option_hint(key: object, value: Any, options: list[str]) -> str:
    log = synonym(key, options) == "log" and not isinstance(value, bool)
    return "; write log: true" if log else did_you_mean(key, options)


def _remedy(kind: str, body: Any) -> str:
    """Return what to write for a dimension with the right kind and a wrong body; empty if that is unclear."""
    if isinstance(body, (list, tuple)) and (len(body) > 3 or (len(body) == 3 and not _is_step(*body))):
        return f"; write {{choice: {written(list(body))}}}"
    ours = in_our_form({kind: body}) if isinstance(body, (Mapping, list, tuple)) else None
    return f"; write {ours}" if ours else ""


def _is_step(low: Any, high: Any, step: Any) -> bool:
    """Return whether the third number of a list looks like a step: it does not continue the first two."""
    return all(map(is_number, (low, high, step))) and 0 < step <= high - low and step < high


def _with_groups_read(choice: Choice) -> Choice:
    groups: dict[str, dict[str, Any]] = {}
    problems: list[Problem] = []
    for value, group in choice.groups.items():
        groups[value] = {}
        if is_nameless(group):
            what = "a group must be a mapping of hyperparameters, as {name: {int: [1, 3]}}"
            problems.append(Problem(f"choice.{value}", f"{what}, got {shown(group)}"))
            continue
        for name, entry in group.items():
            try:
                groups[value][name] = parse(entry)
            except SpecError as error:
                problems += [problem.inside(f"{value}.{name}") for problem in error.problems]
    raise_any(problems)
    return replace(choice, choices=groups)
