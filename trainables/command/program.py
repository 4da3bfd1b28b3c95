"""``Program``: a running program with its output, which ends with the trial."""

from __future__ import annotations

import codecs
import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from trainables.command import supervisor

_LINES = 20
"""Number of last lines that an error shows."""

_LONGEST = 65_536
"""A longer line is cut into several."""

_WAITING = 10_000
"""Number of output lines that may wait to be read. Then the program waits."""

_SECONDS_TO_REPORT = 10.0
"""Time that the supervisor gets, after the grace period, to kill what is left and say so."""


class Line(NamedTuple):
    """A line of output."""

    stream: Literal["stdout", "stderr"]
    text: str


class Outcome(NamedTuple):
    """How a program ended."""

    code: int | None
    """The exit code, negative for a signal; ``None`` if the program did not start."""

    error: str = ""
    """Why it did not start."""


class Program:
    """A program under a supervisor, which kills all its processes if this process dies.

    - ``line``: the words of its command line.
    - ``grace``: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self, line: Sequence[str], *, folder: Path, environment: Mapping[str, str], grace: float
    ) -> None:
        self._grace = grace
        self._last: dict[str, deque[str]] = {"stdout": deque(maxlen=_LINES), "stderr": deque(maxlen=_LINES)}
        self._found: queue.Queue[Line | Outcome | str] = queue.Queue(_WAITING)
        self._outcome: Outcome | None = None
        control, self._control = os.pipe()
        status, told = os.pipe()
        outputs = {name: os.pipe() for name in self._last}
        supervise = [sys.executable, "-I", "-S", supervisor.__file__]
        try:
            launcher = subprocess.Popen(
                [*supervise, str(control), str(told), str(grace), *line],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=outputs["stdout"][1],
                stderr=outputs["stderr"][1],
                pass_fds=(control, told),
                start_new_session=True,
            )
            launcher.wait()  # it continues in another process
        finally:
            for descriptor in (control, told, *(write for _, write in outputs.values())):
                os.close(descriptor)
        self._readers = [
            threading.Thread(target=self._read, args=(name, read), daemon=True)
            for name, (read, _) in outputs.items()
        ]
        self._readers.append(threading.Thread(target=self._await, args=(status,), daemon=True))
        for reader in self._readers:
            reader.start()
        self._open = {*self._last, "status"}

    def lines(self, seconds: float) -> Iterator[Line]:
        """Yield the lines that the program prints within ``seconds``."""
        try:
            found = self._found.get(timeout=seconds)
            while True:
                if isinstance(found, Line):
                    self._last[found.stream].append(found.text)
                    yield found
                elif isinstance(found, Outcome):
                    self._outcome = found
                    self._open.discard("status")
                else:
                    self._open.discard(found)
                found = self._found.get_nowait()
        except queue.Empty:
            return

    @property
    def outcome(self) -> Outcome | None:
        """How the program ended; ``None`` while it runs or output is left."""
        return None if self._open else self._outcome

    def last_lines(self) -> list[str]:
        """Return the last lines of its errors, or of its output if it printed no errors."""
        return [line for line in self._last["stderr"] or self._last["stdout"] if line.strip()]

    def stop(self) -> Iterator[Line]:
        """End the program and everything that it started. Yield what it still prints."""
        self.close()
        waited = 0.0
        while self._open and waited < self._grace + _SECONDS_TO_REPORT:
            yield from self.lines(0.1)
            waited += 0.1

    def close(self) -> None:
        """Tell the supervisor to end the program."""
        if self._control >= 0:
            os.close(self._control)
            self._control = -1

    def _read(self, name: Literal["stdout", "stderr"], descriptor: int) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        rest = ""
        while chunk := os.read(descriptor, _LONGEST):
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            for text in [*whole, *([rest] if len(rest) >= _LONGEST else [])]:
                self._found.put(Line(name, text))
            rest = rest if len(rest) < _LONGEST else ""
        os.close(descriptor)
        if rest:
            self._found.put(Line(name, rest))
        self._found.put(name)

    def _await(self, descriptor: int) -> None:
        with os.fdopen(descriptor) as file:
            line = file.readline()
        told: dict[str, Any] = json.loads(line) if line else {"error": "its supervisor was killed"}
        self._found.put(Outcome(told.get("code"), str(told.get("error", ""))))
