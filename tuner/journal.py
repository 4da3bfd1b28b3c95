"""The journal: every suggestion, result, decision and ending of a sweep, in order, in one SQLite file.

An event is written before it is acted on, so that a sweep that was killed can be read, and gone on with, from
its journal alone. One writer, any number of readers at the same time. A committed event survives the death of
the process at once (the write-ahead log is synced at checkpoints, so a power cut may take the last ones).

Kinds of events, with the keys of their ``data``:

- ``sweep``: ``sweep`` (resolved, without ``out``), ``version``, ``id`` (of this sweep alone), ``began`` (when
  it was asked for, in seconds since 1970), ``sources`` (fingerprints of what it learns from), ``signature``
  (see ``tuner.trust``); the first event
- ``suggested``: ``config``, ``seed``; a trial came to be
- ``started``: ``node``; the trial runs (again), maybe from its checkpoint
- ``result``: ``iteration``, ``value``, ``values`` (where there are several objectives, of all of them),
  ``seconds`` (training time so far), ``metrics``
- ``decision``: ``action``, ``resource`` and what led to it (see ``tuner.schedulers.Decision``)
- ``reconfigured``: ``source``, ``iteration``, ``config``, ``checkpoint`` (as below), ``contents``; the trial
  continues with this configuration, from the checkpoint of that iteration of another trial or, where it is
  the source, its own
- ``checkpoint``: ``path`` (from ``checkpoints/`` on), ``iteration``, ``best`` (the path that is kept for the
  trial's best value), ``contents`` (how many files and bytes it has)
- ``lost``: ``error``; the trial will be started again, since its worker died; or, where there are ``lanes``,
  since its worker's device has memory for so many trials only; or, where ``died`` is false, after an error
- ``leaked``: ``node``, ``memory`` (``machine`` or ``gpu``), and in bytes ``before``, ``after``, ``share``; a
  worker is replaced, since its trials have left memory behind (see ``tuner.engine.memory.Leak``)
- ``ended``: ``state`` (``completed``, ``stopped``, ``failed``), ``error`` (a traceback, for failed ones)
- ``resumed``: ``version``, ``began``; a sweep that broke off is continued
- ``spent``: ``gpu_seconds`` so far, where the budget limits them
- ``finished``: ``reason``; no trial runs any more (``trials``, ``seconds``, ``failures``, ``interrupted``)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.disk import trouble, writing
from tuner.errors import ResultsError
from tuner.events import Checker, Event

__all__ = ["FILE_NAME", "Event", "Journal", "fingerprint", "read"]

FILE_NAME = "journal.sqlite"

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
        # Beside SQLite's own locks, which are held for a moment only.
        with writing(folder):
            self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ResultsError(f"{folder}: a sweep is running in it") from None
        self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", _SCHEMA):
            self._execute(statement)

    def write(self, kind: str, trial: int | None = None, /, **data: Any) -> None:
        """Append an event; when this returns, it is committed. Raises ResultsError when the disk is full."""
        event = (time.time(), kind, trial, json.dumps(data, allow_nan=False))
        self._execute("INSERT INTO events (time, kind, trial, data) VALUES (?, ?, ?, ?)", event)

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.DatabaseError as error:
            reason = trouble(self._path.parent) or str(error)
            raise ResultsError(f"{self._path}: cannot be written: {reason}") from error

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
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def read(folder: Path) -> Iterator[Event]:
    """The events of the sweep in ``folder``, in order, also while it runs.

    Paths of checkpoints begin with ``checkpoints/`` and are relative to the folder. Raises ResultsError when
    there is no journal, one that cannot be read, or one with an event that is not as it must be.
    """
    checker = Checker(str(folder / FILE_NAME))
    for row in _rows(folder, "time, kind, trial, data"):
        yield checker.event(row)


def fingerprint(folder: Path) -> str:
    """A text that tells the journal in ``folder``, as it is now, from every other. Raises ResultsError."""
    digest = hashlib.sha256()
    for row in _rows(folder, "number, time, kind, trial, data"):
        digest.update(repr(row).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _rows(folder: Path, columns: str) -> Iterator[tuple[Any, ...]]:
    path = folder / FILE_NAME
    if not path.is_file():
        raise ResultsError(f"{folder}: holds no sweep; must be a results folder with a {FILE_NAME}")
    try:
        connection = sqlite3.connect(path)
        try:
            yield from connection.execute(f"SELECT {columns} FROM events ORDER BY number")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ResultsError(f"{path}: cannot be read as a journal: {error}") from None
