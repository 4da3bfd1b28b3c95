"""``History``: the summary of a sweep's events. Every reader of a journal uses this fold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from tuner.errors import ResultsError
from tuner.journal._file import FILE_NAME, read
from tuner.journal.events import (
    Action,
    Asked,
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
"""``pending``: suggested but not yet started, or waiting for a restart."""

STATES: tuple[State, ...] = get_args(State)

_BY_BUDGET = "(budget."
"""The reason of a decision contains this text if the budget, not the scheduler, stopped the trial."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint that a trial can continue from."""

    path: str
    """Its path from ``checkpoints/`` onwards."""
    result: Result
    """The result of the checkpoint's iteration. A copy has the source's result."""
    contents: tuple[int, int] | None
    """The number of files and of bytes, if the journal contains them."""
    is_copy: bool = False
    """Whether another trial wrote it. Its value is then not this trial's own."""


@dataclass
class Span:
    """A time in which a trial was on a worker."""

    started: Started
    ended: Decision | Lost | Ended | None = None
    """What took it off the worker; ``None``: nothing yet, or its sweep was killed."""


@dataclass
class TrialHistory:
    """One trial, as of the last event."""

    number: int
    config: dict[str, Any]
    """Its first configuration; ``changes`` contains later ones."""
    seed: int
    state: State = "pending"
    error: str | None = None
    stopped_early: bool = False
    """Whether a scheduler, not a budget, decided to stop it."""
    results: dict[int, Result] = field(default_factory=dict)
    """The last result of each iteration. A reconfiguration discards results after the source's iteration."""
    changes: list[Reconfigured] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    """When it was on workers, in order."""
    kept: str | None = None
    """The path of the checkpoint that is kept for its best value."""
    checkpoints: list[StoredCheckpoint] = field(default_factory=list)
    """The checkpoints that it can continue from, newest last."""
    named: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The hyperparameters that it named while it ran: name -> dimension, as a sweep file writes it."""

    def add(self, event: TrialEvent, history: History) -> None:
        """Apply the trial's next event."""
        match event:
            case Asked(error=None):
                self.config = {**self.config, event.name: event.value}
                self.named[event.name] = event.dimension
            case Started():
                self.state, self.error, self.stopped_early = "running", None, False
                self.spans.append(Span(event))
            case Result():
                self.results[event.iteration] = event
            case Decision():
                self._apply_decision(event)
            case Lost():
                self.state = "pending"
                self._leave_worker(event)
            case Reconfigured():
                self._apply_reconfiguration(event, history)
            case Checkpointed():
                self.kept = event.best
                kept = [each for each in self.checkpoints if each.path == event.best]
                if event.iteration in self.results:
                    result = self.results[event.iteration]
                    kept.append(StoredCheckpoint(event.path, result, event.contents))
                self.checkpoints = kept
            case Ended():
                self.state, self.error = event.state, event.error
                self._leave_worker(event)

    def _leave_worker(self, event: Decision | Lost | Ended) -> None:
        if self.spans and self.spans[-1].ended is None:
            self.spans[-1].ended = event

    def _apply_decision(self, decision: Decision) -> None:
        if decision.action is Action.PAUSE:
            self.state = "paused"
            self._leave_worker(decision)
        elif decision.action is Action.RESUME:
            self.state = "pending"
        elif decision.action is Action.STOP:
            self.stopped_early = _BY_BUDGET not in (decision.reason or "")

    def _apply_reconfiguration(self, event: Reconfigured, history: History) -> None:
        self.changes.append(event)
        self.results = {i: result for i, result in self.results.items() if i <= event.iteration}
        source = history.trials[event.source]
        if source is not self and source.checkpoints:
            original = source.checkpoints[-1]
            copy = StoredCheckpoint(event.checkpoint, original.result, event.contents, is_copy=True)
            self.checkpoints.append(copy)


@dataclass
class Clock:
    """The running time of a sweep, which excludes the pause before a resumption.

    A run begins when the user requests it, so it includes the start-up. It ends with its last event.
    """

    runs: list[list[float]] = field(default_factory=list)
    """One [began, ended] per run, in seconds since 1970."""
    driven: float = 0.0
    """Seconds from the first to the last event of each run, summed. Excludes the start-up."""

    def add(self, event: Event) -> None:
        """Apply the next event."""
        if isinstance(event, Resumed) or not self.runs:
            before = self.runs[-1][1] if self.runs else 0.0
            requested = event.began if isinstance(event, (SweepBegan, Resumed)) else None
            # If the clock was set back, the duration must not be negative.
            self.runs.append([min(max(requested or event.time, before), event.time), event.time])
        else:
            self.driven += max(0.0, event.time - self.runs[-1][1])
        self.runs[-1][1] = max(self.runs[-1][1], event.time)

    @property
    def start(self) -> float:
        """When the user first requested the sweep, in seconds since 1970."""
        return self.runs[0][0] if self.runs else 0.0

    @property
    def seconds(self) -> float:
        """The total running time."""
        return self.elapsed(self.runs[-1][1]) if self.runs else 0.0

    def elapsed(self, time: float) -> float:
        """Return the running time in seconds until a time, which is in seconds since 1970."""
        return sum(max(0.0, min(time, ended) - began) for began, ended in self.runs)


@dataclass
class History:
    """A sweep, as of its last event."""

    began: SweepBegan | None = None
    trials: dict[int, TrialHistory] = field(default_factory=dict)
    """All trials by number, in the order of their suggestion."""
    ended: list[TrialHistory] = field(default_factory=list)
    """Ended trials, in the order of their ends."""
    decisions: list[Decision] = field(default_factory=list)
    leaks: list[Leaked] = field(default_factory=list)
    resumptions: list[Resumed] = field(default_factory=list)
    reason: str | None = None
    """Why the sweep ended. ``None`` if it is running, was killed, or was resumed after its end."""
    gpu_seconds: float = 0.0
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        """Return the history that results from the events."""
        history = cls()
        for event in events:
            history.add(event)
        return history

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the journal of a results folder. Its sweep may be running.

        Raises ResultsError if the journal is missing or cannot be read.
        """
        return cls.of(read(folder))

    def add(self, event: Event) -> None:
        """Apply the next event."""
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
        """Return the resolved sweep. Raises ResultsError if the run ended before it wrote the sweep."""
        if self.began is None:
            raise ResultsError(f"{folder / FILE_NAME}: holds no sweep; its run ended before the sweep began")
        return self.began.settings

    def objectives(self) -> list[str | None]:
        """Return the metrics of the sweep's objectives; ``None`` for one that the journal does not name."""
        objective = (self.began.sweep if self.began else {}).get("objective", {})
        return [each.get("metric") for each in (objective if isinstance(objective, list) else [objective])]
