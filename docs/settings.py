"""Writes the pages of ``reference/`` beside this file from the code: settings, and the command line.

``python docs/settings.py`` writes them. A test compares them with what the code says.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from tuner.cli import INTERRUPTED, NOTHING_FINISHED, OK, WRONG_INPUT, parser
from tuner.journal import events
from tuner.listing import note_of
from tuner.logger import TrackerSpec, trackers
from tuner.schedulers import SCHEDULERS, SchedulerSpec
from tuner.schema import Schema, about, schema_of, sweep_schema
from tuner.searchers import SEARCHERS, SearcherSpec
from tuner.spec import locate
from tuner.trainable import trainables

_FOLDER = Path(__file__).with_name("reference")

_GENERATED = "<!-- Written by docs/settings.py; do not edit. -->\n"

_SHARED = 3
"""Settings that at least this number of trainables have in common get a separate table."""


def pages() -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    return {
        "sweep-file.md": _page(_sweep_file()),
        "searchers.md": _page(_methods("Searchers", SEARCHERS, SearcherSpec)),
        "schedulers.md": _page(_methods("Schedulers", SCHEDULERS, SchedulerSpec)),
        "trainables.md": _page(_trainables()),
        "trackers.md": _page(_methods("Trackers", trackers(), TrackerSpec)),
        "command-line.md": _page(_command_line()),
        "journal.md": _page(_journal()),
    }


def _page(lines: Iterator[str]) -> str:
    return _GENERATED + "\n".join(lines).rstrip() + "\n"


def _sweep_file() -> Iterator[str]:
    whole = sweep_schema()
    yield "# Every key of a sweep file\n"
    yield "`tuner list sweep` prints the same in a terminal."
    yield "[The sweep file](../sweep-file.md) shows how the keys work together.\n"
    plain = {}
    sections = {}
    elsewhere = {
        "trainable": "trainables.md",
        "searcher": "searchers.md",
        "scheduler": "schedulers.md",
        "loggers": "trackers.md",
    }
    for name, part in whole["properties"].items():
        settings = whole["$defs"].get(_definition_of(part), {})
        if name in elsewhere:
            see = f"{part['description']}; see [its page]({elsewhere[name]})"
            default = {"default": part["default"]} if "default" in part else {}
            part = {"description": see, **default}
        elif name == "space":
            part = {**part, "description": f"{part['description']}; see [Search spaces](../search-spaces.md)"}
        elif settings.get("properties"):
            sections[name] = settings
            part = {**part, "description": f"{part['description']}; see [below](#{name})"}
        plain[name] = part
    yield from _table({"properties": plain, "required": whole["required"]})
    for name, settings in sections.items():
        yield f"## {name}\n"
        yield from _table(settings)


def _methods(title: str, table: Mapping[str, type[BaseModel]], base: type[BaseModel]) -> Iterator[str]:
    yield f"# {title}\n"
    yield f"`tuner list {title.lower()}` prints the same in a terminal.\n"
    common = schema_of(base)
    for name, model in table.items():
        yield f"## {name}\n"
        for paragraph in about(model):
            yield f"{_cell(paragraph)}\n"
        yield from _table(schema_of(model), without=common["properties"])
    yield f"## Every {title.lower().removesuffix('s')}\n"
    yield from _table(common)


def _trainables() -> Iterator[str]:
    yield "# Trainables\n"
    yield "`tuner list trainables` prints the same in a terminal. *Settings* are written under `trainable:`,"
    yield "*hyperparameters* under `space:`.\n"
    entries = trainables()
    for kind, key in (("settings", "settings"), ("hyperparameters", "config")):
        schemas = {
            name: schema_of(locate(getattr(entry, key), {}, what="model")) for name, entry in entries.items()
        }
        groups = _common(schemas)
        for names, fields in groups.items():
            yield f"## {kind.capitalize()} of {_listed(names, of=list(entries))}\n"
            yield from _table({"properties": fields})
        for name, schema in schemas.items():
            shared = {field for names, fields in groups.items() if name in names for field in fields}
            own = [field for field in schema["properties"] if field not in shared]
            if own:
                yield f"## {kind.capitalize()} of `{name}` only\n"
                yield f"{_sentence(entries[name].summary)}\n"
                yield from _table(schema, without=shared)


def _common(schemas: Mapping[str, Schema]) -> dict[tuple[str, ...], dict[str, Schema]]:
    """Fields that several trainables have alike, by the names of these trainables."""
    having: dict[tuple[str, str], list[str]] = {}
    for trainable, schema in schemas.items():
        for field, what in schema["properties"].items():
            having.setdefault((field, json.dumps(what, sort_keys=True)), []).append(trainable)
    groups: dict[tuple[str, ...], dict[str, Schema]] = {}
    for (field, _), names in having.items():
        if len(names) >= _SHARED:
            groups.setdefault(tuple(names), {})[field] = schemas[names[0]]["properties"][field]
    return groups


def _listed(names: Collection[str], *, of: Collection[str]) -> str:
    if len(names) == len(of):
        return "every trainable"
    *first, last = (f"`{name}`" for name in names)
    return f"{', '.join(first)} and {last}"


def _table(schema: Schema, *, without: Collection[str] = ()) -> Iterator[str]:
    """The settings of a model as a table; nothing if there are none."""
    rows = [
        (name, field)
        for name, field in schema.get("properties", {}).items()
        if name != "kind" and name not in without
    ]
    if not rows:
        return
    yield "| setting | meaning | values |"
    yield "|---|---|---|"
    for name, field in rows:
        note = note_of(field, required=name in schema.get("required", ()))
        yield f"| `{name}` | {_cell(field.get('description', ''))} | {_cell(note)} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def _definition_of(part: Schema) -> str:
    """The name of the definition that a part of a sweep file has, alone or as the first of its forms."""
    forms = [part, *part.get("anyOf", ())]
    return next((form["$ref"].rpartition("/")[2] for form in forms if "$ref" in form), "")


def _command_line() -> Iterator[str]:
    yield "# Command line\n"
    yield "Data goes to stdout, and messages go to stderr."
    yield "`tuner VERB --help` prints the same for one command.\n"
    yield "| exit code | meaning |"
    yield "|---|---|"
    yield f"| {OK} | a trial finished, and failures stayed within `budget.failures`; other commands: done |"
    yield f"| {NOTHING_FINISHED} | no trial finished, too many failed, or none completed and some failed |"
    yield f"| {WRONG_INPUT} | wrong input, found before any trial started |"
    yield f"| {INTERRUPTED} | interrupted |\n"
    os.environ["COLUMNS"] = "100"  # the width to which argparse wraps
    [verbs] = [each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)]
    for name, command in verbs.choices.items():
        yield f"## tuner {name}\n"
        yield f"{_sentence(command.description)}\n"
        usage = command.format_usage().removeprefix("usage: ").replace("\n       ", "\n").rstrip()
        yield f"```text\n{usage}\n```\n"
        yield "| argument | meaning |"
        yield "|---|---|"
        for action in command._actions:
            if not isinstance(action, argparse._HelpAction):
                yield f"| {_argument(action)} | {_cell(action.help or '')} |"
        yield ""


def _sentence(summary: str | None) -> str:
    text = summary or ""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _journal() -> Iterator[str]:
    yield "# Events of the journal\n"
    yield "[The journal](../results.md#the-journal) shows the table. `data` holds these fields as JSON."
    yield "A field that has its default is left out.\n"
    tree = ast.parse(inspect.getsource(events))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or not (kind := _kind(node)):
            continue
        yield f"## {kind}\n"
        yield f"{_plain(ast.get_docstring(node) or '')}\n"
        rows = list(_fields(node))
        if rows:
            yield "| field | meaning |"
            yield "|---|---|"
            yield from (f"| `{name}` | {_cell(_plain(text))} |" for name, text in rows)
            yield ""


def _kind(node: ast.ClassDef) -> str | None:
    """The kind of an event, which its class assigns; ``None`` for any other class."""
    for each in node.body:
        match each:
            case ast.Assign(targets=[ast.Name(id="kind")], value=ast.Constant(value=str(kind))):
                return kind
    return None


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The annotated fields of a class, each with the text below it."""
    for each, below in zip(node.body, [*node.body[1:], None], strict=True):
        match each, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                yield name, ""


def _plain(docstring: str) -> str:
    return " ".join(docstring.replace("``", "`").split())


def _argument(action: argparse.Action) -> str:
    shown = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices is not None else ""
    value = choices or (str(action.metavar or "").strip() or action.dest.upper())
    if action.option_strings and action.nargs != 0:
        shown = f"{shown} {value}"
    elif choices:
        shown = choices
    return f"`{shown}`".replace("|", "\\|")


if __name__ == "__main__":
    _FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (_FOLDER / name).write_text(text, encoding="utf-8")
