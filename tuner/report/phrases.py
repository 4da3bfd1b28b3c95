"""How a report writes numbers, durations, and text that comes from users."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Colours and cursor movements in a traceback, and other characters that a terminal would obey.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)

# What spreadsheets begin a formula with, or skip before one; some also take the wide forms of East Asia.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_REASONS = {
    None: "not yet: it is running, or was killed",
    "trials": "every trial was run",
    "seconds": "the time of budget.seconds was up",
    "total_iterations": "budget.total_iterations are used up",
    "gpu_seconds": "budget.gpu_seconds are used up",
    "failures": "more trials failed than budget.failures allows",
    "interrupted": "it was interrupted",
}


def clean(text: str) -> str:
    """The text without terminal escapes and control characters, safe to show and to store."""
    return _ESCAPES.sub("", text).encode("utf-8", "replace").decode("utf-8")


def short(value: Any) -> str:
    """A value in little space: four significant digits, whole numbers in full."""
    return f"{value:.4g}" if isinstance(value, float) else full(value)


def full(value: Any) -> str:
    """A value with every digit; text as it is, the rest as JSON writes it."""
    return clean(value) if isinstance(value, str) else clean(json.dumps(value, ensure_ascii=False))


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    size, unit, part_size, part = next(each for each in units if whole >= each[0])
    return f"{whole // size} {unit} {whole % size // part_size} {part}"


def size(count: float) -> str:
    """A number of bytes, in MB below 1 GB (10^9 bytes)."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def several(count: int, what: str) -> str:
    """A number of things, as ``1 trial`` and ``2 trials``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """Return a rank: ``1st``, ``2nd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number:,}th"
    return f"{number:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def counted(counts: Mapping[Any, int]) -> str:
    """The counts that are not zero, as ``3 completed, 1 failed``."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def cell(value: Any) -> Any:
    """A value as a cell of a CSV file: numbers as they are, nothing for ``None``, all else as text.

    A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    text = clean(value) if isinstance(value, str) else clean(json.dumps(value, default=str))
    return f"'{text}" if text.startswith(_FORMULAS) else text


def savings(done: int, without_stopping: int | None) -> str:
    """Iterations done, and what they would have been without early stopping, where that is more."""
    if not without_stopping or without_stopping <= done:
        return f"{done:,}"
    return f"{done:,}, against {without_stopping:,} without early stopping ({done / without_stopping:.0%})"


def left_behind(leaks: Sequence[Mapping[str, Any]]) -> str:
    """What trials had left in the memory of workers, at least one, that were replaced for it."""
    left = size(max(leak["after"] - leak["before"] for leak in leaks))
    return f"{several(len(leaks), 'worker')} replaced, in which trials had left up to {left} behind"


def ended(reason: str | None, counts: Mapping[Any, int] | None = None) -> str:
    """Why a sweep ended, as a sentence's end; with ``counts``, by state, also how its trials did."""
    text = _REASONS.get(reason) or clean(str(reason))
    if reason != "trials" or counts is None or not counts["failed"]:
        return text
    if not counts["completed"]:
        return f"{text}, and none completed: {counted({n: counts[n] for n in ('stopped', 'failed')})}"
    return f"{text}; {counts['failed']:,} of {sum(counts.values()):,} failed"


def changed(config: Mapping[str, Any]) -> str:
    """Hyperparameters in a line, as ``lr=0.1 momentum=0.9``."""
    return " ".join(f"{clean(name)}={short(value)}" for name, value in config.items())


def since(iteration: int) -> str:
    """From where in its training a trial had a part of its schedule."""
    return f"after iteration {iteration:,}" if iteration else "from the start"
