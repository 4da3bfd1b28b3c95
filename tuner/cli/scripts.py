"""``tuner run train.py --lr 1e-4..1e-1:log --metric val_loss:min --trials 32``: a sweep of a script.

The command line is written as a sweep file, which is then run like any other.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tuner.cli.parsing import CommandParser
from tuner.errors import Problem, SpecError, TunerError
from tuner.hints import flow
from tuner.spec import ALIKE, nearest
from tuner.synonyms import mode_of, squeezed
from tuner.yaml12 import read_scalar

_SWEEPS = (".yaml", ".yml", ".json")

_PROGRAMS = {".py": "python", ".sh": "sh", ".R": "Rscript", ".r": "Rscript", ".jl": "julia", ".pl": "perl"}
"""Suffix of a script -> the program that runs it."""

_PASSED = {"--set": True, "--name": True, "--out": True, "--address": True}
_PASSED |= {"--verbose": False, "--json": False, "--debug": False}
"""Option of ``run`` that stays on the command line -> whether a value follows."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})((?::[a-z]+(?:={_NUMBER})?)*)")

_DASHED_RANGE = re.compile(rf"({_NUMBER})\s*(?:-|:|~| to )\s*({_NUMBER})")
"""A text that reads like a range, but is none."""

_FORMS = "must be a range such as 1e-4..1e-1:log, options such as 16,32,64, or one value"


