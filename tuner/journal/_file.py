"""``Journal``: every event of a sweep, in order, in one SQLite file.

An event is written before it is acted on, so a killed sweep can be read and resumed from its journal. There
is one writer and any number of concurrent readers. A committed event survives a crash of the process
immediately. It survives a crash of the machine after ``sync`` or a few seconds. To copy the journal of a
running sweep, copy ``journal.sqlite`` together with ``journal.sqlite-wal``.

SQLite's write-ahead log needs a local disk because its index is a shared memory map. On a shared file
system the writer keeps the index in its own memory. A reader copies both files to a local disk first.
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
from itertools import islice
from pathlib import Path
from typing import Any

from tuner.errors import ResultsError
from tuner.journal._reader import Reader
from tuner.journal.events import Event, TrialEvent
from tuner.storage.disk import is_shared, trouble
from tuner.storage.lock import FolderLock

__all__ = ["FILE_NAME", "Event", "Follower", "Journal", "fingerprint", "read"]

FILE_NAME = "journal.sqlite"

FORMAT = 1
"""The file's ``PRAGMA user_version``. Increase it when older versions would misread the new content."""

_SECONDS_BETWEEN_FOLDS = 10.0
"""The interval of ``fold``. More frequent folds would only cost time."""

_ATTEMPTS_TO_COPY = 20

_BEFORE_ALL = -(2**63)
"""Below any number of a row, also in a damaged file."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,  -- from 1, no gaps
    time   REAL NOT NULL,        -- seconds since 1970
    kind   TEXT NOT NULL,
    trial  INTEGER,              -- from 0; NULL for an event of the sweep itself
    data   TEXT NOT NULL         -- JSON
)
"""


class Journal:
    """The only writer of a journal. It creates the file or appends to it; everyone else calls ``read``.

    Raises ResultsError if another process is writing the journal, or if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = FolderLock(folder)  # SQLite holds its own locks only during a statement
        self._last_fold = time.monotonic()
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(self._lock.release)
            self._connection = self._connect()
            # Linux drops SQLite's locks when the process closes any descriptor of the file. Another process
            # would then delete the write-ahead log in use. This one stays open with the connection.
            self._descriptor: int | None = os.open(self._path, os.O_RDONLY)
            cleanup.pop_all()

    def _connect(self) -> sqlite3.Connection:
        shared = is_shared(self._path.parent)
        # SQLite's locks may not work on a shared file system, and ours is enough.
        address = f"{self._path.absolute().as_uri()}{'?vfs=unix-none' if shared else ''}"
        try:
            connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.DatabaseError as error:
            raise self._unwritable(error) from error
        try:
            if shared:  # must precede the first read, or SQLite maps the index
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
        """The token in the lock file. A process that reads the same token sees the same folder."""
        return self._lock.token

    def write(self, event: Event) -> None:
        """Append an event and commit it.

        Raises ResultsError if the disk is full, or if another driver has taken over the folder.
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
        """Fold the write-ahead log into the file every few seconds, so that a copied file is recent."""
        if time.monotonic() - self._last_fold >= _SECONDS_BETWEEN_FOLDS:
            self._last_fold = time.monotonic()
            with contextlib.suppress(sqlite3.OperationalError):  # the next write reports a full disk
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def sync(self) -> None:
        """Make all events durable: they then survive a crash of the machine."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
        with contextlib.suppress(FileNotFoundError):
            log = os.open(self._path.with_name(f"{FILE_NAME}-wal"), os.O_RDONLY)
            try:
                os.fsync(log)
            finally:
                os.close(log)

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it. Repeated calls do nothing."""
        self._connection.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lock.release()


def read(folder: Path) -> Iterator[Event]:
    """Yield the events of the sweep in ``folder``, in order. The sweep may be running.

    Checkpoint paths begin with ``checkpoints/`` and are relative to the folder. Raises ResultsError if the
    journal is missing or unreadable, or contains an invalid event.
    """
    return Follower(folder).new()


class Follower:
    """Reads the events of the sweep in ``folder`` that earlier calls have not returned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader = Reader(str(folder / FILE_NAME))
        self.number = 0
        """The number of the last event that was read, from 1."""

    def new(self, most: int | None = None) -> Iterator[Event]:
        """Yield the next events, at most ``most``. Raises ResultsError as ``read`` does."""
        for row in islice(_rows(self._folder, after=self.number or None), most):
            if row[0] != self.number + 1:
                path = self._folder / FILE_NAME
                raise ResultsError(f"{path}: event {self.number + 1} is missing; the next one is {row[0]}")
            self.number += 1
            yield self._reader.event(row[1:])


def fingerprint(folder: Path) -> str:
    """Return a hash of the current events of the journal in ``folder``. Raises ResultsError."""
    digest = hashlib.sha256()
    for row in _rows(folder):
        digest.update(repr(row).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _inner_folder_hint(folder: Path) -> str:
    """Return a hint at the newest results folder inside ``folder``; empty if there is none."""
    found = list(folder.glob(f"*/{FILE_NAME}")) if folder.is_dir() else []
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return f", as in {newest.parent}" if newest is not None else ""


def _rows(folder: Path, *, after: int | None = None) -> Iterator[tuple[Any, ...]]:
    """Yield the rows after a number, in order; ``None``: all of them."""
    path = folder / FILE_NAME
    if not path.is_file():
        what = f"{folder}: holds no sweep; must be a results folder with a {FILE_NAME}"
        raise ResultsError(f"{what}{_inner_folder_hint(folder)}")
    try:
        with _open_readable(path) as connection:
            _refuse_newer(connection, path)
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(0,)]:
                return  # its driver ended before it wrote anything
            yield from connection.execute(
                "SELECT number, time, kind, trial, data FROM events WHERE number > ? ORDER BY number",
                [_BEFORE_ALL if after is None else after],
            )
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged page may contain invalid text
        raise ResultsError(f"{path}: cannot be read as a journal: {error}") from None


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    [(found,)] = connection.execute("PRAGMA user_version").fetchall()
    if found > FORMAT:
        what = f"a newer tuner wrote it in format {found}; this version reads formats up to {FORMAT}"
        raise ResultsError(f"{path}: {what}; upgrade tuner")


@contextlib.contextmanager
def _open_readable(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a connection to a journal, or to a local copy if SQLite cannot read the original safely."""
    with contextlib.ExitStack() as stack:
        if is_shared(path.parent) or not os.access(path.parent, os.W_OK):
            path = _copy(path, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuner-"))))
        yield stack.enter_context(contextlib.closing(sqlite3.connect(path)))


def _copy(path: Path, folder: Path) -> Path:
    """Copy a journal and its write-ahead log in a consistent state."""
    copy, log = folder / FILE_NAME, path.with_name(f"{FILE_NAME}-wal")
    for _ in range(_ATTEMPTS_TO_COPY):
        try:
            before = _snapshot(path, log)
            shutil.copyfile(path, copy)
            if log.exists():
                shutil.copyfile(log, copy.with_name(log.name))
            if _snapshot(path, log) == before:
                return copy
        except FileNotFoundError:  # the log was folded into the file meanwhile
            pass
        copy.with_name(log.name).unlink(missing_ok=True)
        time.sleep(0.05)
    raise ResultsError(f"{path}: cannot be read: it changed during every attempt to copy it; try again")


def _snapshot(path: Path, log: Path) -> tuple[int, int, bytes]:
    """Return a value that changes when the log is folded into the file or restarted, but not on append."""
    status = path.stat()
    header = b""
    with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(32)
    return status.st_mtime_ns, status.st_size, header
