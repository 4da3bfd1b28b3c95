"""Checks those parts of a journal's sweep that a report reads; a journal may come from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tuner.errors import ResultsError, SpecError
from tuner.objective import Objective


def checked_sweep(sweep: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return the sweep if its parts have the right types; else raise ResultsError, which names ``source``."""
    checked = dict(sweep)
    for part, kinds, what in (
        ("name", (str,), "text"),
        ("space", (dict,), "an object"),
        ("budget", (dict,), "an object"),
        ("scheduler", (dict,), "an object"),
    ):
        if checked.get(part) is not None and not isinstance(checked[part], kinds):
            raise ResultsError(f"{source}: its sweep cannot be read: '{part}' must be {what}")
    length = (checked.get("budget") or {}).get("iterations")
    if length is not None and not (type(length) is int and 0 < length < 2**53):
        raise ResultsError(f"{source}: its sweep cannot be read: 'budget.iterations' must be a whole number")
    try:
        Objective.model_validate(checked.get("objective"))
    except (ValidationError, SpecError) as error:
        reason = error.problems[0] if isinstance(error, SpecError) else error.errors()[0]["msg"]
        raise ResultsError(f"{source}: its sweep cannot be read: objective: {reason}") from None
    return checked
