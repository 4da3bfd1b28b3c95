"""``evaluate``: the best configurations of a sweep once more over fresh seeds, and the best of those tested.

What a search claims of its best trial is the luckiest of many single runs. So the best few are trained again,
each over fresh seeds and divisions of the rows that are not test rows, and are compared by their means. Only
the one with the best mean is then trained on all those rows, over fresh seeds again, and scored on the test
rows, once per seed. Both are sweeps of their own, and use whatever the cluster holds.
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
    """A configuration trained several times; ``values``: after ``iteration``, where the mean is best.

    ``claimed``: its value in the search. ``spread``: the standard deviation of the values, ``None`` of a
    single one. ``failures``: repeats that failed; with any, there are no values.
    """

    trial: str
    config: dict[str, Any]
    claimed: float
    iteration: int | None
    values: list[float]
    mean: float | None
    spread: float | None
    failures: int


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

    ``top`` configurations are compared over ``repeats`` seeds. ``progress``: as for ``run``, or what makes
    an object of your own for each of the two sweeps. ``trust``: run the code that the folder names, although
    another user or machine began its sweep. ``None``: it was interrupted. Raises SpecError for a trainable
    that cannot be evaluated and for several objectives, ResultsError for a folder that was evaluated already,
    or without a trial to evaluate, or when of each configuration some repeat failed, and UntrustedError.
    """
    report = Report.read(Path(folder).absolute())
    if report.evaluation is not None:
        what = "the test rows were looked at already; remove the file to evaluate once more"
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
    """Do what ``evaluate`` says; whether it came to an end, not interrupted."""
    sweep = Sweep(**report.sweep)
    if sweep.objective.others:
        what = "must be one to be evaluated: of several, no trial is the best by its mean"
        raise SpecError([Problem("objective", what)])
    shared, additions = sweep.trainable.repeated(seed=sweep.seed, repeats=repeats)
    final_of = _final_settings(sweep)
    final_of(1)  # what is wrong with it is better known before than after
    trials = _best_trials(report, top)
    configs = [{**trial.config, **addition} for addition in additions for trial in trials]
    iterations = sweep.budget.iterations or max(trial.iterations for trial in trials)
    seeds = np.random.SeedSequence([sweep.seed, len(report.trials)]).generate_state(2, np.uint32)
    with connection.connected(address, verbose=verbose):
        compared = _run(
            _part(sweep, "repeats", report.folder, shared, sweep.objective, configs, iterations, seeds[0]),
            verbose=verbose,
            progress=progress,
        )
        if compared is None:
            return False
        candidates = [
            _candidate(trial, compared.trials[number :: len(trials)], sweep.objective)
            for number, trial in enumerate(trials)
        ]
        chosen = _chosen(candidates, sweep.objective, compared)
        settings, metric = final_of(chosen.iteration or 1)
        objective = Objective(metric=metric, mode=sweep.objective.mode)
        tested = _run(
            _part(sweep, "test", report.folder, settings, objective, [chosen.config] * repeats, 1, seeds[1]),
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
    """The best trials that did not fail, of equal configurations the first."""
    found: dict[str, Trial] = {}
    for trial in report.ranked():
        if trial.state in ("completed", "stopped") and trial.value is not None:
            found.setdefault(json.dumps(trial.config, sort_keys=True), trial)
    trials = list(found.values())[:top]
    if not trials:
        raise ResultsError(
            f"{report.folder}: no trial has finished with a value, so there is nothing to evaluate"
        )
    for trial in trials:
        if trial.changes:
            what = "its hyperparameters changed as it trained, which cannot be repeated as one configuration"
            raise ResultsError(f"{report.folder}: trial {trial.id} cannot be evaluated: {what}")
    return trials


def _final_settings(sweep: Sweep) -> Callable[[int], tuple[dict[str, Any], str]]:
    return lambda iterations: sweep.trainable.final(
        seed=sweep.seed, iterations=iterations, metric=sweep.objective.metric
    )


def _part(
    sweep: Sweep,
    name: str,
    folder: Path,
    settings: dict[str, Any],
    objective: Objective,
    configs: Sequence[dict[str, Any]],
    iterations: int,
    seed: np.uint32,
) -> Sweep:
    """A sweep of given configurations, each in a worker of its own, as many at once as the cluster holds."""
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
    """The report of a sweep; ``None``: it was interrupted."""
    report = run(sweep, progress=progress() if callable(progress) else progress, verbose=verbose)
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


def _chosen(candidates: Sequence[Candidate], objective: Objective, compared: Report) -> Candidate:
    """The candidate with the best mean, of equals the one that the search had ahead."""
    best: Candidate | None = None
    for candidate in candidates:
        if candidate.mean is not None and objective.better(candidate.mean, than=best.mean if best else None):
            best = candidate
    if best is None:
        raise ResultsError(f"{compared.folder}: of each configuration, some repeat failed; see tuner report")
    return best


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _relative(path: Path, to: Path) -> str:
    return path.resolve().relative_to(to.resolve()).as_posix()


def _write(path: Path, evaluation: dict[str, Any]) -> None:
    """Write the file whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(evaluation, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
