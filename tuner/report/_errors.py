"""The errors of failed trials: grouped by their form, with the place in the user's code and a hint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.report._trial import Trial
from tuner.report.phrases import NO_ERROR, clean, several
from tuner.spec import likely

if TYPE_CHECKING:
    from tuner.report._report import Report

_NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?<![A-Za-z_])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_FRAME = re.compile(r'^\s*File "([^"]+)", line (\d+)', re.MULTILINE)
_KEY_ERROR = re.compile(r"KeyError: '([^']+)'")

_PACKAGES = Path(__file__).parents[2]
_OURS = (str(_PACKAGES / "tuner"), str(_PACKAGES / "trainables"))
_INSTALLED = re.compile(r"(site|dist)-packages|/lib/python3|^<")


def form_of(cause: str) -> str:
    """Return an error's text without its numbers. Errors of one form have the same cause."""
    return _NUMBER.sub("#", cause)


def groups(trials: Iterable[Trial]) -> list[list[Trial]]:
    """Return the failed trials in groups by the form of their errors, the largest group first."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.state == "failed":
            found.setdefault(form_of(trial.cause or NO_ERROR), []).append(trial)
    return sorted(found.values(), key=len, reverse=True)


def commonest(report: Report) -> str | None:
    """Return the commonest error, its place, a hint, and how often it occurred; ``None`` without errors."""
    found = groups(report.trials)
    if not found:
        return None
    trial, count = found[0][0], len(found[0])
    total = sum(map(len, found))
    share = f" ({count:,} of {several(total, 'failed trial')})" if len(found) > 1 else ""
    cause = clean(trial.cause or NO_ERROR)
    return f"{cause}{_place(trial.error or '')}{_hint(report, cause)}{share}"


def tracebacks(report: Report) -> str:
    """Return the command that shows the tracebacks of failed trials."""
    return f"tuner report {shlex.quote(str(report.folder))} --errors"


def _place(error: str) -> str:
    """Return the innermost place of a traceback in the user's own code; empty if there is none."""
    for path, line in reversed(_FRAME.findall(error)):
        if not path.startswith(_OURS) and not _INSTALLED.search(path):
            return f" at {clean(Path(path).name)}:{line}"
    return ""


def _hint(report: Report, cause: str) -> str:
    """Return what a missing key may be called in the space; empty if there is no such key."""
    found, known = _KEY_ERROR.search(cause), list(report.space())
    if found is None or found[1] in known:
        return ""
    meant = likely(found[1], known)
    return f"; the space has no '{found[1]}'" + (f"; did you mean '{meant}'?" if meant else "")
