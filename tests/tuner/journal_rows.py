"""Journals written by hand."""

from __future__ import annotations

from typing import Any

from tuner.journal import Journal
from tuner.journal.events import EVENTS


def put(journal: Journal, kind: str, trial: int | None = None, /, **data: Any) -> None:
    """Append the event of this kind whose row has these data."""
    journal.write(EVENTS[kind].from_json(data, trial=trial))
