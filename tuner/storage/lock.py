"""``FolderLock``: allows one driver at a time in a results folder, even on a shared file system.

The kernel releases its lock when the process ends, but that lock may apply to one host only. We therefore
also write a file that names the owner. The owner updates the file's time every few seconds. Another driver
may take over a file that is no longer updated.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tuner.errors import ResultsError
from tuner.storage.disk import is_shared, writing

FILE_NAME = "driver.lock"

_SECONDS_BETWEEN_BEATS = 5.0

_SECONDS_TO_STALE = 60.0
"""A driver on another host counts as dead after this time, which must exceed a short outage."""


class FolderLock:
    """A lock on a folder, held from construction until ``release`` or until it is stale and taken over.

    Raises ResultsError if another driver holds the lock, or if the folder is not writable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self.token = secrets.token_hex(8)
        self._is_lost = False
        self._released = threading.Event()
        with writing(folder), contextlib.ExitStack() as cleanup:
            self._descriptor = os.open(folder, os.O_RDONLY)
            cleanup.callback(os.close, self._descriptor)
            try:
                if not is_shared(folder):  # NFS cannot lock a descriptor that is open for reading only
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResultsError(self._taken_message()) from None
            self._take()
            cleanup.pop_all()
        self._heart = threading.Thread(target=self._beat, name="folder lock", daemon=True)
        self._heart.start()

    def check(self) -> None:
        """Raise ResultsError if another driver has taken over the folder."""
        if self._is_lost:
            what = "that sweep took over the folder while this one could not reach it"
            raise ResultsError(f"{self._taken_message()}; {what}")

    def release(self) -> None:
        """Release the lock. Repeated calls do nothing."""
        if self._released.is_set():
            return
        self._released.set()
        self._heart.join()
        with contextlib.suppress(OSError):
            if self._owner().get("token") == self.token:
                self._path.unlink()
        os.close(self._descriptor)

    def _take(self) -> None:
        owner = {"host": _host(), "pid": os.getpid(), "began": _start_ticks(os.getpid()), "token": self.token}
        while True:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                found = self._owner()
                if not self._is_stale(found):
                    raise ResultsError(self._taken_message()) from None
                self._remove(found)
                continue
            with os.fdopen(descriptor, "w") as file:
                file.write(json.dumps(owner))
            return

    def _remove(self, stale: dict[str, Any]) -> None:
        """Remove a stale lock file. If another driver has just replaced it, keep the new file."""
        aside = self._path.with_name(f"{FILE_NAME}.{self.token}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        if self._owner(aside) != stale:
            with contextlib.suppress(FileExistsError):
                os.link(aside, self._path)
        aside.unlink()

    def _owner(self, path: Path | None = None) -> dict[str, Any]:
        return read_owner(path or self._path)

    def _is_stale(self, owner: dict[str, Any]) -> bool:
        if not owner and not is_shared(self._folder):
            return True  # a crash tore the file: its writer held the kernel's lock, which is ours now
        if owner.get("host") == _host():
            return not _is_alive(owner.get("pid"), owner.get("began"))
        age = self._age()
        return age is None or age >= _SECONDS_TO_STALE

    def _age(self) -> float | None:
        """Return the seconds since the last beat by the file system's clock; ``None`` if the file is gone."""
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".clock-") as clock:
            now = os.stat(clock.name).st_mtime
        try:
            return now - self._path.stat().st_mtime
        except FileNotFoundError:
            return None

    def _taken_message(self) -> str:
        owner = self._owner()
        if not {"pid", "host"} <= owner.keys():
            return f"{self._folder}: a sweep is running in it"
        by = f"process {owner['pid']} on {owner['host']}"
        if owner["host"] != _host():
            by += f"; it counts as dead after {_SECONDS_TO_STALE:g} s without a sign of life"
        return f"{self._folder}: a sweep is running in it ({by})"

    def _beat(self) -> None:
        while not self._released.wait(_SECONDS_BETWEEN_BEATS):
            with contextlib.suppress(OSError):  # an outage may pass; a writer will notice one that lasts
                token = self._owner().get("token")
                self._is_lost = token is not None and token != self.token
                os.utime(self._path)


def is_held(folder: Path) -> bool:
    """Return whether a living driver holds a folder's lock. Takes no lock, and writes nothing."""
    owner = read_owner(folder / FILE_NAME)
    if owner.get("host") == _host():
        return _is_alive(owner.get("pid"), owner.get("began"))
    try:
        return time.time() - (folder / FILE_NAME).stat().st_mtime < _SECONDS_TO_STALE
    except FileNotFoundError:
        return False


def interrupt_owner(folder: Path) -> int:
    """Send SIGINT to the driver that holds a folder's lock and return its process id.

    Raises ResultsError if no driver holds the lock, or if it runs on another host or as another user.
    """
    owner = read_owner(folder / FILE_NAME)
    pid, host = owner.get("pid"), owner.get("host")
    if not isinstance(pid, int) or (host == _host() and not _is_alive(pid, owner.get("began"))):
        raise ResultsError(f"{folder}: no sweep is running in it")
    if host != _host():
        raise ResultsError(f"{folder}: its sweep runs on {host}; stop it there")
    try:
        os.kill(pid, signal.SIGINT)
    except PermissionError:
        raise ResultsError(f"{folder}: its sweep (process {pid}) belongs to another user") from None
    return pid


def read_owner(path: Path) -> dict[str, Any]:
    """Return the content of a lock file; empty if the file is missing or being written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _host() -> str:
    return os.uname().nodename


def _start_ticks(pid: int) -> str | None:
    """Return the start time of a process in kernel ticks; ``None`` if the process or its time is unknown."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _is_alive(pid: Any, began: Any) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return began is None or _start_ticks(pid) == began
