"""``evaluate``: repeat the best configurations of a sweep over new seeds, and test the best one.

The best trial of a search is the luckiest of many single runs. Therefore the best few are trained again, over
new seeds and new splits of the training and validation rows, and compared by their means. Only the one with
the best mean is trained on all these rows, over new seeds, and scored on the test rows, once per seed. Both
steps are separate sweeps and use all free resources of the cluster.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from tuner.cluster import connection
from tuner.cluster.page import write_page
from tuner.cluster.progress import Progress
from tuner.cluster.runner import run
from tuner.code.modules import within
from tuner.errors import Problem, ResultsError, SpecError
from tuner.evaluation.fixed_list import FixedList
from tuner.objective import Budget, Objective
from tuner.report import EVALUATION_FILE, Report, Trial
from tuner.schedulers import Fifo
from tuner.sweep import Sweep
from tuner.trainable import TrainableSpec
from tuner.trust import require

FOLDER = "evaluation"


@dataclass(frozen=True)
class Candidate:
    """A configuration that was trained several times."""

    trial: str
    config: dict[str, Any]
    claimed: float
    """Its value in the search."""
    iteration: int | None
    """The iteration with the best mean."""
    values: list[float]
    """The value of each repeat at that iteration; empty if a repeat failed."""
    mean: float | None
    spread: float | None
    """Standard deviation of the values; ``None`` for fewer than two."""
    failures: int
    """Number of repeats that failed."""


def evaluate(
    folder: str | Path,
    *,
    top: int = 3,
    repeats: int = 5,
    address: str | None = None,
    progress: Callable[[], Progress] | bool | None = True,
    verbose: bool = False,
    trust: bool = False,
) -> Report | None:
    """Evaluate the sweep in ``folder``, write ``evaluation.json`` there, and return the report with it.

    Returns ``None`` if it was interrupted.

    - ``top``: number of configurations to compare
    - ``repeats``: number of seeds per configuration
    - ``progress``: as for ``run``, or a function that makes a ``Progress`` for each of the two sweeps
    - ``trust``: run the code that the folder names even if another user or machine started its sweep

    Raises SpecError if the trainable cannot be evaluated or there are several objectives. Raises ResultsError
    if the folder was already evaluated, has no usable trial, or some repeat of each configuration failed.
    Raises UntrustedError if the code is not trusted.
    """
    report = Report.read(Path(folder).absolute())
    if report.evaluation is not None:
        what = "the test rows have been used already; remove the file to evaluate again"
        raise ResultsError(f"{report.folder / EVALUATION_FILE}: {what}")
    require(folder, "evaluate", sweep=report.sweep, trust=trust)
    with within(report.started_in):
        if not _repeat_and_test(
            report, top=top, repeats=repeats, address=address, progress=progress, verbose=verbose
        ):
            return None
    return write_page(Path(folder))


def _repeat_and_test(
    report: Report,
    *,
    top: int,
    repeats: int,
    address: str | None,
    progress: Callable[[], Progress] | bool | None,
    verbose: bool,
) -> bool:
    """Run both sweeps and write the result. Return whether they finished without interruption."""
    sweep = Sweep(**report.sweep)
    if sweep.objective.others:
        what = "must be a single one to be evaluated; several have no best mean"
        raise SpecError([Problem("objective", what)])
    shared, additions = sweep.trainable.repeated(seed=sweep.seed, repeats=repeats)
    final_of = _final_settings(sweep)
    final_of(1)  # raises now, not after the repeats, if the settings are wrong
    trials = _best_trials(report, top)
    configs = [{**trial.config, **addition} for addition in additions for trial in trials]
    iterations = sweep.budget.iterations or max(trial.iterations for trial in trials)
    seeds = np.random.SeedSequence([sweep.seed, len(report.trials)]).generate_state(2, np.uint32)
    with connection.connected(address, verbose=verbose):
        compared = _run(
            _fixed_sweep(
                sweep, "repeats", report.folder, shared, sweep.objective, configs, iterations, seeds[0]
            ),
            verbose=verbose,
            progress=progress,
        )
        if compared is None:
            return False
        candidates = [
            _candidate(trial, compared.trials[number :: len(trials)], sweep.objective)
            for number, trial in enumerate(trials)
        ]
        chosen = _choose_winner(candidates, sweep.objective, compared)
        settings, metric = final_of(chosen.iteration or 1)
        objective = Objective(metric=metric, mode=sweep.objective.mode)
        tested = _run(
            _fixed_sweep(
                sweep, "test", report.folder, settings, objective, [chosen.config] * repeats, 1, seeds[1]
            ),
            verbose=verbose,
            progress=progress,
        )
    if tested is None:
        return False
    values = [
        trial.value for trial in tested.trials if trial.state == "completed" and trial.value is not None
    ]
    if len(values) < repeats:
        raise ResultsError(
            f"{tested.folder}: {repeats - len(values)} of {repeats} trials failed; see tuner report"
        )
    _write(
        report.folder / EVALUATION_FILE,
        {
            "metric": sweep.objective.metric,
            "mode": sweep.objective.mode,
            "repeats": repeats,
            "candidates": [asdict(candidate) for candidate in candidates],
            "chosen": chosen.trial,
            "test": {"metric": metric, "values": values, "mean": fmean(values), "spread": _spread(values)},
            "results": [_relative(part.folder, report.folder) for part in (compared, tested)],
        },
    )
    return True


def _best_trials(report: Report, top: int) -> list[Trial]:
    """Return the best trials that did not fail. Equal configurations count once."""
    found: dict[str, Trial] = {}
    for trial in report.ranked():
        if trial.state in ("completed", "stopped") and trial.value is not None:
            found.setdefault(json.dumps(trial.config, sort_keys=True), trial)
    trials = list(found.values())[:top]
    if not trials:
        raise ResultsError(
            f"{report.folder}: nothing to evaluate; at least one trial must finish with a value"
        )
    for trial in trials:
        if trial.changes:
            what = "its hyperparameters changed during training, so no single configuration repeats it"
            raise ResultsError(f"{report.folder}: trial {trial.id} cannot be evaluated: {what}")
    return trials


def _final_settings(sweep: Sweep) -> Callable[[int], tuple[dict[str, Any], str]]:
    return lambda iterations: sweep.trainable.final(
        seed=sweep.seed, iterations=iterations, metric=sweep.objective.metric
    )


def _fixed_sweep(
    sweep: Sweep,
    name: str,
    folder: Path,
    settings: dict[str, Any],
    objective: Objective,
    configs: Sequence[dict[str, Any]],
    iterations: int,
    seed: np.uint32,
) -> Sweep:
    """Return a sweep of given configurations, one per worker, as many at once as the cluster holds."""
    return Sweep(
        trainable=TrainableSpec(kind=sweep.trainable.kind, settings=settings),
        space=sweep.space,
        objective=objective,
        budget=Budget(iterations=iterations),
        searcher=FixedList(configs=tuple(configs)),
        scheduler=Fifo(),
        resources=sweep.resources.model_copy(update={"lanes": 1}),
        seed=int(seed),
        name=name,
        out=str(folder / FOLDER),
    )


def _run(sweep: Sweep, *, verbose: bool, progress: Callable[[], Progress] | bool | None) -> Report | None:
    """Run a sweep and return its report; ``None`` if it was interrupted."""
    shown = progress() if callable(progress) else progress
    report = run(sweep, progress=shown, verbose=verbose, on_report=lambda report: None)
    return None if report.reason == "interrupted" else report


def _candidate(trial: Trial, repeats: Sequence[Trial], objective: Objective) -> Candidate:
    assert trial.value is not None
    curves = [dict(repeat.curve) for repeat in repeats if repeat.state == "completed"]
    failures = len(repeats) - len(curves)
    common = sorted(set.intersection(*map(set, curves))) if curves and not failures else []
    best: int | None = None
    for iteration in common:
        mean = fmean(curve[iteration] for curve in curves)
        if best is None or objective.better(mean, than=fmean(curve[best] for curve in curves)):
            best = iteration
    values = [] if best is None else [curve[best] for curve in curves]
    return Candidate(
        trial=trial.id,
        config=trial.config,
        claimed=trial.value,
        iteration=best,
        values=values,
        mean=fmean(values) if values else None,
        spread=_spread(values),
        failures=failures,
    )


def _choose_winner(candidates: Sequence[Candidate], objective: Objective, compared: Report) -> Candidate:
    """Return the candidate with the best mean. Equal candidates keep their order in the search."""
    best: Candidate | None = None
    for candidate in candidates:
        if candidate.mean is not None and objective.better(candidate.mean, than=best.mean if best else None):
            best = candidate
    if best is None:
        raise ResultsError(f"{compared.folder}: every configuration has a failed repeat; see tuner report")
    return best


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _relative(path: Path, to: Path) -> str:
    return path.resolve().relative_to(to.resolve()).as_posix()


def _write(path: Path, evaluation: dict[str, Any]) -> None:
    """Write the file atomically."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(evaluation, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
