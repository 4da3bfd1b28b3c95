"""``export``: write the model of a sweep's best trial for use elsewhere."""

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
    """Let the trainable write the best trial's model into ``out_dir``. Returns the checkpoint's path.

    - ``out_dir``: a folder that is empty or does not exist.
    - ``trust``: run the trainable that the results folder names, even if another user or machine began the
      sweep. Installed trainables with a short name need no trust, since their checkpoints hold no code.

    Raises ResultsError when there is no checkpoint to export, SpecError when the trainable has no
    ``export``, and UntrustedError.
    """
    report, out_dir = Report.read(folder), Path(out_dir)
    best = report.best()
    if best is None:
        raise ResultsError(f"{report.folder}: the sweep has no best trial, so there is nothing to export")
    if best.gone is not None:
        what = f"the checkpoint of the best trial, {best.id}, is missing: this folder has no {best.gone!r}"
        raise ResultsError(f"{report.folder}: {what}")
    if best.checkpoint is None:
        raise ResultsError(f"{report.folder}: the best trial, {best.id}, has no checkpoint")
    checkpoint = Path(best.checkpoint)
    spec = TrainableSpec.parse(report.sweep.get("trainable"))
    if spec.kind not in trainables():
        require(folder, "export", sweep={"trainable": spec.to_dict()}, trust=trust)
    with within(report.started_in):
        trainable: Any = spec.load()
    if not isinstance(trainable, Exports):
        needs = "its class must have export(checkpoint_dir, out_dir)"
        what = f"cannot export '{spec.name}': {needs}; its files are in the checkpoint {checkpoint}"
        raise SpecError([Problem("trainable", what)])
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ResultsError(f"--out: {out_dir} already exists; choose another name or remove it")
    try:
        trainable.export(str(checkpoint), str(out_dir))
    except (ValueError, OSError) as error:
        raise ResultsError(f"{checkpoint}: cannot export it: {error}") from error
    return checkpoint
