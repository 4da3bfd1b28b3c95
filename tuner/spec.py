"""``Spec``, the base of all parts of a sweep, and its errors. ``locate`` imports the object of a name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AllowInfNan, BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic_core import ErrorDetails

from tuner.code.modules import load_file, load_module
from tuner.errors import Problem, SpecError
from tuner.hints import flow, for_key, sections
from tuner.synonyms import others, squeezed, synonym
from tuner.synonyms.table import KIND_KEYS

Number = Annotated[float, Strict(), AllowInfNan(False)]
"""A finite number, not text that looks like one."""

Count = Annotated[int, Strict(), Field(ge=1)]
"""A whole number, at least 1."""

Flag = Annotated[bool, Strict()]
"""True or false, not 1 or text."""

Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32)]
"""A whole number, at least 0 and below 2**32."""


class Spec(BaseModel):
    """A frozen part of a sweep. Wrong input raises ``SpecError`` with every problem of the part."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    if not TYPE_CHECKING:  # type checkers keep the generated signature

        def __init__(self, *values: Any, **data: Any) -> None:
            if values:
                raise TypeError(_with_names(type(self), values))
            try:
                super().__init__(**unwrapped(data))
            except ValidationError as error:
                raise SpecError(problems_of(error, type(self))) from None


def _with_names(model: type[BaseModel], values: tuple[Any, ...]) -> str:
    """Return how to give positional arguments by name."""
    names = list(model.model_fields)
    given = ", ".join(f"{name}={value!r}" for name, value in zip(names, values, strict=False))
    return f"{model.__name__} takes keyword arguments only, as in {model.__name__}({_cut(given)})"


def unwrapped(value: Any, *, arrays: bool = False) -> Any:
    """Return ``value`` with NumPy scalars as plain values, also inside lists and dicts.

    ``arrays``: also turn arrays into lists. A value without NumPy objects is returned unchanged.
    """
    if hasattr(value, "dtype") and hasattr(value, "tolist") and not isinstance(value, type):
        return value.tolist() if arrays or getattr(value, "ndim", 1) == 0 else value
    if type(value) in (list, tuple):
        items = [unwrapped(item, arrays=arrays) for item in value]
        changed = any(new is not old for new, old in zip(items, value, strict=True))
        return type(value)(items) if changed else value
    if type(value) is dict:
        plain = {key: unwrapped(item, arrays=arrays) for key, item in value.items()}
        return plain if any(plain[key] is not value[key] for key in value) else value
    return value


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return a problem for each mistake in a pydantic error, with the nearest known spelling or synonym."""
    problems = []
    details = error.errors(include_url=False)
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    meant = {(*loc[:-1], likely(loc[-1], model.model_fields)) for loc in unknown}
    meant |= {
        (section,)
        for detail in details
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1
        for section in sections(detail["loc"][0], detail["input"])
    }
    for detail in details:
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue  # the problem of the unknown key mentions it
        where = ".".join(map(str, detail["loc"]))
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, SpecError):
            problems += [problem.inside(where) for problem in cause.problems]
        else:
            problems.append(_problem(detail, model))
    return problems


ALIKE = 0.85
"""Smallest likeness of two words, in [0, 1], at which one is a misspelling of the other, not a synonym."""

_SPELT = 0.8
"""Smallest likeness to a key of the same part, in [0, 1], at which other parts are not searched."""

_SHORT_LIST = 8
"""Maximum number of alternatives that an error lists in full."""

_NEAREST = 5
"""Number of alternatives that an error names if there are more."""


def nearest(name: object, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the known spelling nearest to ``name``, or ``None`` if none has ``likeness``, in [0, 1]."""
    return next(iter(difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=likeness)), None)


