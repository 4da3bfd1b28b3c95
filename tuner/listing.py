"""``tuner list``: the parts of a sweep file with their settings and defaults, as lines of text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tuner.logger import TrackerSpec, trackers
from tuner.schedulers import SCHEDULERS, SchedulerSpec
from tuner.schema import Schema, about, schema_of, sweep_schema
from tuner.searchers import SEARCHERS, SearcherSpec
from tuner.spec import locate

if TYPE_CHECKING:
    from pydantic import BaseModel

_WIDEST = 100
"""Columns; longer lines are hard to read, however wide the terminal is."""

_NAMES = 18
"""Columns for the names of settings."""

_ELSEWHERE = {
    "trainable": "trainables",
    "searcher": "searchers",
    "scheduler": "schedulers",
    "loggers": "trackers",
}
"""Part of a sweep file -> the ``tuner list`` command that shows its choices."""


def sweep(width: int) -> Iterator[str]:
    """Yield the lines about every part of a sweep file."""
    whole = sweep_schema()
    for name, part in whole["properties"].items():
        if name in _ELSEWHERE:
            see = f"{part['description']}; see tuner list {_ELSEWHERE[name]}"
            part = {"description": see, **({"default": part["default"]} if "default" in part else {})}
        yield from _setting(name, part, required=name in whole["required"], indent="", width=width)
        settings = whole["$defs"].get(_definition_of(part), {})
        if name != "space":
            yield from _settings(settings, width)


def trainables(width: int) -> Iterator[str]:
    """Yield the lines about every installed trainable."""
    from tuner.trainable import trainables

    for number, (name, entry) in enumerate(trainables().items()):
        if number:
            yield ""
        yield from _wrap(f"{name}: {entry.summary}", width, first="", rest="  ")
        for title, path in (
            ("settings (under trainable:)", entry.settings),
            ("hyperparameters (under space:)", entry.config),
        ):
            yield f"  {title}"
            yield from _settings(schema_of(locate(path, {}, what="model")), width)


def searchers(width: int) -> Iterator[str]:
    """Return the lines about every searcher."""
    return _methods("searcher", SEARCHERS, SearcherSpec, width)


def schedulers(width: int) -> Iterator[str]:
    """Return the lines about every scheduler."""
    return _methods("scheduler", SCHEDULERS, SchedulerSpec, width)


def list_trackers(width: int) -> Iterator[str]:
    """Return the lines about every tracker."""
    return _methods("tracker", trackers(), TrackerSpec, width)


LISTS: Mapping[str, Callable[[int], Iterator[str]]] = {
    "sweep": sweep,
    "searchers": searchers,
    "schedulers": schedulers,
    "trainables": trainables,
    "trackers": list_trackers,
}
"""Name of a list -> function that returns its lines for a terminal of the given width in columns."""


def as_data(what: str) -> dict[str, Any]:
    """Return a list as JSON: each name with its description and the JSON Schemas of its settings.

    ``what``: a name in ``LISTS``.
    """
    if what == "sweep":
        whole = sweep_schema()
        return {
            name: {
                "description": part.get("description", ""),
                "required": name in whole["required"],
                "settings": {}
                if name in {*_ELSEWHERE, "space"}
                else whole["$defs"].get(_definition_of(part), {}).get("properties", {}),
            }
            for name, part in whole["properties"].items()
        }
    if what == "trainables":
        from tuner.trainable import trainables

        return {
            name: {
                "description": entry.summary,
                "settings": _properties(locate(entry.settings, {}, what="model")),
                "hyperparameters": _properties(locate(entry.config, {}, what="model")),
            }
            for name, entry in trainables().items()
        }
    tables: Mapping[str, Mapping[str, type[BaseModel]]] = {
        "searchers": SEARCHERS,
        "schedulers": SCHEDULERS,
        "trackers": trackers(),
    }
    return {
        name: {"description": " ".join(about(model)), "settings": _properties(model)}
        for name, model in tables[what].items()
    }


def _properties(model: type[BaseModel]) -> Schema:
    """Return a setting's name -> its JSON Schema."""
    return {name: part for name, part in schema_of(model)["properties"].items() if name != "kind"}


def note_of(field: Schema, *, required: bool) -> str:
    """Return which values a setting takes, and its default, in words."""
    notes = [_values(field, known=field.get("description", ""))]
    if required:
        notes.append("required")
    elif field.get("default", {}) is None:
        notes.append("optional")
    elif "default" in field and not isinstance(field["default"], dict):
        notes.append(f"default {_format_value(field['default'])}")
    return "; ".join(filter(None, notes))


def _methods(
    what: str, table: Mapping[str, type[BaseModel]], base: type[BaseModel], width: int
) -> Iterator[str]:
    """Yield each method with its own settings, then the settings common to all."""
    common = schema_of(base)
    for name, model in table.items():
        first, *others = about(model)
        yield from _wrap(f"{name}: {first}", width, first="", rest="  ")
        for paragraph in others:
            yield from _wrap(paragraph, width, first="  ", rest="  ")
        yield from _settings(schema_of(model), width, without=common["properties"])
        yield ""
    yield f"every {what}:"
    yield from _settings(common, width)


def _settings(schema: Schema, width: int, *, without: Collection[str] = ()) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        if name != "kind" and name not in without:
            required = name in schema.get("required", ())
            yield from _setting(name, field, required=required, indent="    ", width=width)


def _setting(name: str, field: Schema, *, required: bool, indent: str, width: int) -> Iterator[str]:
    description = field.get("description", "")
    note = note_of(field, required=required)
    text = f"{description} [{note}]" if note else description
    rest = indent + " " * (_NAMES + 1)
    yield from _wrap(text, width, first=f"{indent}{name:<{_NAMES}} ", rest=rest)


def _wrap(text: str, width: int, *, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        min(width, _WIDEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _definition_of(part: Schema) -> str:
    """Return the name of a part's definition: its own, or that of its first form that has one."""
    forms = [part, *part.get("anyOf", ())]
    return next((form["$ref"].rpartition("/")[2] for form in forms if "$ref" in form), "")


def _format_value(value: Any) -> str:
    """Return a default as a sweep file writes it."""
    if isinstance(value, float):
        return f"{value:.12g}"
    return value if isinstance(value, str) else json.dumps(value)


_TYPES = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "array": "list",
    "object": "mapping",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def _values(schema: Schema, *, known: str) -> str:
    """Return a setting's values in words. Names already in its description (``known``) are not repeated."""
    if "type" not in schema and "anyOf" in schema:
        forms = list(dict.fromkeys(_values(form, known=known) for form in schema["anyOf"]))
        if schema.get("default", ...) is None:
            forms = [form for form in forms if form != "null"]
        return ", or ".join(filter(None, forms))
    if "enum" in schema or "const" in schema:
        values = [str(value) for value in schema.get("enum", [schema.get("const")])]
        named = all(value in known for value in values)
        return "" if named else f"one of {', '.join(values)}"
    types = schema.get("type", "object" if "$ref" in schema else [])
    forms = [_form(kind, schema) for kind in ([types] if isinstance(types, str) else types)]
    return ", or ".join(forms)


def _form(kind: str, schema: Schema) -> str:
    """Return the values of one JSON type that a schema admits, in words."""
    if kind == "string" and "examples" in schema:
        return f"text like {', '.join(schema['examples'])}"
    bounds = [f"{word} {_format_value(schema[key])}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([_TYPES[kind], *(bounds if kind in ("integer", "number") else ())])
