"""``tuner list``: what a sweep file can name, with settings and defaults, as lines of text."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel


def trainables() -> Iterator[str]:
    """Every installed trainable."""
    from tuner.spec import locate
    from tuner.trainable import trainables

    for name, entry in trainables().items():
        yield f"{name}: {entry.summary}"
        yield from _settings("settings (under trainable:)", locate(entry.settings, {}, what="settings"))
        yield from _settings("hyperparameters (under space:)", locate(entry.config, {}, what="config"))


def searchers() -> Iterator[str]:
    """Every searcher."""
    from tuner.searchers import SEARCHERS

    for name, spec in SEARCHERS.items():
        yield from _method(name, spec)


def schedulers() -> Iterator[str]:
    """Every scheduler."""
    from tuner.schedulers import SCHEDULERS

    for name, spec in SCHEDULERS.items():
        yield from _method(name, spec)


LISTS = {"searchers": searchers, "schedulers": schedulers, "trainables": trainables}


def _method(name: str, spec: type[BaseModel]) -> Iterator[str]:
    about = (inspect.getdoc(spec) or "").replace("\n\n", "\n")
    yield f"{name}: {textwrap.indent(about, '  ').strip()}"
    yield from _settings("", spec)


def _settings(title: str, model: type[BaseModel]) -> Iterator[str]:
    fields = {name: field for name, field in model.model_fields.items() if name != "kind"}
    if title and fields:
        yield f"  {title}"
    for name, field in fields.items():
        default = (
            "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        )
        description, values = field.description or "", list(map(str, _values(field.annotation)))
        named = all(value in description for value in values)
        words = "; ".join(filter(None, [description, "" if named else f"one of {', '.join(values)}"]))
        yield f"    {name:<18} {default:<20} {words}".rstrip()


def _values(annotation: Any) -> list[Any]:
    """The values that a field's type lists, alone or beside others."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _values(part)]
