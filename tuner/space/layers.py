"""The layers of an architecture: write, insert and remove them, and check their kinds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tuner.errors import Problem
from tuner.spec import describe

SEPARATOR = "; "

_NAME = re.compile(r"[A-Za-z_]\w*")
_WORD = re.compile(r"[^\s;=]+")


class Layer(NamedTuple):
    """A layer: its kind, its fields as text, and the layers whose outputs it also gets."""

    kind: str
    fields: Mapping[str, str]
    skip: frozenset[int]

    def __str__(self) -> str:
        words = [self.kind, *(f"{name}={value}" for name, value in self.fields.items())]
        if self.skip:
            words.append(f"skip={','.join(map(str, sorted(self.skip)))}")
        return " ".join(words)


def text_of(layers: Sequence[Layer]) -> str:
    """Return the architecture of these layers as text."""
    return SEPARATOR.join(map(str, layers))


def with_layer(layers: Sequence[Layer], layer: Layer, *, at: int) -> list[Layer]:
    """Return the layers with another one inserted after the first ``at``. Skips keep their sources."""
    after = [
        later._replace(skip=frozenset(source + (source > at) for source in later.skip))
        for later in layers[at:]
    ]
    return [*layers[:at], layer, *after]


def without_layer(layers: Sequence[Layer], *, at: int) -> list[Layer]:
    """Return the layers without the one at index ``at``. Skips to other layers keep their sources."""
    after = []
    for number, layer in enumerate(layers[at + 1 :], start=at + 1):
        kept = {source - (source > at + 1) for source in layer.skip if source != at + 1}
        # A skip's source may now be the previous layer, whose output arrives anyway.
        after.append(layer._replace(skip=frozenset(source for source in kept if source <= number - 2)))
    return [*layers[:at], *after]


def check_kinds(kinds: Any) -> list[Problem]:
    """Return what is wrong with the kinds of layers in a sweep file."""
    if not isinstance(kinds, Mapping) or not kinds:
        return [Problem("", f"must be a mapping of kinds of layers to their fields, got {describe(kinds)}")]
    return [
        problem.inside(str(kind)) for kind, fields in kinds.items() for problem in _check_kind(kind, fields)
    ]


def _check_kind(kind: Any, fields: Any) -> list[Problem]:
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        return [
            Problem("", f"a kind of layer must be a name of letters, digits and '_', got {describe(kind)}")
        ]
    if not isinstance(fields, Mapping):
        return [Problem("", f"must be a mapping of fields to their values, got {describe(fields)}")]
    problems = []
    for name, values in fields.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            what = f"a field must be a name of letters, digits and '_', got {describe(name)}"
            problems.append(Problem("", what))
        elif name == "skip":
            problems.append(Problem("skip", "must not be a field; write 'skip: true' next to 'architecture'"))
        elif not isinstance(values, (list, tuple)) or not values:
            problems.append(Problem(name, f"must be a list of values, got {describe(values)}"))
        else:
            problems += [problem.inside(name) for problem in _check_values(values)]
    return problems


def _check_values(values: Sequence[Any]) -> list[Problem]:
    problems = []
    for index, value in enumerate(values):
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not number and not (isinstance(value, str) and _WORD.fullmatch(value)):
            what = f"a value must be a number or a text without spaces, ';' and '=', got {describe(value)}"
            problems.append(Problem("", what))
        elif str(value) in map(str, values[:index]):
            problems.append(Problem("", f"duplicate value {value}"))
    return problems
