"""Write journals row by row, as a test needs them."""

from __future__ import annotations

from typing import Any

from tuner.journal import Journal
from tuner.journal.events import EVENTS


def put(journal: Journal, kind: str, trial: int | None = None, /, **data: Any) -> None:
    """Append an event of kind ``kind`` whose row holds these data."""
    journal.write(EVENTS[kind].from_json(data, trial=trial))
