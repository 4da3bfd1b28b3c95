"""Run the blocks of one page in order and in one folder, as its reader would."""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import re
import runpy
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from jsonschema import Draft202012Validator

from tests.docs.blocks import Block
from tuner import Sweep
from tuner.cli import OK, main
from tuner.journal import FILE_NAME
from tuner.schema import sweep_schema
from tuner.yaml12 import read_yaml, to_yaml

_SECONDS = 120

_SCHEMA = Draft202012Validator(sweep_schema())

_FORMS = doctest.ELLIPSIS
"""In expected output, ``...`` is any text."""


def run_block(block: Block, folder: Path) -> None:
    """Run a block in ``folder``, the current one. Raise AssertionError on any other outcome."""
    for command in block.marks.get("first", "").splitlines():
        _expect(block, command.strip(), None, code=OK)
    runner = _RUNNERS.get(block.language)
    assert runner is not None, (
        f"{block}: a block in '{block.language}' has no test; must be one of {[*_RUNNERS]}"
    )
    runner(block, folder)


def _run_shell(block: Block, folder: Path) -> None:
    """Run the commands. A block with a title is a script, which is only written."""
    if block.title is not None:
        _show(block, folder)
        return
    commands = [line for line in block.text.replace("\\\n", " ").splitlines() if line.split("#")[0].strip()]
    for number, command in enumerate(commands, start=1):
        code = int(block.marks.get("exit code", OK)) if number == len(commands) else OK
        _expect(block, command, None, code=code)


def _run_console(block: Block, folder: Path) -> None:
    """Run the lines that begin with ``$``, and compare the output of each with the lines that follow."""
    parts = ("\n" + block.text).split("\n$ ")[1:]
    for number, part in enumerate(parts, start=1):
        command, _, output = part.partition("\n")
        code = int(block.marks.get("exit code", OK)) if number == len(parts) else OK
        _expect(block, command, output.strip("\n") + "\n" if output.strip() else "", code=code)


def _run_yaml(block: Block, folder: Path) -> None:
    """Check a sweep file. A fragment replaces those keys in the file that its mark names."""
    if block.title is not None:
        path = folder / block.title
        path.write_text(block.text, encoding="utf-8")
        if block.marks.get("wrong") is not None or not {"trainable", "space"} <= read_yaml(path).keys():
            return
    else:
        base = block.marks.get("part of")
        assert base is not None, f"{block}: YAML must have a title, or say which file it is a part of"
        fragment = folder / ".fragment.yaml"
        fragment.write_text(block.text, encoding="utf-8")
        path = folder / ".sweep.yaml"
        path.write_text(to_yaml({**read_yaml(folder / base), **read_yaml(fragment)}), encoding="utf-8")
    problems = [error.message for error in _SCHEMA.iter_errors(read_yaml(path))]
    assert problems == [], f"{block}: {problems}"
    Sweep.read(path)


def _run_python(block: Block, folder: Path) -> None:
    path = folder / (block.title or "script.py")
    path.write_text(block.text, encoding="utf-8")
    if block.title is None:
        _call(block, lambda: runpy.run_path(str(path), run_name="__main__"))
    elif block.title.startswith("test_"):
        command = f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider {block.title}"
        _expect(block, command, None, code=OK)


def _compare_schema(block: Block, folder: Path) -> None:
    """Compare the SQL with that of the journal of the reader's sweep."""
    with contextlib.closing(sqlite3.connect(folder / "results" / "digits" / FILE_NAME)) as journal:
        [(sql,)] = journal.execute("SELECT sql FROM sqlite_schema").fetchall()
    assert block.text.strip() == sql, f"{block}: the journal has\n{sql}"


def _show(block: Block, folder: Path) -> None:
    """Write a file of another kind. A block without a file only shows text."""
    if block.title is not None:
        (folder / block.title).write_text(block.text, encoding="utf-8")


_RUNNERS: dict[str, Callable[[Block, Path], object]] = {
    "sh": _run_shell,
    "console": _run_console,
    "yaml": _run_yaml,
    "python": _run_python,
    "json": lambda block, folder: json.loads(block.text),
    "sql": _compare_schema,
    "text": _show,
    "csv": _show,
}


def _expect(block: Block, command: str, output: str | None, *, code: int) -> None:
    """Run a command, and compare its exit code and, unless ``None``, its output with those expected."""
    found, printed = _execute(block, command)
    where = f"{block}: $ {command}\n{printed}"
    assert found == code, f"{where}\nexit code {found}; must be {code}"
    if output is not None:
        same = doctest.OutputChecker().check_output(output, printed, _FORMS)
        assert same, f"{where}\nmust be\n{output}"


def _execute(block: Block, command: str) -> tuple[int, str]:
    """Run a shell command. Commands of ``tuner`` run in this process, where everything is imported."""
    words = shlex.split(command, comments=True)
    if words[0] != "tuner" or {"&&", "|"} & set(words):
        own = f"{shlex.quote(sys.executable)} -m tuner.cli "
        command = re.sub(r"(?<!\S)tuner ", lambda found: own, command, count=1)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=_SECONDS)
        return done.returncode, done.stdout + done.stderr
    target = None
    if ">" in words:
        target = Path(words[words.index(">") + 1])
        words = words[: words.index(">")]
    if words[1] in ("run", "plan", "evaluate"):
        words += shlex.split(block.marks.get("run with", ""))
    printed, data = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(data if target else printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            code = main(words[1:])
        except SystemExit as end:  # raised by argparse
            code = int(end.code or 0)
    if target is not None:
        target.write_text(data.getvalue(), encoding="utf-8")
    return code, printed.getvalue()


def _call(block: Block, script: Callable[[], object]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            script()
        except Exception as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error
