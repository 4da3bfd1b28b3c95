"""What a journal says of its sweep as it begins: what it is, who began it, and what it learns from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

import tuner
from tuner.errors import ResultsError
from tuner.journal import fingerprint
from tuner.journal.events import SweepBegan
from tuner.sweep import Sweep
from tuner.trust import signature

PLACE = ("out",)
"""The settings of a sweep that its results folder does not hold, since it can be moved."""


def beginning(
    sweep: Sweep, sweep_id: str, *, began: float | None = None, code: Any = None, importable: Any = None
) -> SweepBegan:
    """A journal's first event. ``began``: when it was asked for; ``code``, ``importable``: see there."""
    content = {name: value for name, value in sweep.to_dict().items() if name not in PLACE}
    return SweepBegan(
        content,
        version=tuner.__version__,
        id=sweep_id,
        began=began,
        sources=_fingerprints(sweep),
        folder=os.getcwd(),
        signature=signature(content, sweep_id, os.getcwd()),
        code=code,
        importable=importable,
    )


def _fingerprints(sweep: Sweep) -> dict[str, str]:
    """What tells the files and folders that the searcher learns from, by their settings."""
    return {
        name: fingerprint(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sweep.searcher.sources().items()
    }


def check_sources(sweep: Sweep, known: Mapping[str, str]) -> None:
    """Raise ResultsError when what the searcher has learned from is not there any more as it was."""
    for name, found in _fingerprints(sweep).items():
        if name in known and known[name] != found:
            path = sweep.searcher.sources()[name]
            what = f"{path} is not what this sweep has learned from; must be as it was when the sweep began"
            raise ResultsError(f"searcher.{name}: {what}")
