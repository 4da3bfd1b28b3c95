"""``export``: the model of a sweep's best trial, written for use elsewhere by its trainable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuner.code.modules import within
from tuner.contract import Exports
from tuner.errors import Problem, ResultsError, SpecError
from tuner.report import Report
from tuner.trainable import TrainableSpec, trainables
from tuner.trust import require


def export(folder: str | Path, out_dir: str | Path, *, trust: bool = False) -> Path:
    """Let the trainable write the best trial's model into ``out_dir``, which must not hold anything yet.

    ``trust``: run the trainable that the folder names, although another user or machine began its sweep. An
    installed one with a short name needs no trust: it reads checkpoints that hold no code.

    Returns the checkpoint that it came from. Raises ResultsError when there is none, SpecError when the
    trainable has no ``export``, and UntrustedError.
    """
    report, out_dir = Report.read(folder), Path(out_dir)
    best = report.best()
    if best is None:
        raise ResultsError(f"{report.folder}: no trial is best, so there is nothing to export")
    if best.gone is not None:
        what = (
            f"the checkpoint of its best trial, {best.id}, is gone: there is no {best.gone!r} in this folder"
        )
        raise ResultsError(f"{report.folder}: {what}")
    if best.checkpoint is None:
        raise ResultsError(f"{report.folder}: there is no checkpoint of its best trial, {best.id}")
    checkpoint = Path(best.checkpoint)
    spec = TrainableSpec.parse(report.sweep.get("trainable"))
    if spec.kind not in trainables():
        require(folder, "export", sweep={"trainable": spec.to_dict()}, trust=trust)
    with within(report.started_in):
        trainable: Any = spec.load()
    if not isinstance(trainable, Exports):
        what = f"'{spec.name}' cannot be exported; its class must have export(checkpoint_dir, out_dir)"
        raise SpecError([Problem("trainable", what)])
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ResultsError(f"--out: {out_dir} is there already; choose another name or remove it")
    try:
        trainable.export(str(checkpoint), str(out_dir))
    except (ValueError, OSError) as error:
        raise ResultsError(f"{checkpoint}: cannot be exported: {error}") from error
    return checkpoint
