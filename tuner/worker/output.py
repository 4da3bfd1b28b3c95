"""``Output``: copies what each trial prints to a file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

FOLDER = "logs"

_MAX_CHARACTERS = 10_000_000
"""The limit for the file of one trial."""


class Output:
    """Replaces ``sys.stdout`` and ``sys.stderr`` of a worker and copies their text to files in ``folder``.

    The file of a trial is created when the trial first prints.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trial: str | None = None
        self._kept: dict[str, int] = {}
        sys.stdout = _Stream(sys.stdout, self)
        sys.stderr = _Stream(sys.stderr, self)

    def assign_to(self, trial: str | None) -> None:
        """Assign further output to a trial; ``None`` assigns it to no trial."""
        self._trial = trial

    def keep(self, text: str) -> None:
        """Append text to the current trial's file. A full disk does not fail the trial."""
        trial = self._trial
        if trial is None or not text:
            return
        kept = self._kept.get(trial, 0)
        if kept >= _MAX_CHARACTERS:
            return
        self._kept[trial] = kept + len(text)
        if self._kept[trial] >= _MAX_CHARACTERS:
            text += "\n... further output is not kept ...\n"
        with contextlib.suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            with (self._folder / f"{trial}.log").open(
                "a", encoding="utf-8", errors="backslashreplace"
            ) as file:
                file.write(text)


class _Stream:
    """A text stream that also passes its text to an ``Output``."""

    def __init__(self, stream: TextIO, output: Output) -> None:
        self._stream = stream
        self._output = output

    def write(self, text: str) -> int:
        self._output.keep(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)
