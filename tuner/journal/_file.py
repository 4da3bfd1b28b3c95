"""``Journal``: every event of a sweep, in order, in one SQLite file.

An event is written before it is acted on, so that a killed sweep can be read and resumed from its journal.
One writer, any number of readers at the same time. A committed event survives the death of the process at
once, and the death of the machine after ``sync`` or a few seconds. A copy of the journal needs
``journal.sqlite`` and, while the sweep runs, ``journal.sqlite-wal`` with it.

SQLite's write-ahead log is made for local disks: its index is a shared memory map. On a file system that
hosts share, the writer keeps the index to itself, and a reader copies both files to a local disk first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.errors import ResultsError
from tuner.journal._reader import Reader
from tuner.journal.events import Event, TrialEvent
from tuner.storage.disk import is_shared, trouble
from tuner.storage.lock import FolderLock

__all__ = ["FILE_NAME", "Event", "Journal", "fingerprint", "read"]

FILE_NAME = "journal.sqlite"

FORMAT = 1
"""What ``PRAGMA user_version`` of the file says; raised by a change that older versions would misread."""

_SECONDS_BETWEEN_FOLDS = 10.0

_ATTEMPTS_TO_COPY = 20

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,  -- from 1, no gaps
    time   REAL NOT NULL,        -- seconds since 1970
    kind   TEXT NOT NULL,
    trial  INTEGER,              -- from 0; NULL: about the sweep
    data   TEXT NOT NULL         -- JSON
)
"""


class Journal:
    """The only writer of a journal, which it makes or goes on with; ``read`` is for everyone else.

    Raises ResultsError while another process writes it, and when it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = FolderLock(folder)  # beside SQLite's own, which are held for a moment only
        self._folded = time.monotonic()
        with contextlib.ExitStack() as undone:
            undone.callback(self._lock.release)
            self._connection = self._connected()
            undone.pop_all()

    def _connected(self) -> sqlite3.Connection:
        shared = is_shared(self._path.parent)
        # There SQLite's locks may not work, and ours is enough.
        address = f"{self._path.absolute().as_uri()}{'?vfs=unix-none' if shared else ''}"
        try:
            connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error
        try:
            if shared:  # before anything is read, else SQLite maps the index
                connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            _refuse_newer(connection, self._path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise self._unwritable(error) from error
        return connection

    @property
    def token(self) -> str:
        """What its lock's file says; who sees it there sees this very folder."""
        return self._lock.token

    def write(self, event: Event) -> None:
        """Append an event; when this returns, it is committed.

        Raises ResultsError when the disk is full, and when another driver has taken the folder over.
        """
        self._lock.check()
        trial = event.trial if isinstance(event, TrialEvent) else None
        row = (time.time(), event.kind, trial, json.dumps(event.to_json(), allow_nan=False))
        try:
            self._connection.execute("INSERT INTO events (time, kind, trial, data) VALUES (?, ?, ?, ?)", row)
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: sqlite3.DatabaseError) -> ResultsError:
        return ResultsError(f"{self._path}: cannot be written: {trouble(self._path.parent) or error}")

    def fold(self) -> None:
        """Every few seconds, fold the write-ahead log into the file, so that a copy of it lacks little."""
        if time.monotonic() - self._folded >= _SECONDS_BETWEEN_FOLDS:
            self._folded = time.monotonic()
            with contextlib.suppress(sqlite3.OperationalError):  # of a full disk the next event will tell
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def sync(self) -> None:
        """Make all events durable: from now on they survive the death of the machine, too."""
        for path in (self._path, self._path.with_name(f"{FILE_NAME}-wal")):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it; once is enough, again does no harm."""
        self._connection.close()
        self._lock.release()


def read(folder: Path) -> Iterator[Event]:
    """The events of the sweep in ``folder``, in order, also while it runs.

    Paths of checkpoints begin with ``checkpoints/`` and are relative to the folder. Raises ResultsError when
    there is no journal, one that cannot be read, or one with an event that is not as it must be.
    """
    path = folder / FILE_NAME
    reader = Reader(str(path))
    for expected, row in enumerate(_rows(folder), start=1):
        if row[0] != expected:
            raise ResultsError(f"{path}: event {expected} is missing; the next one is {row[0]}")
        yield reader.event(row[1:])


def fingerprint(folder: Path) -> str:
    """A text that tells the journal in ``folder``, as it is now, from every other. Raises ResultsError."""
    digest = hashlib.sha256()
    for row in _rows(folder):
        digest.update(repr(row).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _rows(folder: Path) -> Iterator[tuple[Any, ...]]:
    path = folder / FILE_NAME
    if not path.is_file():
        raise ResultsError(f"{folder}: holds no sweep; must be a results folder with a {FILE_NAME}")
    try:
        with _readable(path) as connection:
            _refuse_newer(connection, path)
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(0,)]:
                return  # its driver ended before it had written anything
            yield from connection.execute(
                "SELECT number, time, kind, trial, data FROM events ORDER BY number"
            )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter from texts of a damaged page
        raise ResultsError(f"{path}: cannot be read as a journal: {error}") from None


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    [(found,)] = connection.execute("PRAGMA user_version").fetchall()
    if found > FORMAT:
        what = f"a newer tuner wrote it, in format {found}; this one knows formats up to {FORMAT}"
        raise ResultsError(f"{path}: {what}; upgrade tuner")


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a journal, or to a copy of it where SQLite could not read it beside its writer."""
    with contextlib.ExitStack() as stack:
        if is_shared(path.parent) or not os.access(path.parent, os.W_OK):
            path = _copied(path, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuner-"))))
        yield stack.enter_context(contextlib.closing(sqlite3.connect(path)))


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a journal of one moment: with the log that was written since the file last changed."""
    copy, log = folder / FILE_NAME, path.with_name(f"{FILE_NAME}-wal")
    for _ in range(_ATTEMPTS_TO_COPY):
        try:
            before = _state(path, log)
            shutil.copyfile(path, copy)
            if log.exists():
                shutil.copyfile(log, copy.with_name(log.name))
            if _state(path, log) == before:
                return copy
        except FileNotFoundError:  # the log was folded in meanwhile
            pass
        copy.with_name(log.name).unlink(missing_ok=True)
        time.sleep(0.05)
    raise ResultsError(f"{path}: cannot be read: it changes all the time; try again")


def _state(path: Path, log: Path) -> tuple[int, int, bytes]:
    """What changes when the log is folded into the file, or begun anew: not what appending to it changes."""
    status = path.stat()
    header = b""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(32)
    return status.st_mtime_ns, status.st_size, header
