"""Run a search's sweep, in this process or on Ray, and return its report and history."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuner.cluster.runner import claim_folder, run
from tuner.errors import TrialError
from tuner.journal import History
from tuner.model_selection._evaluation import Evaluation, SearchCandidate
from tuner.model_selection._sequential import run_here
from tuner.report import Report
from tuner.sweep import Sweep

_TRIAL = "tuner.model_selection._trial:SearchTrial"


def run_search(
    search: Any, evaluation: Evaluation, parts: dict[str, Any], *, local: bool
) -> tuple[Report, History]:
    """Run the sweep of a search to its end.

    - ``parts``: the parts of the sweep, except the trainable.
    - ``local``: run in this process, without Ray.

    Raises the first error of a candidate if ``error_score`` is ``"raise"``; on Ray as a TrialError. Raises
    KeyboardInterrupt if the user interrupts it.
    """
    with _results_folder(search.out) as out:
        if local:
            folder = _run_here(evaluation, {**parts, "out": out})
        else:
            folder = _run_on_ray(search, evaluation, {**parts, "out": out})
        report, history = Report.read(folder), History.read(folder)
    if report.reason == "interrupted":
        raise KeyboardInterrupt
    if search.error_score == "raise":
        for trial in history.trials.values():
            if trial.state == "failed":
                raise TrialError(f"candidate {trial.number} failed:\n{trial.error}")
    return report, history


def _run_here(evaluation: Evaluation, parts: dict[str, Any]) -> Path:
    sweep, folder = claim_folder(Sweep(trainable=_TRIAL, **parts))
    run_here(
        sweep,
        folder,
        lambda config: SearchCandidate(evaluation, config),
        raises=evaluation.error_score == "raise",
    )
    return folder


def _run_on_ray(search: Any, evaluation: Evaluation, parts: dict[str, Any]) -> Path:
    from tuner.model_selection._trial import held  # imports Ray

    with held(evaluation) as settings:
        sweep = Sweep(trainable={"kind": _TRIAL, **settings}, **parts)
        report = run(sweep, address=search.address, progress=bool(search.verbose), verbose=search.verbose > 1)
    return report.folder


@contextmanager
def _results_folder(out: str | None) -> Iterator[str]:
    """Yield the folder for results: ``out``, or else a temporary one that is deleted at the end."""
    if out is not None:
        yield str(out)
        return
    with tempfile.TemporaryDirectory(prefix="tuner-search-") as folder:
        yield folder
