"""``Tracking``: sends a running sweep to its trackers, each from a separate process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from tuner.cluster.log import log
from tuner.logger import LoggerSpec
from tuner.trackers.process import Message, TrackerProcess

_SECONDS_TO_END = 120.0
"""A tracker may receive a large checkpoint when the sweep ends."""

_SECONDS_IN_A_HURRY = 10.0
"""The same after an interrupt or an error, since the user waits, and for a tracker that fails."""


class Tracking:
    """A context in which a sweep's results go to its trackers.

    Args:
        folder: The results folder, with a journal.
        loggers: The sweep's loggers. Those that are no trackers are ignored.
        tell: Called with messages for the user, in another thread.
        in_a_hurry: Whether the user waits for the end.
    """

    def __init__(
        self,
        folder: Path,
        loggers: Iterable[LoggerSpec],
        *,
        tell: Callable[[str], object],
        in_a_hurry: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._specs = [spec for spec in loggers if spec.tracker() is not None]
        self._tell = tell
        self._in_a_hurry = in_a_hurry
        self._processes: list[TrackerProcess] = []

    def __enter__(self) -> Tracking:
        for spec in self._specs:
            hear = _Hearing(spec.kind, self._tell)
            self._processes.append(TrackerProcess(self._folder, spec, follows=True, hear=hear))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        hurry = error is not None or self._in_a_hurry()
        deadline = time.monotonic() + (_SECONDS_IN_A_HURRY if hurry else _SECONDS_TO_END)
        for process in self._processes:
            process.end()
        for process in self._processes:
            last = process.wait(max(0.0, deadline - time.monotonic()), in_trouble=_SECONDS_IN_A_HURRY)
            if last.about == "failed":
                later = f"tuner sync {self._folder} --to {process.kind}"
                warning = (
                    f"{process.kind} has not received everything: {last.text}; send the rest with: {later}"
                )
                log.warning("%s", warning)
                print(f"warning: {warning}", file=sys.stderr)


class _Hearing:
    """Passes the messages of a tracker's process to the log. The user hears of the first outage only."""

    def __init__(self, kind: str, tell: Callable[[str], object]) -> None:
        self._kind = kind
        self._tell = tell
        self._was_down = False

    def __call__(self, message: Message) -> None:
        if message.about == "recovered":
            log.info("%s receives results again", self._kind)
            return
        text = f"{self._kind}: {message.text}"
        if message.about == "trouble":
            text = f"{self._kind} cannot be reached or refuses results ({message.text})"
            text = f"{text}; trials continue, and everything is sent when it works again"
        log.warning("%s", text)
        if message.about != "trouble" or not self._was_down:
            self._tell(text)
        self._was_down = self._was_down or message.about == "trouble"
