"""``TrackerProcess``: starts the process that sends a sweep to one tracker, and hears from it.

The driver only writes the journal. A tracker that is down, slow, or crashes delays no trial, because all
work with it is done in that process. The process can be killed at any time; see ``Position``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from tuner.logger import LoggerSpec
from tuner.storage.disk import writing
from tuner.trackers.position import FOLDER

END = "end"
"""The line on stdin that says that the sweep has ended."""

_SECONDS_TO_DIE = 5.0
_SECONDS_BETWEEN_LOOKS = 0.1


class Job(NamedTuple):
    """The tasks of the process; the first line of its stdin, as JSON."""

    folder: str
    """The results folder."""
    kind: str
    """The short name of the tracker."""
    settings: dict[str, Any]
    follows: bool
    """Whether the sweep is running. Otherwise only the present events are sent."""


class Message(NamedTuple):
    """A line of the process's stdout, as JSON."""

    about: Literal["trouble", "recovered", "note", "failed", "done"]
    """``failed`` or ``done`` in the last message."""
    text: str = ""
    number: int = 0
    """The number of the last event that has arrived, for ``failed`` and ``done``."""


class TrackerProcess:
    """Sends the sweep in ``folder`` to a tracker, from construction until ``wait`` returns.

    ``hear`` is called with each message, in another thread. ``cwd`` is the working directory; ``None``: the
    same as here. Raises ResultsError if the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        spec: LoggerSpec,
        *,
        follows: bool,
        hear: Callable[[Message], object],
        cwd: Path | None = None,
    ) -> None:
        self.kind = spec.kind
        self.log_path = folder / FOLDER / f"{spec.kind}.log"
        self._hear = hear
        self._last: Message | None = None
        self._is_in_trouble = False
        job = Job(str(folder.absolute()), spec.kind, spec.settings, follows)
        with writing(folder):
            self.log_path.parent.mkdir(exist_ok=True)
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "tuner.trackers"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env=_environment(),
                    cwd=cwd,
                    start_new_session=True,  # Ctrl-C and a closed terminal are for the driver
                )
        self._write(json.dumps(job._asdict()))
        self._reader = threading.Thread(target=self._read, name=f"tuner-{self.kind}", daemon=True)
        self._reader.start()

    def end(self) -> None:
        """Say that the sweep has ended. The process then sends the rest and ends."""
        self._write(END)

    def wait(self, seconds: float, *, in_trouble: float | None = None) -> Message:
        """Wait for the end of the process, and return its last message.

        Kill it after ``seconds``, or after ``in_trouble`` seconds while its tracker fails.
        """
        began = time.monotonic()
        while self._reader.is_alive():
            limit = seconds if in_trouble is None or not self._is_in_trouble else min(seconds, in_trouble)
            if time.monotonic() - began >= limit:
                break
            self._reader.join(_SECONDS_BETWEEN_LOOKS)
        is_late = self._reader.is_alive()
        if is_late:
            self._process.terminate()  # it first completes a connection that it is opening
        with contextlib.suppress(subprocess.TimeoutExpired):  # it ends when it has connected
            self._process.wait(_SECONDS_TO_DIE)
        self._reader.join(_SECONDS_TO_DIE)
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                cast(Any, pipe).close()
        if self._last is not None:
            return self._last
        if is_late:
            return Message("failed", f"it was cut off after {time.monotonic() - began:.0f} s")
        what = f"its process ended with exit code {self._process.returncode}"
        return Message("failed", f"{what}; see {self.log_path}")

    def _write(self, line: str) -> None:
        stdin = cast(Any, self._process.stdin)
        with contextlib.suppress(BrokenPipeError):  # the process has ended; `wait` says why
            stdin.write(f"{line}\n".encode())
            stdin.flush()

    def _read(self) -> None:
        for line in cast(Any, self._process.stdout):
            message = Message(**json.loads(line))
            if message.about in ("failed", "done"):
                self._last = message
            else:
                if message.about != "note":
                    self._is_in_trouble = message.about == "trouble"
                self._hear(message)


def _environment() -> dict[str, str]:
    """Return this process's environment, in which Python finds the same version of tuner."""
    source = str(Path(__file__).resolve().parents[2])
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, *([known] if known else [])])}
