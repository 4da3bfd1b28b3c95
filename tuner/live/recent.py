"""``Recent``: the latest decisions of a sweep in words, and its failures by kind."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass

from tuner.journal.events import Action, Decision, Ended, Event, Lost
from tuner.objective import ITERATIONS
from tuner.report import phrases
from tuner.sweep import Sweep

_MAX_KEPT = 50

# ``ValueError: must be positive`` and ``torch.cuda.OutOfMemoryError``, but not ``the process crashed: ...``.
_EXCEPTION = re.compile(r"(?:\w+\.)*([A-Z]\w*)(?::\s*(.*))?$")


@dataclass(frozen=True)
class FailureKind:
    """Failed trials with errors of one kind."""

    kind: str
    """The name of the exception, else the whole message."""
    count: int
    message: str
    """The latest one, without the name of the exception; empty if ``kind`` is the whole message."""


class Recent:
    """Takes in the events of a sweep and keeps the latest decisions and all failures.

    A resumed sweep begins with the events of its earlier runs.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._resource = sweep.scheduler.resource
        self._has_several_objectives = bool(sweep.objective.others)
        self._resumes_are_promotions = not sweep.scheduler.reconfigures
        self._lines: deque[str] = deque(maxlen=_MAX_KEPT)
        self._concluded: set[int] = set()  # trials that a decision has ended
        self._failures: Counter[str] = Counter()
        self._messages: dict[str, str] = {}

    def add(self, event: Event) -> None:
        """Take in the next event."""
        match event:
            case Decision():
                if event.action in (Action.STOP, Action.COMPLETE):
                    self._concluded.add(event.trial)
                self._say(event.trial, self._describe(event))
            case Ended(state="failed"):
                cause = _last_line(event.error) or phrases.NO_ERROR
                kind, message = _kind(cause)
                self._failures[kind] += 1
                self._messages[kind] = message
                self._concluded.discard(event.trial)
                self._say(event.trial, f"failed: {cause}")
            case Ended():
                if event.trial not in self._concluded:
                    self._say(event.trial, event.state)
                self._concluded.discard(event.trial)
            case Lost():
                self._concluded.discard(event.trial)
                self._say(event.trial, f"starts again: {_last_line(event.error) or phrases.NO_ERROR}")

    @property
    def lines(self) -> list[str]:
        """The latest decisions and ends, newest first, as ``00042 stopped at rung 9: 7th of 12``."""
        return list(reversed(self._lines))

    @property
    def failures(self) -> list[FailureKind]:
        """The failures by kind, the most frequent first."""
        return [FailureKind(kind, n, self._messages[kind]) for kind, n in self._failures.most_common()]

    def _say(self, trial: int, what: str | None) -> None:
        if what is not None:
            self._lines.append(f"{trial:05d} {what}")

    def _describe(self, decision: Decision) -> str | None:
        """Describe a decision. Returns ``None`` for one that changes nothing and compares no trials."""
        if decision.source is not None:
            return self._describe_copy(decision)
        match decision.action:
            case Action.PAUSE if decision.rank is None and decision.reason is None:
                return None  # every trial of the population waits here for the others
            case Action.CONTINUE if decision.rank is None:
                return None
            case Action.COMPLETE:
                has_one_value = decision.value is not None and not self._has_several_objectives
                value = f": {phrases.short(decision.value)}" if has_one_value else ""
                return f"completed {self._where(decision)}{value}"
            case Action.RESUME:
                if self._resumes_are_promotions and decision.rung is not None:
                    return f"promoted from rung {decision.rung:,}{_why(decision)}"
                what = "continues"
            case Action.CONTINUE:
                what = "continues"
            case Action.PAUSE:
                what = "paused"
            case Action.STOP:
                what = "stopped"
        return f"{what} {self._where(decision)}{_why(decision)}"

    def _describe_copy(self, decision: Decision) -> str:
        if decision.source == decision.trial:
            return f"changes its hyperparameters {self._where(decision)}"
        return f"copies {decision.source:05d} {self._where(decision)}{_why(decision, with_reason=False)}"

    def _where(self, decision: Decision) -> str:
        if decision.rung is not None:
            return f"at rung {decision.rung:,}"
        amount = f"{decision.resource:,.4g}"
        if self._resource == ITERATIONS:
            return f"after {phrases.several(int(decision.resource), 'iteration')}"
        return f"at {phrases.clean(self._resource)} {amount}"


def _why(decision: Decision, *, with_reason: bool = True) -> str:
    if decision.rank is not None and decision.of is not None:
        return f": {phrases.ordinal(decision.rank)} of {decision.of:,}"
    return f": {phrases.clean(decision.reason)}" if decision.reason and with_reason else ""


def _last_line(error: str | None) -> str:
    """Return the last line of a traceback, which names the error."""
    lines = (error or "").strip().splitlines()
    return phrases.clean(lines[-1]).strip() if lines else ""


def _kind(cause: str) -> tuple[str, str]:
    """Split the last line of an error into its kind and the rest."""
    named = _EXCEPTION.fullmatch(cause)
    return (cause, "") if named is None else (named[1], named[2] or "")
