"""``replay``: rebuilds the state of an interrupted sweep from its journal.

The searcher and the scheduler get the same calls in the same order, so they must give the same answers. A
different answer means that another version wrote the journal, or that someone changed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tuner.errors import ResultsError, TunerError
from tuner.journal.events import (
    Action,
    Asked,
    Decision,
    Ended,
    Event,
    Lost,
    Reconfigured,
    Result,
    Started,
    Suggested,
    TrialEvent,
)
from tuner.space import same
from tuner.state._state import SweepState


@dataclass
class Pending:
    """Decisions that had not been carried out when the sweep was interrupted."""

    resumed: list[Decision] = field(default_factory=list)
    """Decisions to resume a trial, possibly with another configuration."""
    dropped: list[int] = field(default_factory=list)
    """Paused trials that should end."""


def replay(state: SweepState, events: Iterable[Event]) -> Pending:
    """Apply a journal's events to a new state. Raises ResultsError if they do not fit the state's sweep."""
    replaying = _Replay(state)
    for position, event in enumerate(_mark_last_results(list(events))):
        if not isinstance(event, TrialEvent):
            continue
        try:
            replaying.apply(event)
        # Our own journals refer only to existing trials and decisions, so this one was changed.
        except (LookupError, StopIteration, AssertionError, TypeError, ValueError) as error:
            if isinstance(error, TunerError):
                raise
            where = f"event {position + 1} ('{event.kind}' of trial {event.trial:05d})"
            raise ResultsError(f"cannot resume: the journal contradicts itself at {where}") from error
    return replaying.pending


class _Replay:
    def __init__(self, state: SweepState) -> None:
        self.pending = Pending()
        self._state = state

    def apply(self, event: TrialEvent) -> None:
        match event:
            case Suggested():
                self._suggest(event)
            case Asked():
                self._ask(event)
            case Decision():
                self._decide(event)
            case Reconfigured():
                self._reconfigure(event)
            case Started():
                self._start(event)
            case _:
                self._state.apply(event)
                if isinstance(event, Ended) and event.trial in self.pending.dropped:
                    self.pending.dropped.remove(event.trial)

    def _start(self, event: Started) -> None:
        self._state.apply(event)
        if any(decision.source == event.trial for decision in self.pending.resumed):
            self._state.catch_up(event.trial)  # other trials wait for its checkpoint
        else:
            self.pending.resumed = [each for each in self.pending.resumed if each.trial != event.trial]

    def _suggest(self, event: Suggested) -> None:
        found = self._state.suggest()
        if (
            found is None
            or (found.trial, found.seed) != (event.trial, event.seed)
            or not same(found.config, event.config)
        ):
            suggested = "no more trials" if found is None else f"{found.config}"
            raise _mismatch(event.trial, f"ran {event.config}, but the searcher suggests {suggested}")

    def _ask(self, event: Asked) -> None:
        found = self._state.ask(event.trial, event.name, event.dimension)
        if (found.error is None) != (event.error is None) or not same(found.value, event.value):
            what = f"ran {event.name}={event.value}, but the searcher suggests {found.value}"
            raise _mismatch(event.trial, what)

    def _decide(self, event: Decision) -> None:
        """Compare a decision in the journal with the state's decision."""
        state, number = self._state.trials[event.trial].state, event.trial
        if event.action is Action.RESUME:
            decision = self._state.resume()
            if decision is None or decision.trial != number:
                raise _mismatch(number, f"was resumed, but the scheduler resumes {decision}")
            self.pending.resumed.append(decision)
        elif event.action is Action.STOP and state == "paused":
            if number not in self.pending.dropped:
                self.pending.dropped += [decision.trial for decision in self._state.drop()]
            if number not in self.pending.dropped:
                raise _mismatch(number, "was dropped, but the scheduler keeps it")
        elif event.action is Action.PAUSE and state != "paused":
            raise _mismatch(number, "was paused, but the scheduler lets it run")

    def _reconfigure(self, event: Reconfigured) -> None:
        decision = next(each for each in self.pending.resumed if each.trial == event.trial)
        self.pending.resumed.remove(decision)
        made = self._state.reconfigured(decision)
        if not same(made, event.config):
            what = f"continued with {event.config}, but the scheduler creates another configuration"
            raise _mismatch(event.trial, what)
        self._state.apply(replace(event, config=made))  # JSON lost the types of the search space


def _mark_last_results(events: list[Event]) -> list[Event]:
    """Return the events with ``done`` set in each trial's last result, which earlier versions did not set.

    A result is the last one if the trial then completes without another result, decision or loss.
    """
    marked = list(events)
    following: dict[int, Event] = {}
    for position in reversed(range(len(events))):
        event = events[position]
        if isinstance(event, Result) and not event.done:
            then = following.get(event.trial)
            if isinstance(then, Ended) and then.state == "completed":
                marked[position] = replace(event, done=True)
        if isinstance(event, (Result, Decision, Ended, Lost)):
            following[event.trial] = event
    return marked


def _mismatch(number: int, what: str) -> ResultsError:
    return ResultsError(f"cannot resume this journal: trial {number:05d} {what}")
