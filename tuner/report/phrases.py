"""Writes numbers, durations and users' text for a report."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Colours and cursor movements in a traceback, and other control characters of a terminal.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)

# Characters with which a spreadsheet begins a formula, or which it skips before one. The last four are the
# wide forms of East Asia.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_REASONS = {
    "trials": "every trial was run",
    "seconds": "budget.seconds is used up",
    "total_iterations": "budget.total_iterations is used up",
    "gpu_seconds": "budget.gpu_seconds is used up",
    "failures": "more trials failed than budget.failures allows",
    "interrupted": "it was interrupted",
}


NO_ERROR = "no error was recorded"
"""The text for the error of a failed trial that has none."""


def clean(text: str) -> str:
    """Return the text without terminal escapes and control characters, safe to show and to store."""
    return _ESCAPES.sub("", text).encode("utf-8", "replace").decode("utf-8")


def short(value: Any) -> str:
    """Return a value with four significant digits, also inside lists; whole numbers and text in full."""
    return f"{value:.4g}" if isinstance(value, float) else full(_round_numbers(value))


def full(value: Any) -> str:
    """Return a value with every digit; text as it is, other values as JSON."""
    return clean(value) if isinstance(value, str) else clean(json.dumps(value, ensure_ascii=False))


def _round_numbers(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, (list, tuple)):
        return [_round_numbers(each) for each in value]
    return {name: _round_numbers(each) for name, each in value.items()} if isinstance(value, dict) else value


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    size, unit, part_size, part = next(each for each in units if whole >= each[0])
    return f"{whole // size} {unit} {whole % size // part_size} {part}"


def size(count: float) -> str:
    """Return a number of bytes in MB, or in GB from 1 GB on (10^9 bytes)."""
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def several(count: int, what: str) -> str:
    """Return a count with its noun: ``1 trial``, ``2 trials``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """Return a rank: ``1st``, ``2nd``, ``11th``."""
    if number % 100 in (11, 12, 13):
        return f"{number:,}th"
    return f"{number:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def counted(counts: Mapping[Any, int]) -> str:
    """Return the counts above zero: ``3 completed, 1 failed``."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def cell(value: Any) -> Any:
    """Return a value as a cell of a CSV file: numbers and ``None`` as they are, all else as text.

    An apostrophe precedes text that a spreadsheet would read as a formula.
    """
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    text = clean(value) if isinstance(value, str) else clean(json.dumps(value, default=str))
    return f"'{text}" if text.startswith(_FORMULAS) else text


def savings(done: int, without_stopping: int | None) -> str:
    """Return the iterations done, and what early stopping saved."""
    if not without_stopping or without_stopping <= done:
        return f"{done:,}"
    return f"{done:,}, against {without_stopping:,} without early stopping ({done / without_stopping:.0%})"


def left_behind(leaks: Sequence[Mapping[str, Any]]) -> str:
    """Return how many workers were replaced for memory leaks, at least one, and the largest leak."""
    left = size(max(leak["after"] - leak["before"] for leak in leaks))
    return f"{several(len(leaks), 'worker')} replaced because trials left up to {left} in memory"


def ended(reason: str | None, counts: Mapping[Any, int] | None = None, *, is_running: bool = False) -> str:
    """Return why a sweep ended; with ``counts`` by state also how many trials failed."""
    if reason is None:
        return "not yet: it is running" if is_running else "it was killed: no process runs it"
    text = _REASONS.get(reason) or clean(str(reason))
    if reason != "trials" or counts is None or not counts["failed"]:
        return text
    if not counts["completed"]:
        return f"{text}, and none completed: {counted({n: counts[n] for n in ('stopped', 'failed')})}"
    return f"{text}; {counts['failed']:,} of {sum(counts.values()):,} failed"


def changed(config: Mapping[str, Any]) -> str:
    """Return hyperparameters in one line: ``lr=0.1 momentum=0.9``."""
    return " ".join(f"{clean(name)}={short(value)}" for name, value in config.items())


def since(iteration: int) -> str:
    """Return the point of the training from which a part of a schedule holds."""
    return f"after iteration {iteration:,}" if iteration else "from the start"


def where(ranks: Sequence[Mapping[str, Any]]) -> str:
    """Return the ranks on each machine and their GPUs: ``0, 1 on 10.0.0.1 (GPU 0, 1)``."""
    by_node: dict[str, list[int]] = {}
    for rank, place in enumerate(ranks):
        by_node.setdefault(place["node"], []).append(rank)
    parts = []
    for node, here in by_node.items():
        gpus = ", ".join(dict.fromkeys(gpu for rank in here for gpu in ranks[rank]["gpus"]))
        parts.append(f"{', '.join(map(str, here))} on {node}{f' (GPU {gpus})' if gpus else ''}")
    return "; ".join(parts)