@contextlib.contextmanager
def with_sweep_file(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Write the sweep file of ``run SCRIPT ...`` and name it instead. Other arguments are unchanged.

    A new file is removed if the command is refused. Raises SpecError if the options make no sweep.
    """
    place = _first_positional(arguments) if arguments[:1] == ["run"] else None
    if place is None or {"-h", "--help"} & {*arguments}:
        yield list(arguments)
        return
    script = Path(arguments[place])
    if script.suffix in _SWEEPS or (not script.suffix and not script.is_file()):
        yield list(arguments)
        return
    if not script.is_file():
        raise SpecError([Problem("", f"{script}: there is no such file (looked in {Path.cwd()})")])
    passed, others = _split([*arguments[1:place], *arguments[place + 1 :]])
    sweep = sweep_of(script, others)
    path, is_new = _write(sweep, script)
    print(f"{path}: the sweep file of this command", file=sys.stderr)
    try:
        yield ["run", str(path), *passed]
    except (TunerError, SystemExit):
        if is_new:
            path.unlink(missing_ok=True)
            print(f"{path}: removed, because the command was refused", file=sys.stderr)
        raise


def sweep_of(script: Path, words: Sequence[str]) -> dict[str, Any]:
    """Return the sweep of a script and its options. Raises SpecError with every problem."""
    options, others = _parser().parse_known_args_of_script(list(words))
    problems: list[Problem] = []
    space: dict[str, Any] = {}
    for name, value in _pairs(others):
        try:
            space[name] = dimension(value)
        except ValueError as error:
            problems.append(Problem(f"--{name}", str(error)))
    trainable = _trainable(script)
    if "{args}" in trainable["command"]:
        problems += _misspelt_options(script, [*space])
    if not space:
        problems.append(Problem("", f"no hyperparameter is given; write --NAME VALUES, which {_FORMS}"))
    if options.metric is None:
        problems.append(Problem("--metric", "must be given, such as --metric val_loss:min"))
    elif ":" not in options.metric and mode_of(options.metric) is None:
        what = f"the direction of '{options.metric}' is unknown"
        problems.append(Problem("--metric", f"{what}; write --metric {options.metric}:min (or :max)"))
    if options.trials is None and options.seconds is None and "grid" not in str(options.searcher):
        problems.append(Problem("--trials", "must be given, such as --trials 32; or --seconds"))
    if problems:
        raise SpecError(problems)
    metric, _, mode = options.metric.partition(":")
    budget = {key: getattr(options, key) for key in ("trials", "iterations", "seconds")}
    resources = {key: getattr(options, key) for key in ("cpu", "gpu")}
    sweep = {
        "trainable": trainable,
        "space": space,
        "objective": {"metric": metric, "mode": mode} if mode else metric,
        "budget": {key: value for key, value in budget.items() if value is not None},
        "searcher": options.searcher,
        "scheduler": options.scheduler,
        "resources": {key: value for key, value in resources.items() if value is not None},
        "seed": options.seed,
    }
    return {key: value for key, value in sweep.items() if key == "budget" or value not in (None, {})}


def dimension(text: str) -> Any:
    """Return the dimension for an option's value, as a sweep file writes it.

    Raises ValueError for a range that is none.
    """
    if found := _RANGE.fullmatch(text):
        low, high = read_scalar(found[1]), read_scalar(found[2])
        is_int = isinstance(low, int) and isinstance(high, int)
        extra: dict[str, Any] = {}
        for part in filter(None, found[3].split(":")):
            key, _, value = part.partition("=")
            if key not in ("log", "step") or (key == "log") == bool(value):
                what = f"unknown ending ':{part}' of a range"
                raise ValueError(f"{what}; must be :log or :step=NUMBER, got '{text}'")
            extra[key] = read_scalar(value) if value else True
        return {"int" if is_int else "float": [low, high], **extra}
    if re.match(rf"{_NUMBER}\.\.", text):
        raise ValueError(f"{_FORMS}, got '{text}'")
    if (found := _DASHED_RANGE.fullmatch(text)) and float(found[1]) < float(found[2]):
        remedy = f"write {found[1]}..{found[2]} for a range, or \"'{text}'\" for this text itself"
        raise ValueError(f"looks like a range; {remedy}")
    if text.startswith(("{", "[", "'", '"')):
        return read_scalar(text)
    if "," in text:
        return {"choice": [read_scalar(part.strip()) for part in text.split(",")]}
    return read_scalar(text)


class _ScriptParser(CommandParser):
    def parse_known_args_of_script(self, words: list[str]) -> tuple[Any, list[str]]:
        """Parse our options. All other words are the script's hyperparameters."""
        return super(CommandParser, self).parse_known_args(words)


def _parser() -> _ScriptParser:
    parser = _ScriptParser(prog="tuner run SCRIPT", add_help=False, allow_abbrev=False)
    parser.add_argument("--metric")
    for name in ("--trials", "--iterations", "--seed"):
        parser.add_argument(name, type=int)
    parser.add_argument("--seconds", type=read_scalar)
    for name in ("--cpu", "--gpu"):
        parser.add_argument(name, type=float)
    for name in ("--searcher", "--scheduler"):
        parser.add_argument(name, type=read_scalar)
    return parser


def _first_positional(arguments: Sequence[str]) -> int | None:
    skip = False
    for number, word in enumerate(arguments[1:], 1):
        if not skip and not word.startswith("-"):
            return number
        skip = not skip and _PASSED.get(word, False)
    return None


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words that stay on the command line of ``run``, and the others."""
    passed: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _PASSED:
            passed += [word, *([next(rest, "")] if _PASSED[word] else [])]
        elif word.partition("=")[0] in _PASSED:
            passed.append(word)
        else:
            others.append(word)
    return passed, others


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each ``--name value``, ``--name=value`` and ``--flag``."""
    number = 0
    while number < len(words):
        word = words[number]
        number += 1
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name == "--":
            what = f"'{word}' has no option before it; write --NAME VALUES, which {_FORMS}"
            raise SpecError([Problem("", what)])
        if not equals:
            has_value = number < len(words) and not words[number].startswith("--")
            value = words[number] if has_value else "true"
            number += has_value
        yield name.removeprefix("--"), value


def _trainable(script: Path) -> dict[str, Any]:
    """Return the trainable for a script, as far as its text tells how it is called and how it reports."""
    text = script.read_text(encoding="utf-8", errors="replace")
    own = os.path.join(".", script) if not script.is_absolute() else str(script)
    program = _PROGRAMS.get(script.suffix)
    if program is None and not os.access(script, os.X_OK):
        raise SpecError([Problem("", f"{script}: is neither executable nor a script of a known language")])
    if program is not None and program != "python" and shutil.which(program) is None:
        raise SpecError([Problem("", f"{script}: '{program}' is not installed")])
    uses_client = re.search(r"tuner\.client|from tuner import .*client|tuner\.integrations", text) is not None
    parses = re.search(r"argparse|click|typer|fire|docopt|absl|tyro|sys\.argv|HfArgumentParser|\$[1@*]", text)
    is_hydra = "hydra.main" in text
    arguments = ["{overrides}"] if is_hydra else ["{args}"] if parses or not uses_client else []
    found: dict[str, Any] = {
        "kind": "command",
        "command": [*([program, str(script)] if program else [own]), *arguments],
    }
    if not uses_client:
        found["results"] = "json" if "json.dumps" in text or "JSON" in text else "pairs"
    if arguments and "store_true" in text:
        found["booleans"] = "flags"
    elif arguments and "BooleanOptionalAction" in text:
        found["booleans"] = "no-flags"
    return found


def _misspelt_options(script: Path, names: Sequence[str]) -> list[Problem]:
    """Return a problem for each option that the script's text lacks, but nearly has."""
    text = script.read_text(encoding="utf-8", errors="replace")
    options = {option for option in re.findall(r"""['"]--([A-Za-z][\w-]*)['"]""", text)}
    problems = []
    for name in names:
        plain = name.removeprefix("no-")
        if any(option.startswith(name) for option in options) or plain in options:  # may be shortened
            continue
        meant = next((each for each in options if squeezed(each) == squeezed(name)), None)
        if (meant := meant or nearest(name, options, likeness=ALIKE)) is not None:
            what = f"{script} has no such option; did you mean --{meant}?"
            problems.append(Problem(f"--{name}", what))
    return problems


def _write(sweep: dict[str, Any], script: Path) -> tuple[Path, bool]:
    """Write the sweep file into the current folder. Return its path, and whether it is new.

    A different file is kept.
    """
    from tuner.cluster.runner import possible_names

    text = "".join(_section(key, value) for key, value in sweep.items())
    paths = (Path(f"{name}.yaml") for name in possible_names(script.stem))
    path = next(path for path in paths if not path.exists() or path.read_text(encoding="utf-8") == text)
    is_new = not path.exists()
    path.write_text(text, encoding="utf-8")
    return path, is_new


def _section(key: str, value: Any) -> str:
    """Return one part of the sweep file, with each dimension and setting in a line."""
    if not isinstance(value, dict):
        return f"{key}: {flow(value)}\n"
    if not value:
        return f"{key}: {{}}\n"
    return f"{key}:\n" + "".join(f"  {name}: {flow(inner)}\n" for name, inner in value.items())
