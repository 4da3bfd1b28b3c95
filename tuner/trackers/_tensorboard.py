"""TensorBoard: a folder of event files per trial, which ``tensorboard --logdir`` shows side by side."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tuner.logger import Identity, TrackerSpec
from tuner.trackers.sender import Checkpoint
from tuner.trackers.updates import RunUpdate

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

_MAX_OPEN = 32
"""Maximum number of open event files."""

_PARENT = "sweep"
"""The folder of the sweep itself."""


class TensorBoardSpec(TrackerSpec):
    """Event files of TensorBoard. Hyperparameters appear in the tab HPARAMS."""

    kind: ClassVar[str] = "tensorboard"
    library: ClassVar[str] = "tensorboardX"
    extra: ClassVar[str] = "tensorboard"

    logdir: str | None = Field(
        default=None,
        description="parent of the folder for the event files; none: they are in logs in the results folder",
    )

    def destination(self, identity: Identity) -> str:
        return "logs" if self.logdir is None else f"{self._folder(identity)}"

    def open(self, identity: Identity) -> TensorBoardTracker:
        return TensorBoardTracker(self._folder(identity))

    def _folder(self, identity: Identity) -> Path:
        if self.logdir is None:
            return identity.folder / "logs"
        return Path(self.logdir).expanduser().absolute() / f"{identity.name}-{identity.id}"


class TensorBoardTracker:
    """Writes event files. Each new writer adds a file to the folder of its run."""

    confirms = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int | None, EventsWriter] = {}  # the most recently used last
        self._told: dict[int | None, str] = {}  # the last state of each run
        self._has_hparams: set[int | None] = set()

    def is_empty(self) -> bool:
        return not any((self._folder / _PARENT).glob("events.out.tfevents.*"))

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        for update in updates:
            arrived = set(stored(self._path(update.trial))) if verify else set()
            for point in update.points:
                missing = {
                    name: value
                    for name, value in point.metrics.items()
                    if (name, point.step, point.time) not in arrived
                }
                self._add_scalars(update.trial, missing, point.step, point.time)
            if update.trial is not None:
                self._add_hparams(update, arrived)
            self._add_state(update)
        for file in self._files.values():
            file.flush()
        for update in updates:
            if update.ended is not None:
                self._close(update.trial)

    def send_checkpoint(self, best: Checkpoint) -> None:
        from tensorboardX import summary

        for name, text in (("best_trial", best.path.parent.name), ("checkpoint", str(best.path))):
            self._add(None, summary.text(name, text))
        self._close(None)

    def close(self) -> None:
        for trial in list(self._files):
            self._close(trial)

    def _path(self, trial: int | None) -> Path:
        return self._folder / (_PARENT if trial is None else f"{trial:05d}")

    def _file(self, trial: int | None) -> EventsWriter:
        # A SummaryWriter of tensorboardX 2.6 has a queue that `flush` does not wait for. It also truncates a
        # file that was opened in the same second, unless the suffix differs.
        from tensorboardX.event_file_writer import EventsWriter

        file = self._files.pop(trial, None)
        if file is None:
            if len(self._files) >= _MAX_OPEN:
                self._close(next(iter(self._files)))
            self._path(trial).mkdir(parents=True, exist_ok=True)
            file = EventsWriter(str(self._path(trial) / "events"), f".{secrets.token_hex(4)}")
        self._files[trial] = file
        return file

    def _close(self, trial: int | None) -> None:
        file = self._files.pop(trial, None)
        if file is not None:
            file.close()

    def _add(self, trial: int | None, summary: Any, *, step: int = 0, at: float | None = None) -> None:
        from tensorboardX.proto.event_pb2 import Event

        event = Event(wall_time=time.time() if at is None else at, step=step, summary=summary)
        self._file(trial).write_event(event)

    def _add_scalars(self, trial: int | None, values: Mapping[str, float], step: int, at: float) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        if values:
            scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
            self._add(trial, Summary(value=scalars), step=step, at=at)

    def _add_hparams(self, update: RunUpdate, arrived: set[tuple[str, int, float]]) -> None:
        """Write the hyperparameters when there is a value, and the best values when the trial ends."""
        from tensorboardX import summary

        if not update.summary:
            return
        params = {name: _plain(value) for name, value in {**update.params, **update.changed}.items()}
        experiment, start, end = summary.hparams(params, dict.fromkeys(update.summary, 0.0))
        if update.trial not in self._has_hparams or update.changed:
            self._add(update.trial, experiment)
            self._add(update.trial, start)
            self._has_hparams.add(update.trial)
        if update.ended is not None:
            self._add(update.trial, end)
            best = {
                name: value
                for name, value in update.summary.items()
                if (name, update.number, update.ended) not in arrived
            }
            self._add_scalars(update.trial, best, update.number, update.ended)

    def _add_state(self, update: RunUpdate) -> None:
        from tensorboardX import summary

        text = ", ".join(f"{name}: {value}" for name, value in update.tags.items() if value)
        if self._told.get(update.trial) != text:
            self._add(update.trial, summary.text("state", text), step=update.number)
            self._told[update.trial] = text


def _plain(value: Any) -> Any:
    """Return a hyperparameter as TensorBoard can store it: a number, a truth value or text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def stored(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield (name, step, time) of each scalar in a folder's event files."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.out.tfevents.*")):
        for record in _records(path.read_bytes()):
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    yield value.tag, event.step, event.wall_time


def _records(data: bytes) -> Iterator[bytes]:
    """Yield the records of an event file. A kill may have cut the last one off.

    A record is its length (8 bytes), a checksum of the length (4), the content, and a checksum of it (4).
    """
    start = 0
    while start + 12 <= len(data):
        [length] = struct.unpack_from("<Q", data, start)
        end = start + 12 + length
        if end + 4 > len(data):
            return
        yield data[start + 12 : end]
        start = end + 4
