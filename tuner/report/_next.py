"""What a user can do next with a results folder: resume its sweep, evaluate and export its best trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.journal.events import SweepBegan


def is_unfinished(reason: str | None, *, is_running: bool) -> bool:
    """Return whether a sweep was interrupted or killed, so that it can be resumed."""
    return not is_running and reason in (None, "interrupted")


def resumption(folder: Path | str, began: SweepBegan | None) -> str:
    """Return the command, or the Python code, that resumes the sweep in ``folder``."""
    if began is None or began.importable is not False:
        return f"tuner resume {shlex.quote(str(folder))}"
    name = str(_kind(began.sweep.get("trainable"))).rpartition(":")[2] or "..."
    return f"in Python, tuner.resume({str(folder)!r}, trainable={name})"


def supports(verb: str, began: SweepBegan | None, trainable: Any) -> bool:
    """Return whether ``tuner evaluate`` or ``tuner export`` works for a sweep's trainable, without its code.

    An older journal does not tell. Then only the short name of an installed trainable is trusted.
    """
    if began is not None and isinstance(began.verbs, list):
        return verb in began.verbs
    kind = _kind(trainable)
    return isinstance(kind, str) and ":" not in kind and kind not in ("command", "optuna_objective")


def _kind(trainable: Any) -> Any:
    if not isinstance(trainable, Mapping):
        return trainable
    return trainable.get("objective" if trainable.get("kind") == "optuna_objective" else "kind")
