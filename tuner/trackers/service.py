"""``Service``: the loop of a tracker's process. It waits for events, sends them, and tells the driver."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from tuner.errors import ResultsError, TunerError, said
from tuner.journal import Follower
from tuner.journal.events import SweepBegan
from tuner.logger import Identity, LoggerSpec, TrackerSpec
from tuner.trackers.position import Position
from tuner.trackers.process import END, Job, Message
from tuner.trackers.sender import Sender, Tracker

_SECONDS_BETWEEN_READS = 1.0

_MAX_SHARE = 0.1
"""Reading the journal takes at most this fraction of the time. On a shared disk, it is copied first."""

_SECONDS_BETWEEN_ATTEMPTS = (1.0, 60.0)
"""The pause after the first failure, which doubles up to the second number."""

_LONGEST_ERROR = 200
"""Characters of an error in a message. The log of the process has the whole."""

_SECONDS_TO_ANSWER = 30.0
"""The driver is told of a tracker that takes longer, unless it receives a checkpoint."""

_SECONDS_TO_CONNECT = 120.0
"""MLflow's database is unusable if its creation is cut off. On a busy machine, it takes a minute."""

_SECONDS_WITHOUT_DRIVER = 10.0
"""The process ends at the latest this long after its driver was killed. A resume sends the rest."""


class Service:
    """Sends one sweep to one tracker."""

    def __init__(self, job: Job, answers: TextIO) -> None:
        self._job = job
        self._folder = Path(job.folder)
        self._answers = answers
        self._ended = threading.Event()
        self._trouble: str | None = None  # why the last attempt failed
        self._attempt: float | None = None  # when the present one began
        self.is_connecting = False
        if not job.follows:
            self._ended.set()

    def listen(self, driver: TextIO) -> None:
        """Wait for the end of the sweep. If the driver dies instead, end soon."""
        is_over = driver.readline().strip() == END
        self._ended.set()
        if not is_over:
            time.sleep(_SECONDS_WITHOUT_DRIVER)
            self.leave()

    def leave(self) -> None:
        """End the process, but not while it connects: MLflow may then create the tables of a database."""
        deadline = time.monotonic() + _SECONDS_TO_CONNECT
        while self.is_connecting and time.monotonic() < deadline:
            time.sleep(0.1)
        os._exit(1)

    def run(self) -> None:
        """Send events until the sweep has ended. Errors are told to the driver."""
        try:
            spec = LoggerSpec(kind=self._job.kind, settings=self._job.settings).tracker()
            if spec is None:
                raise ResultsError(f"'{self._job.kind}' is no tracker")
            identity = _identity(self._folder)
            position = Position(self._folder, spec.kind, spec.destination(identity))
            with position.locked(wait=self._job.follows):
                self._send(
                    Sender(
                        self._folder,
                        lambda: self._connect(spec, identity),
                        position,
                        checkpoint=spec.checkpoint,
                    )
                )
        except TunerError as error:
            self._tell("failed", text=str(error))

    def _connect(self, spec: TrackerSpec, identity: Identity) -> Tracker:
        self.is_connecting = True
        try:
            tracker: Tracker = spec.open(identity)
            return tracker
        finally:
            self.is_connecting = False

    def _send(self, sender: Sender) -> None:
        threading.Thread(target=self._watch, args=(sender,), name="tuner-watch", daemon=True).start()
        pause, longest = _SECONDS_BETWEEN_ATTEMPTS
        while True:
            is_last = self._ended.is_set()  # before the step, which then finds all events
            began = self._attempt = time.monotonic()
            try:
                found = sender.step()
                if not found and is_last:
                    sender.close()
            except Exception as error:
                self._fail(error)
                if is_last:
                    self._tell("failed", text=_brief(error), number=sender.number)
                    return
                self._attempt = None
                sender.abandon()
                self._ended.wait(pause)
                pause = min(longest, 2 * pause)
                continue
            self._attempt = None
            pause = _SECONDS_BETWEEN_ATTEMPTS[0]
            self._succeed(sender)
            if not found and is_last:
                self._tell("done", number=sender.number)
                return
            if not found:
                self._ended.wait(max(_SECONDS_BETWEEN_READS, (time.monotonic() - began) / _MAX_SHARE))

    def _watch(self, sender: Sender) -> None:
        """Tell the driver of an attempt that does not end."""
        while True:
            time.sleep(_SECONDS_BETWEEN_READS)
            began = self._attempt
            is_late = began is not None and time.monotonic() - began > _SECONDS_TO_ANSWER
            if is_late and self._trouble is None and not sender.is_sending_checkpoint:
                self._trouble = f"no answer for {_SECONDS_TO_ANSWER:g} s"
                self._tell("trouble", text=self._trouble)

    def _fail(self, error: Exception) -> None:
        """Tell the driver that the tracker fails, once until it works again."""
        text = _brief(error)
        if text != self._trouble:
            traceback.print_exception(error)
        if self._trouble is None:
            self._tell("trouble", text=text)
        self._trouble = text

    def _succeed(self, sender: Sender) -> None:
        if self._trouble is not None:
            self._tell("recovered")
            self._trouble = None
        for note in sender.take_notes():
            self._tell("note", text=note)

    def _tell(self, about: Any, *, text: str = "", number: int = 0) -> None:
        message = Message(about, text, number)
        with contextlib.suppress(BrokenPipeError):  # the driver was killed
            print(json.dumps(message._asdict()), file=self._answers, flush=True)


def _brief(error: Exception) -> str:
    line = said(error).splitlines()[0]
    return line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]}..."


def began_of(folder: Path) -> SweepBegan:
    """Return the first event of a sweep. Raises ResultsError if there is none."""
    first = next(Follower(folder).new(1), None)
    if not isinstance(first, SweepBegan):
        raise ResultsError(f"{folder}: holds no sweep; its run ended before the sweep began")
    return first


def _identity(folder: Path) -> Identity:
    began = began_of(folder)
    sweep_id = began.id or f"{int(began.time):08x}"
    return Identity(sweep_id, str(began.settings.get("name") or "sweep"), folder)
