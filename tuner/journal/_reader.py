"""``Reader``: converts the rows of a journal to events and checks each row once."""

from __future__ import annotations

from typing import Any

from tuner.journal import rules
from tuner.journal.events import (
    EVENTS,
    Event,
    Reconfigured,
    Result,
    Suggested,
    SweepBegan,
    TrialEvent,
    Unknown,
)
from tuner.journal.rules import require


class Reader:
    """Converts the rows of one journal, in order, to events."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._number = 0  # number of the last event, from 1
        self._objectives = 1
        self._trials: set[int] = set()

    def event(self, row: tuple[Any, ...]) -> Event:
        """Return the event of a row (time, kind, trial, data). Raises ResultsError if the row is invalid."""
        self._number += 1
        try:
            return self._event(*row)
        except ValueError as error:
            raise rules.unreadable(self._source, self._number, error) from None

    def _event(self, time: Any, kind: Any, trial: Any, data: Any) -> Event:
        rules.check_columns(time, kind, trial)
        content = rules.parsed(data)
        event = EVENTS.get(kind, Unknown).from_json(content, time=float(time), trial=trial)
        self._check_order(event)
        return event

    def _check_order(self, event: Event) -> None:
        if isinstance(event, SweepBegan):
            require(self._number == 1, "'sweep' must be the first event")
            self._objectives = _objectives(event.sweep)
        elif isinstance(event, Suggested):
            require(event.trial not in self._trials, f"trial {event.trial} was already suggested")
            self._trials.add(event.trial)
        elif isinstance(event, TrialEvent):
            require(event.trial in self._trials, f"trial {event.trial} was never suggested")
        if isinstance(event, Reconfigured):
            require(event.source in self._trials, f"its source, trial {event.source}, was never suggested")
        if isinstance(event, Result) and self._objectives > 1:
            found = list(event.values) or None
            require(
                len(event.values) == self._objectives, f"'result' must have {self._objectives} values", found
            )


def _objectives(sweep: dict[str, Any]) -> int:
    """Return the number of a sweep's objectives. Raises ValueError if they are invalid."""
    objective = sweep.get("objective", {})
    several = objective if isinstance(objective, list) else [objective]
    sound = bool(several) and all(
        isinstance(each, dict) and isinstance(each.get("metric", ""), str) for each in several
    )
    what = "'objective' of the sweep must be an object with a 'metric', or a list of such objects"
    require(sound, what, objective)
    return len(several)
