"""``Clock``: how long a sweep has run, from the times of its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from tuner.journal import Event


@dataclass
class Clock:
    """The time of a sweep, which stands still between the end of a run and a resumption.

    Each run begins when it is asked for, with its start-up, and ends with its last event.
    """

    _runs: list[list[float]] = field(default_factory=list)  # [began, ended], in seconds since 1970

    def add(self, event: Event) -> None:
        """Take in the next event."""
        if event.kind == "resumed" or not self._runs:
            before = self._runs[-1][1] if self._runs else 0.0
            began = event.data.get("began") or event.time
            # A clock that was set back must not give a negative duration.
            self._runs.append([min(max(began, before), event.time), event.time])
        self._runs[-1][1] = max(self._runs[-1][1], event.time)

    @property
    def start(self) -> float:
        """When the sweep was first asked for, in seconds since 1970."""
        return self._runs[0][0] if self._runs else 0.0

    @property
    def seconds(self) -> float:
        """How long it has run in all."""
        return self.elapsed(self._runs[-1][1]) if self._runs else 0.0

    def elapsed(self, time: float) -> float:
        """How long it had run at a time."""
        return sum(max(0.0, min(time, ended) - began) for began, ended in self._runs)