def likely(name: object, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the known name that ``name`` misspells or means, or ``None`` if there is none."""
    return _meant(name, sorted(known), likeness)[0]


def did_you_mean(name: object, known: Iterable[str], *, likeness: float = 0.6, see: str = "") -> str:
    """Return ``; did you mean 'x'?`` for a misspelling, ``; write 'x'`` for a synonym, else the known names.

    A list of more than 8 names is cut to the nearest 5. ``see``: the command that lists them all.
    """
    known = sorted(known)
    found, spelling = _meant(name, known, likeness)
    if found is not None:
        return f"; did you mean '{found}'?" if spelling else f"; write '{found}'"
    if len(known) > _SHORT_LIST:
        near = difflib.get_close_matches(str(name), known, n=_NEAREST, cutoff=0)
        listed = f", see {see}" if see else ""
        return f"; must be one of {len(known)} names{listed}; the nearest are {', '.join(near)}"
    return f"; must be one of {', '.join(known)}" if known else ""


def _meant(name: object, known: list[str], likeness: float) -> tuple[str | None, bool]:
    """Return the known name that ``name`` misspells or means, and whether it is a misspelling."""
    if (same := next((each for each in known if squeezed(each) == squeezed(name)), None)) is not None:
        return same, True
    if (near := nearest(name, known, likeness=ALIKE)) is not None:
        return near, True
    if (same := synonym(name, known)) is not None:
        return same, False
    if (near := nearest(name, known, likeness=likeness)) is not None:
        return near, True
    theirs = dict(others(known))
    misspelled = nearest(squeezed(name), theirs, likeness=ALIKE)
    return (None, True) if misspelled is None else (theirs[misspelled], True)


def kind_and_settings(value: Mapping[Any, Any], *, what: str) -> tuple[Any, dict[str, Any]]:
    """Split a sweep's entry ``{kind: ..., setting: ...}``. Raises SpecError for a wrong kind."""
    if "kind" not in value:
        if misspelled := nearest("kind", map(str, value)):
            raise SpecError([Problem("", f"unknown key '{misspelled}'; did you mean 'kind'?")])
        for key in KIND_KEYS:
            if isinstance(named := value.get(key), str):
                raise SpecError([Problem("kind", f"must be given, got {key}: {named}; write kind: {named}")])
        raise SpecError([Problem("kind", f"must be given: the {what}'s name")])
    kind = value["kind"]
    if not (isinstance(kind, str) or callable(kind)):
        raise SpecError([Problem("kind", f"must be a name, a class or a function, got {describe(kind)}")])
    return kind, {str(key): item for key, item in value.items() if key != "kind"}


def locate(name: str, table: Mapping[str, str], *, what: str) -> Any:
    """Return the object that a name refers to.

    - A name without a colon is a key of ``table`` (short name -> ``module:Name``).
    - A name with a colon is imported: ``package.module:Name`` or ``path/to/file.py:Name``. A path is relative
      to the current directory.

    Raises SpecError when there is no such name, module, file or attribute. An error raised by the user's
    module is reported with its type and message.
    """
    if ":" not in name:
        if name not in table:
            raise SpecError([Problem("", f"unknown {what} '{name}'{did_you_mean(name, table)}")])
        name = table[name]
    source, _, attribute = name.rpartition(":")
    if not source or not attribute or (source.startswith(".") and not source.endswith(".py")):
        raise SpecError([Problem("", f"must be package.module:Name or path/to/file.py:Name, got '{name}'")])
    module = load_file(Path(source)) if source.endswith(".py") else load_module(source)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [key for key in vars(found) if not key.startswith("_")]
            raise SpecError([Problem("", f"'{source}' has no '{attribute}'{did_you_mean(part, public)}")])
        found = getattr(found, part)
    return found


_EXPECTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


class Renamed(NamedTuple):
    """A setting with another name in earlier versions."""

    part: str
    """Part of the sweep."""

    before: str
    now: str
    why: str = ""
    """End of the message: the reason for the new name."""


RENAMED = (
    Renamed("searcher", "points", "initial_points", ", since 'points' is the grid size of a dimension"),
    Renamed("scheduler", "peers", "min_trials"),
)


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> Problem:
    kind, got = detail["type"], detail["input"]
    path = [str(part) for part in detail["loc"]]
    where = ".".join(path)
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        for each in RENAMED:
            if path == [each.before] and each.now in model.model_fields:
                return Problem(each.before, f"is called '{each.now}'{each.why}")
        keys = model.model_fields
        hint = "" if len(path) > 1 else did_you_mean(path[0], keys)
        if len(path) == 1 and nearest(path[0], keys, likeness=_SPELT) is None:
            hint = for_key(path[0], got, keys) or hint
        return Problem(".".join(path[:-1]), f"unknown key '{path[-1]}'{hint}")
    if kind == "missing":
        return Problem(where, "must be given")
    if kind == "literal_error":
        known = [str(value) for value in _literals(context.get("expected", ""))]
        return Problem(where, f"unknown value {got!r}{did_you_mean(got, known)}")
    if kind in _BOUNDS:
        word, key = _BOUNDS[kind]
        bound = context[key]
        whole = isinstance(bound, float) and bound.is_integer()
        return Problem(where, f"must be {word} {int(bound) if whole else bound}, got {got!r}")
    if kind in _EXPECTED:
        single = _EXPECTED[kind] == "a list" and isinstance(got, (str, dict))
        remedy = f"; write [{flow(got)}]" if single else ""
        return Problem(where, f"must be {_EXPECTED[kind]}, got {describe(got)}{remedy}")
    if "error" in context:
        return Problem(where, str(context["error"]))
    return Problem(where, f"{re.sub('^[A-Za-z]+ should', 'must', detail['msg'])}, got {describe(got)}")


def _literals(expected: str) -> list[str]:
    return [part.strip().strip("'") for part in expected.replace(" or ", ", ").split(",")]


_LONGEST_VALUE = 200
"""Maximum number of characters of a value in an error."""

_LONGEST_NUMBER = 1024
"""Maximum number of bits of a whole number in an error. Python refuses to write very long numbers."""


def describe(value: object) -> str:
    """Return a value as an error names it. Text is marked as such, so that ``1e-4`` differs from ``'1e-4'``.

    Long values are cut.
    """
    if isinstance(value, str):
        return f"the text '{_cut(value)}'"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER:
        return f"a whole number of {value.bit_length()} bits"
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
