"""``replay``: a state as it was when its sweep broke off, made again from the journal.

The searcher and the scheduler are asked and told again what they were, in the same order, and answer the
same. Where they do not, the journal is not theirs: another version wrote it, or someone changed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tuner.errors import ResultsError, TunerError
from tuner.journal.events import (
    Action,
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
    """What was decided and not done when the sweep broke off."""

    resumed: list[Decision] = field(default_factory=list)
    """Trials that were to be resumed, and maybe reconfigured."""
    dropped: list[int] = field(default_factory=list)
    """Paused trials that were to end."""


def replay(state: SweepState, events: Iterable[Event]) -> Pending:
    """Bring a new state to where the events end. Raises ResultsError when they are not those of its sweep."""
    replaying = _Replay(state)
    for position, event in enumerate(_with_ends(list(events))):
        if not isinstance(event, TrialEvent):
            continue
        try:
            replaying.apply(event)
        # A journal that was tampered with; one that we wrote names only what there is.
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
            self._state.catch_up(event.trial)  # for the checkpoint that they wait for
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
            raise _foreign(event.trial, f"ran {event.config}, and the searcher suggests {suggested}")

    def _decide(self, event: Decision) -> None:
        """Compare a decision of the journal with the state's own."""
        state, number = self._state.trials[event.trial].state, event.trial
        if event.action is Action.RESUME:
            decision = self._state.resume()
            if decision is None or decision.trial != number:
                raise _foreign(number, f"was resumed, and the scheduler resumes {decision}")
            self.pending.resumed.append(decision)
        elif event.action is Action.STOP and state == "paused":
            if number not in self.pending.dropped:
                self.pending.dropped += [decision.trial for decision in self._state.drop()]
            if number not in self.pending.dropped:
                raise _foreign(number, "was dropped, and the scheduler keeps it")
        elif event.action is Action.PAUSE and state != "paused":
            raise _foreign(number, "was paused, and the scheduler lets it run")

    def _reconfigure(self, event: Reconfigured) -> None:
        decision = next(each for each in self.pending.resumed if each.trial == event.trial)
        self.pending.resumed.remove(decision)
        made = self._state.reconfigured(decision)
        if not same(made, event.config):
            what = f"continued with {event.config}, and the scheduler makes something else"
            raise _foreign(event.trial, what)
        self._state.apply(replace(event, config=made))  # with the types that the space gives


def _with_ends(events: list[Event]) -> list[Event]:
    """The events, with each result marked as done that no scheduler decided on; earlier versions did not.

    Such a result is followed by the trial's end as completed, with nothing else of the trial in between.
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


def _foreign(number: int, what: str) -> ResultsError:
    return ResultsError(f"cannot resume this journal: trial {number:05d} {what}")
