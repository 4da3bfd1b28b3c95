"""Record why a worker's process died: the fatal signal or the exit code, and the line of code.

Ray 2.60 reports only SIGTERM. In every other case it only sees that the connection ended.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any, TextIO

import ray
from ray.exceptions import RayActorError

_FOLDER = ".workers"
"""The folder for one file per worker while the sweep runs. A file is empty as long as its worker lives."""

_SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
"""Maps the text that ``faulthandler`` writes to the signal."""

_SILENT = "the process was killed by SIGKILL, perhaps because memory was full, or C code ended it"

_LIBRARIES = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<"})
"""How the paths of files begin that are not the user's. ``<`` begins ``<frozen importlib>`` and the like."""


def begin(results_dir: Path) -> None:
    """Prepare this worker to record its death. If the folder is not writable, the record will be missing."""
    with contextlib.suppress(OSError):
        (results_dir / _FOLDER).mkdir(exist_ok=True)
        file = _path(results_dir, ray.get_runtime_context().get_actor_id()).open("w", encoding="utf-8")
        faulthandler.enable(file, all_threads=False)  # keeps a reference, so the file stays open
        _record_exits(file)


def _record_exits(file: TextIO) -> None:
    """Let ``os._exit`` record its code and caller, but not in a child process that a trial forks."""
    original, worker = os._exit, os.getpid()

    def record_and_exit(status: int) -> Any:
        if os.getpid() == worker and not file.closed:
            caller = sys._getframe(1)
            where = f'File "{caller.f_code.co_filename}", line {caller.f_lineno} in {caller.f_code.co_name}'
            with contextlib.suppress(OSError):
                file.write(f"os._exit({status})\n  {where}\n")
                file.flush()
        original(status)

    os._exit = record_and_exit


def read(results_dir: Path, error: RayActorError) -> str:
    """Return one line that explains how the worker of a Ray error died."""
    if "SIGTERM" in str(error):
        return "the process received SIGTERM"
    try:
        text = _path(results_dir, error.actor_id or "").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return str(error).splitlines()[0]
    where = _where(text)
    first = text.partition("\n")[0]
    if first.startswith("os._exit"):
        return f"the process ended by {first}{where}"
    fault = first.removeprefix("Fatal Python error: ")
    if fault:
        signal = f" ({_SIGNALS[fault]})" if fault in _SIGNALS else ""
        return f"the process crashed: {fault.lower()}{signal}{where}"
    return _SILENT


def _where(text: str) -> str:
    """Return the innermost line of the user's code in a traceback, or of any code as a fallback."""
    frames = re.findall(r'File "(.*)", line (\d+) in (.*)', text)
    user_frames = [frame for frame in frames if not frame[0].startswith(_LIBRARIES)]
    for path, line, function in (user_frames or frames)[:1]:
        return f" at {path}:{line} in {function}"
    return ""


def clear(results_dir: Path) -> None:
    """Remove the records of all workers, which must have ended."""
    shutil.rmtree(results_dir / _FOLDER, ignore_errors=True)


def _path(results_dir: Path, actor: str) -> Path:
    return results_dir / _FOLDER / actor
