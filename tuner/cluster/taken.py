"""What to do about a results folder that already exists."""

from __future__ import annotations

from pathlib import Path

from tuner.errors import ResultsError
from tuner.report import Report


def remedy(taken: Path) -> str:
    """Return what to do about an existing results folder."""
    try:
        report = Report.read(taken)
    except ResultsError:  # it is another folder
        return "choose another name or remove it"
    if report.is_running:
        return "its sweep is running; choose another name"
    if report.is_unfinished:
        return f"its sweep is unfinished; continue it with: {report.resumption()}; or choose another name"
    return "choose another name or remove it"
