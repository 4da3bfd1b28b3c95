"""Create the first event of a journal: the sweep, its user, and the data that its searcher learns from."""

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
"""Settings that the results folder does not store, because the folder can be moved."""


def beginning(
    sweep: Sweep,
    sweep_id: str,
    *,
    began: float | None = None,
    code: Any = None,
    importable: Any = None,
    verbs: Any = None,
) -> SweepBegan:
    """Return a journal's first event. The arguments are fields of ``SweepBegan``."""
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
        verbs=verbs,
    )


def _fingerprints(sweep: Sweep) -> dict[str, str]:
    """Return a fingerprint of each file or folder that the searcher learns from, by setting."""
    return {
        name: fingerprint(path) if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sweep.searcher.sources().items()
    }


def check_sources(sweep: Sweep, known: Mapping[str, str]) -> None:
    """Raise ResultsError if data that the searcher learned from has changed."""
    for name, found in _fingerprints(sweep).items():
        if name in known and known[name] != found:
            path = sweep.searcher.sources()[name]
            what = f"{path} has changed since the sweep learned from it"
            raise ResultsError(f"searcher.{name}: {what}; must be the same as when the sweep began")
