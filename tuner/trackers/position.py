"""``Position``: remembers how many events of a journal a tracker has received, also after a kill.

Before a batch is sent, its last event is written down. After it has arrived, it is written down again. If
the process is killed in between, the batch may have arrived in part, and the tracker is asked what it has.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tuner.errors import ResultsError
from tuner.storage.disk import writing

FOLDER = "trackers"
"""The folder for positions and logs, inside a results folder."""


class Sent(NamedTuple):
    """How far a tracker is."""

    sent: int = 0
    """The number of the last event that has arrived for certain; 0: none."""
    begun: int | None = 0
    """The number of the last event that may have arrived; ``None``: unknown, any may have."""
    time: float = 0.0
    """The time of event ``sent``. If the journal has another there, it is not the same journal."""


class Position:
    """The file in a results folder that holds the position of one destination."""

    def __init__(self, folder: Path, kind: str, destination: str) -> None:
        self._folder = folder / FOLDER
        self._destination = destination
        digest = hashlib.sha256(destination.encode()).hexdigest()[:8]
        self.path = self._folder / f"{kind}-{digest}.json"

    def read(self) -> Sent:
        """Return the position. Without a readable file, any event may have arrived."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return Sent(int(found["sent"]), int(found["begun"]), float(found["time"]))
        except (OSError, ValueError, TypeError, KeyError):
            return Sent(begun=None)

    def write(self, position: Sent) -> None:
        """Replace the file durably. Raises ResultsError if the folder cannot be written."""
        unfinished = self.path.with_suffix(".part")
        with writing(self._folder.parent):
            self._folder.mkdir(exist_ok=True)
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump({"destination": self._destination, **position._asdict()}, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self.path)

    @contextlib.contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Hold the destination's lock, so that one process at a time sends there.

        ``wait``: wait for another process, which ends soon if its driver was killed. Otherwise raises
        ResultsError.
        """
        with contextlib.ExitStack() as cleanup:
            with writing(self._folder.parent):
                self._folder.mkdir(exist_ok=True)
                lock = cleanup.enter_context(self.path.with_suffix(".lock").open("w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError:
                    what = f"another process already sends this sweep to {self._destination}"
                    raise ResultsError(f"{self._folder.parent}: {what}") from None
            yield
