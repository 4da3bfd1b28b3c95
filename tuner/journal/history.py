"""``History``: what a sweep's events add up to. Whoever reads a journal reads it through this one fold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from tuner.errors import ResultsError
from tuner.journal._file import FILE_NAME, read
from tuner.journal.events import (
    Action,
    Checkpointed,
    Closed,
    Decision,
    Ended,
    Event,
    Finished,
    Leaked,
    Lost,
    Reconfigured,
    Result,
    Resumed,
    Spent,
    Started,
    Suggested,
    SweepBegan,
    TrialEvent,
)

State = Literal["completed", "stopped", "failed", "running", "paused", "pending"]
"""``pending``: suggested and not yet started, or waiting to be started again."""

STATES: tuple[State, ...] = get_args(State)

# A trial that uses up its time is stopped by its budget, not by a scheduler. Such reasons name the budget.
_BY_BUDGET = "(budget."


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint that a trial can continue from."""

    path: str
    """From ``checkpoints/`` on."""
    result: Result
    """The last one before it; of a copy, the source's."""
    contents: tuple[int, int] | None
    """Files and bytes, where the journal has them."""
    is_copy: bool = False
    """Whether another trial made it, so that its value is not this trial's own."""


@dataclass
class TrialHistory:
    """One trial, as of the last event."""

    number: int
    config: dict[str, Any]
    """Its first one; ``changes`` has later ones."""
    seed: int
    state: State = "pending"
    error: str | None = None
    stopped_early: bool = False
    """Whether a scheduler has decided to stop it, and no budget."""
    results: dict[int, Result] = field(default_factory=dict)
    """By iteration: the last report of each. What a reconfigured trial had done beyond its source is gone."""
    changes: list[Reconfigured] = field(default_factory=list)
    started: list[Started] = field(default_factory=list)
    kept: str | None = None
    """The path of the checkpoint that is kept for its best value."""
    checkpoints: list[StoredCheckpoint] = field(default_factory=list)
    """Those that it can continue from, the newest last."""

    def add(self, event: TrialEvent, history: History) -> None:
        """Take in its next event."""
        match event:
            case Started():
                self.state, self.error, self.stopped_early = "running", None, False
                self.started.append(event)
            case Result():
                self.results[event.iteration] = event
            case Decision():
                self._decided(event)
            case Lost():
                self.state = "pending"
            case Reconfigured():
                self._reconfigured(event, history)
            case Checkpointed():
                self.kept = event.best
                kept = [each for each in self.checkpoints if each.path == event.best]
                if event.iteration in self.results:
                    result = self.results[event.iteration]
                    kept.append(StoredCheckpoint(event.path, result, event.contents))
                self.checkpoints = kept
            case Ended():
                self.state, self.error = event.state, event.error

    def _decided(self, decision: Decision) -> None:
        if decision.action is Action.PAUSE:
            self.state = "paused"
        elif decision.action is Action.RESUME:
            self.state = "pending"
        elif decision.action is Action.STOP:
            self.stopped_early = _BY_BUDGET not in (decision.reason or "")

    def _reconfigured(self, event: Reconfigured, history: History) -> None:
        self.changes.append(event)
        self.results = {i: result for i, result in self.results.items() if i <= event.iteration}
        source = history.trials[event.source]
        if source is not self and source.checkpoints:
            original = source.checkpoints[-1]
            copy = StoredCheckpoint(event.checkpoint, original.result, event.contents, is_copy=True)
            self.checkpoints.append(copy)


@dataclass
class Clock:
    """The time of a sweep, which stops between the end of a run and a resumption.

    Each run begins when it is asked for, with its start-up, and ends with its last event.
    """

    runs: list[list[float]] = field(default_factory=list)
    """[began, ended], in seconds since 1970."""
    driven: float = 0.0
    """Seconds between the events of each run, summed: without start-up."""

    def add(self, event: Event) -> None:
        """Take in the next event."""
        if isinstance(event, Resumed) or not self.runs:
            before = self.runs[-1][1] if self.runs else 0.0
            asked = event.began if isinstance(event, (SweepBegan, Resumed)) else None
            # A clock that was set back must not give a negative duration.
            self.runs.append([min(max(asked or event.time, before), event.time), event.time])
        else:
            self.driven += max(0.0, event.time - self.runs[-1][1])
        self.runs[-1][1] = max(self.runs[-1][1], event.time)

    @property
    def start(self) -> float:
        """When the sweep was first asked for, in seconds since 1970."""
        return self.runs[0][0] if self.runs else 0.0

    @property
    def seconds(self) -> float:
        """How long it has run in all."""
        return self.elapsed(self.runs[-1][1]) if self.runs else 0.0

    def elapsed(self, time: float) -> float:
        """How long it had run at a time."""
        return sum(max(0.0, min(time, ended) - began) for began, ended in self.runs)


@dataclass
class History:
    """A sweep, as of its last event."""

    began: SweepBegan | None = None
    trials: dict[int, TrialHistory] = field(default_factory=dict)
    """By number, in the order in which they were suggested."""
    ended: list[TrialHistory] = field(default_factory=list)
    """In the order in which they ended."""
    decisions: list[Decision] = field(default_factory=list)
    leaks: list[Leaked] = field(default_factory=list)
    resumptions: list[Resumed] = field(default_factory=list)
    reason: str | None = None
    """Why the sweep ended; ``None``: it is running, was killed, or was continued after its end."""
    gpu_seconds: float = 0.0
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """Return what these events add up to."""
        history = cls()
        for event in events:
            history.add(event)
        return history

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a results folder, also while its sweep runs.

        Raises ResultsError when there is no journal, or one that cannot be read.
        """
        return cls.of(read(folder))

    def add(self, event: Event) -> None:
        """Take in the next event."""
        self.clock.add(event)
        if not isinstance(event, Closed):
            self.reason = event.reason if isinstance(event, Finished) else None
        match event:
            case SweepBegan():
                self.began = event
            case Suggested():
                self.trials[event.trial] = TrialHistory(event.trial, event.config, event.seed)
            case TrialEvent():
                self.trials[event.trial].add(event, self)
                if isinstance(event, Ended):
                    self.ended.append(self.trials[event.trial])
                elif isinstance(event, Decision):
                    self.decisions.append(event)
            case Leaked():
                self.leaks.append(event)
            case Resumed():
                self.resumptions.append(event)
            case Spent():
                self.gpu_seconds = event.gpu_seconds

    def sweep_of(self, folder: Path) -> dict[str, Any]:
        """The sweep as it was resolved. Raises ResultsError if it was ended before it began."""
        if self.began is None:
            raise ResultsError(f"{folder / FILE_NAME}: holds no sweep; it was ended before it began")
        return self.began.settings

    def objectives(self) -> list[str | None]:
        """The metrics of the sweep's objectives, as far as the journal names them."""
        objective = (self.began.sweep if self.began else {}).get("objective", {})
        return [each.get("metric") for each in (objective if isinstance(objective, list) else [objective])]
