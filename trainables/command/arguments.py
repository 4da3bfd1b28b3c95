"""Fill in the placeholders of a command line."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trainables.command.client_use import programs, texts, uses_client
from trainables.configs.command import CommandSettings
from trainables.configs.strict import did_you_mean

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w./-]*)\}")

ALL = ("args", "overrides")
"""Placeholders that stand for several words."""

OTHERS = ("config", "trial", "seed", "folder", "checkpoint")
"""Placeholders that are no hyperparameters."""

SEEDS = ("seed", "sweep_seed")

_LARGEST_PROGRAM = 2**20
"""Bytes of the text of a program. A larger file is data."""


def hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters and constants in what a trial receives."""
    return {
        name: value
        for name, value in config.items()
        if name not in CommandSettings.model_fields and name not in SEEDS
    }


def placeholders(settings: CommandSettings) -> set[str]:
    """Return the names in braces."""
    words = [settings.command] if isinstance(settings.command, str) else list(_flat(settings.command))
    return {name[1] for word in words for name in _PLACEHOLDER.finditer(word) if name[1]}


def check(settings: CommandSettings, config: Mapping[str, Any]) -> None:
    """Raise ValueError if a placeholder is unknown or a hyperparameter never reaches the program."""
    values, used = hyperparameters(config), placeholders(settings)
    grouped = {
        name[1]
        for group in settings.command
        if isinstance(group, list)
        for word in group
        for name in _PLACEHOLDER.finditer(word)
    }
    for name in sorted(used - {*values, *ALL, *OTHERS} - grouped):
        hint = did_you_mean(name, [*values, *ALL, *OTHERS])
        conditional = f"; write [--{name}, '{{{name}}}'] if it has a condition, or {{args}}"
        raise ValueError(f"command: {{{name}}} is no hyperparameter of every trial; {hint}{conditional}")
    reads_all = {*ALL, "config"} & used or settings.results == "client"
    unused = [name for name in values if name not in used]
    if unused and not reads_all:
        what = f"command: must use the hyperparameter '{unused[0]}'"
        raise ValueError(f"{what}; add '{{args}}' to pass all as --name value, or '{{{unused[0]}}}'")
    if settings.results == "client":
        _check_client(settings, passes_values=not unused or bool({*ALL, "config"} & used))


def _check_client(settings: CommandSettings, *, passes_values: bool) -> None:
    """Raise ValueError if the program's text shows that it cannot report, or that all trials would be equal.

    ``passes_values``: whether the command line passes all hyperparameters.
    """
    found = programs(files(settings))
    known = texts(found)
    if known is None or "-m" in settings.command:  # part of the program's text is unknown
        return
    names = " and ".join(path.name for path in found)
    problems = []
    command = str(settings.command)  # it may name one of our callbacks
    if not any(map(uses_client, [*known, command])):
        what = f"results: must say how to read the results of {names}, which does not use tuner.client"
        remedy = "write results: pairs if it prints lines such as 'loss=0.5' or 'loss: 0.5', json for JSON"
        problems.append(f"{what}; {remedy}; or let it call tuner.client.report")
        if not passes_values:
            problems.append(_equal_trials(f"{names} gets no hyperparameter"))
    elif not passes_values and not any("config" in text for text in known):
        problems.append(_equal_trials(f"{names} does not call tuner.client.config"))
    if problems:
        raise ValueError("\n".join(problems))


def _equal_trials(why: str) -> str:
    what = f"command: {why}, so all trials would be equal"
    return f"{what}; add '{{args}}' to pass all as --name value, or '{{config}}' for a JSON file with all"


def command_line(
    settings: CommandSettings, values: Mapping[str, Any], other: Callable[[str], str]
) -> list[str]:
    """Return the words of the command line.

    ``values`` are the hyperparameters. ``other`` returns the text of a placeholder in ``OTHERS``; it is empty
    if there is none.
    """

    def has(name: str) -> bool:
        return values.get(name) is not None or (name in OTHERS and name not in values and bool(other(name)))

    def text_of(name: str) -> str:
        if name in values:
            return text(values[name])
        if name in OTHERS:
            return other(name)
        what = f"command: {{{name}}} has no value in this trial"
        raise ValueError(f"{what}; write [--{name}, '{{{name}}}'] to leave it out then")

    if isinstance(settings.command, str):
        words = {name: shlex.join(_several(name, settings, values)) for name in ALL}

        def quoted(found: re.Match[str]) -> str:
            return words.get(found[1]) or shlex.quote(text_of(found[1])) if found[1] else found[0][0]

        return ["/bin/sh", "-c", _PLACEHOLDER.sub(quoted, settings.command)]

    def filled(found: re.Match[str]) -> str:
        return text_of(found[1]) if found[1] else found[0][0]

    line: list[str] = []
    for word in settings.command:
        if isinstance(word, list):
            names = [found[1] for part in word for found in _PLACEHOLDER.finditer(part) if found[1]]
            if all(map(has, names)):
                line += [_PLACEHOLDER.sub(filled, part) for part in word]
        elif word[1:-1] in ALL and word == f"{{{word[1:-1]}}}":
            line += _several(word[1:-1], settings, values)
        else:
            line.append(_PLACEHOLDER.sub(filled, word))
    return [_from_here(word, settings) for word in line]


def _several(kind: str, settings: CommandSettings, values: Mapping[str, Any]) -> list[str]:
    given = {name: value for name, value in values.items() if value is not None}
    if kind == "overrides":
        return [f"{name}={override(value)}" for name, value in given.items()]
    return [word for name, value in given.items() for word in _option(name, value, settings.booleans)]


def _option(name: str, value: Any, booleans: str) -> list[str]:
    if isinstance(value, bool) and booleans != "values":
        return [f"--{name}"] if value else [f"--no-{name}"] if booleans == "no-flags" else []
    if isinstance(value, (list, tuple)):
        return [f"--{name}", *map(text, value)] if value else []
    written = text(value)
    # argparse takes a text that begins with '-', such as -1e-05, for another option
    return [f"--{name}={written}"] if written.startswith("-") else [f"--{name}", written]


def text(value: Any) -> str:
    """Return a value as a command line shows it. Numbers can be read back exactly."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, tuple, dict)):
        return json.dumps(value)
    return str(value)


def override(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(override, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{override(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str) and not re.fullmatch(r"[\w./@+-]*", value):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return text(value)


def _from_here(word: str, settings: CommandSettings) -> str:
    """Make the path of a file of the current folder absolute if the program runs in another one."""
    if settings.cwd is None or Path(settings.cwd, word).exists() or not Path(word).is_file():
        return word
    return str(Path(word).resolve())


def _flat(words: list[Any]) -> Iterator[str]:
    for word in words:
        yield from [word] if isinstance(word, str) else word


def files(settings: CommandSettings) -> list[Path]:
    """Return the user's files in the command line. Larger files than a program's text are left out."""
    words = shlex.split(settings.command) if isinstance(settings.command, str) else _flat(settings.command)
    folders = [Path.cwd(), *([] if settings.cwd is None else [Path(settings.cwd)])]
    found = [Path(folder, word).absolute() for word in words for folder in folders if _is_text(folder / word)]
    installed = (sys.prefix, sys.base_prefix, "/bin", "/usr")
    return [path for path in dict.fromkeys(found) if not str(path).startswith(installed)]


def _is_text(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= _LARGEST_PROGRAM
    except OSError:  # no path at all, such as a long text
        return False
