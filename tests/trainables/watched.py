"""Watch the processes that a program starts."""

from __future__ import annotations

import os
import time
from pathlib import Path


def family(path: Path, seconds: float = 30.0) -> list[int]:
    """Return the process numbers in a file, once it exists."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not written"
        time.sleep(0.01)
    return list(map(int, path.read_text().split()))


def gone(pids: list[int], *, seconds: float) -> bool:
    """Return whether all processes end within this time."""
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc").is_dir()
