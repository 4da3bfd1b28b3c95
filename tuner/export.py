"""``export``: the model of a sweep's best trial, written for use elsewhere by its trainable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.errors import Problem, ResultsError, SpecError
from tuner.report import Report
from tuner.trainable import TrainableSpec


def export(folder: str | Path, out_dir: str | Path) -> Path:
    """Let the trainable write the best trial's model into ``out_dir``, which must not hold anything yet.

    Returns the checkpoint that it came from. Raises ResultsError when there is none, and SpecError when the
    trainable has no ``export``.
    """
    report, out_dir = Report.read(folder), Path(out_dir)
    best = report.best()
    if best is None:
        raise ResultsError(f"{report.folder}: no trial is best, so there is nothing to export")
    if best.checkpoint is None:
        raise ResultsError(f"{report.folder}: there is no checkpoint of its best trial, {best.id}")
    checkpoint = _where_it_is(Path(best.checkpoint), report.folder)
    if not checkpoint.is_dir():
        raise ResultsError(f"{best.checkpoint}: there is no such checkpoint; must be on this machine")
    spec = TrainableSpec.parse(report.sweep["trainable"])
    trainable: Any = spec.load()
    if not hasattr(trainable, "export"):
        what = f"'{spec.name}' cannot be exported; its class must have export(checkpoint_dir, out_dir)"
        raise SpecError([Problem("trainable", what)])
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ResultsError(f"--out: {out_dir} is there already; choose another name or remove it")
    try:
        trainable.export(str(checkpoint), str(out_dir))
    except (ValueError, OSError) as error:
        raise ResultsError(f"{checkpoint}: cannot be exported: {error}") from error
    return checkpoint


def _where_it_is(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint's place now: the results folder may have been moved since it was written."""
    tail = checkpoint.parts[-3:]  # checkpoints, trial, checkpoint
    return checkpoint if checkpoint.is_dir() else folder.joinpath(*tail)
