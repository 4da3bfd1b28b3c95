"""``Sender``: sends the events of a journal to one tracker, each point once, also after an outage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tuner.journal import Follower
from tuner.journal.events import Event, Finished
from tuner.report import Report
from tuner.trackers.position import Position, Sent
from tuner.trackers.updates import Feed, RunUpdate

_MAX_BATCH = 500
"""Maximum number of events in a batch. If it fails, only these are sent again."""


class Checkpoint(NamedTuple):
    """The best trial of a sweep, and the folder of its checkpoint."""

    trial: int
    path: Path


class Tracker(Protocol):
    """Receives the updates of one sweep. Each method may raise any exception of the tracker's library."""

    confirms: bool
    """Whether updates have arrived when ``send`` returns. Otherwise they have when ``close`` returns."""

    def is_empty(self) -> bool:
        """Return whether the tracker has nothing of the sweep."""

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        """Send updates.

        ``verify``: some of the points may have been sent before. Send only those that the tracker lacks.
        """

    def send_checkpoint(self, best: Checkpoint) -> None:
        """Attach the winner's checkpoint to the parent run. Repeated calls leave one copy."""

    def close(self) -> None:
        """Finish what was sent."""


class _Batch(NamedTuple):
    updates: list[RunUpdate]
    first: int
    """The number of its first event."""
    last: int
    time: float
    """The time of its last event."""
    ends: bool
    """Whether the sweep ended within the batch."""


class Sender:
    """Sends the journal of a results folder to a tracker."""

    def __init__(
        self, folder: Path, connect: Callable[[], Tracker], position: Position, *, checkpoint: bool
    ) -> None:
        self._folder = folder
        self._connect = connect
        self._tracker: Tracker | None = None
        self._position = position
        self._sends_checkpoint = checkpoint
        self._notes: list[str] = []
        self.is_sending_checkpoint = False
        """Whether it is busy with a checkpoint, which may be large."""
        self._continue_after(position.read())

    def _begin(self) -> None:
        """Begin with the first event."""
        self._follower = Follower(self._folder)
        self._feed = Feed()
        self._sent = self._confirmed = Sent()
        self._batch: _Batch | None = None  # the next one, until it has arrived
        self._may_have_arrived: float = 0  # the number of the last event that was possibly sent before

    @property
    def number(self) -> int:
        """The number of the last event that was sent."""
        return self._sent.sent

    def step(self) -> bool:
        """Send the next events. Return whether there were any.

        After an exception, the next call sends the same events again, except for points that have arrived.
        """
        tracker = self._connected()
        if self._batch is None:
            self._prepare(_MAX_BATCH)
        if self._batch is None:
            self._may_have_arrived = min(self._may_have_arrived, self.number)
            return False
        batch = self._batch
        self._position.write(self._confirmed._replace(begun=batch.last))
        verify = batch.first <= self._may_have_arrived
        self._may_have_arrived = max(self._may_have_arrived, batch.last)
        tracker.send(batch.updates, verify=verify)
        if batch.ends and self._sends_checkpoint:
            self._send_checkpoint(tracker)
        self._sent = Sent(batch.last, batch.last, batch.time)
        if tracker.confirms:
            self._confirm()
        self._batch = None
        return True

    def take_notes(self) -> list[str]:
        """Return new messages for the user."""
        notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """Close the connection. May raise an error of the tracker's library."""
        if self._tracker is not None:
            self._tracker.close()
            self._confirm()
            self._tracker = None

    def _confirm(self) -> None:
        """Write down that everything sent has arrived."""
        if self._confirmed != self._sent:
            self._confirmed = self._sent
            self._position.write(self._sent)

    def abandon(self) -> None:
        """Forget a connection that failed. The next ``step`` opens another one, and sends what was lost."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None and not tracker.confirms:
            self._continue_after(self._position.read())

    def _connected(self) -> Tracker:
        """Return the tracker, connected. If it has lost the sweep, begin again."""
        if self._tracker is None:
            self._tracker = self._connect()
            if self.number and self._tracker.is_empty():
                self._begin()
        return self._tracker

    def _continue_after(self, position: Sent) -> None:
        """Skip the events that have arrived."""
        self._begin()
        events = self._read(position.sent)
        if len(events) < position.sent or (events and events[-1].time != position.time):
            # A crash of the machine took back the end of the journal, or the folder was replaced.
            self._begin()
            self._may_have_arrived = math.inf
            return
        self._feed.add(events)
        self._feed.take()
        self._sent = self._confirmed = position._replace(begun=position.sent)
        self._may_have_arrived = math.inf if position.begun is None else position.begun

    def _read(self, most: int) -> list[Event]:
        return list(self._follower.new(most)) if most else []

    def _prepare(self, most: int) -> None:
        """Make a batch of the next events, if there are any."""
        first = self._follower.number + 1
        events = self._read(most)
        if events:
            self._feed.add(events)
            ends = self._feed.history.reason is not None and any(isinstance(e, Finished) for e in events)
            self._batch = _Batch(self._feed.take(), first, self._follower.number, events[-1].time, ends)

    def _send_checkpoint(self, tracker: Tracker) -> None:
        best = Report.read(self._folder).best()
        if best is None or best.checkpoint is None:
            return
        path = Path(best.checkpoint)
        if links := [each.name for each in path.rglob("*") if each.is_symlink()]:
            what = f"the checkpoint of trial {best.id} is not sent, because {links[0]} is a link"
            self._notes.append(f"{what}; only files inside the results folder are sent")
            return
        self.is_sending_checkpoint = True
        try:
            tracker.send_checkpoint(Checkpoint(best.number, path))
        finally:
            self.is_sending_checkpoint = False
