"""Gathers the data of the page from a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuner.report._errors import groups
from tuner.report._hyperparameters import by_place, repeated, with_places
from tuner.report._report import CHANGES, Report
from tuner.report._trial import Trial, checkpoint
from tuner.report.page._importance import importances
from tuner.report.page._places import Place, axis_of, plain
from tuner.report.page._spans import lay_out
from tuner.report.page.data import (
    CommandData,
    DecisionData,
    ErrorData,
    ImportancesData,
    ObjectiveData,
    PageData,
    RungData,
    TrialData,
)
from tuner.report.phrases import NO_ERROR, clean, duration, ended, left_behind, savings

# These limits keep the page of a large sweep small. The page says when one applies.
_MAX_ERRORS = 20
_LONGEST_ERROR = 8_000

_STOPS = ("pause", "stop")


def page_data(report: Report, *, with_importances: bool = True) -> PageData:
    """Return the data of a report's page.

    Importances of a sweep with enough trials need Optuna, whose import takes a second.
    """
    searched = report.searched()
    lists = {name for name, entry in searched.items() if repeated(entry) is not None}
    entries = by_place(searched, [trial.config for trial in report.trials])
    axes = [axis_of(name, entry) for name, entry in entries.items()]
    dimensions = tuple(dimension for dimension, _ in axes)
    places = [place for _, place in axes]
    trials = tuple(_trial(report, trial, places, lists) for trial in report.trials)
    best = report.best()
    objectives = tuple(ObjectiveData(each.metric, each.mode) for each in report.objective.all)
    lanes, spans = lay_out(report._histories, report._clock)
    decisions = tuple(_decisions(report))
    schedule = [] if best is None else report.changes(best)
    return PageData(
        name=clean(str(report.sweep.get("name") or report.folder.name)),
        folder=clean(report.folder.name or "DIR"),
        started=report.start,
        seconds=report.seconds,
        reason=report.reason,
        is_running=report.is_running,
        can_be_evaluated=report.supports("evaluate"),
        objectives=objectives,
        counts=report.counts(),
        facts=tuple(_facts(report)),
        dimensions=dimensions,
        trials=trials,
        best=None if best is None else best.number,
        front=tuple(trial.number for trial in report.front()),
        ranked=tuple(trial.number for trial in report.ranked()),
        incumbents=tuple((at, int(trial), value) for at, trial, value in report.incumbents()),
        metrics=tuple(report.metrics()),
        constants=_constants(report),
        resource=report.resource,
        rungs=tuple(_rungs(report)),
        decisions=decisions,
        lanes=tuple(lanes),
        spans=tuple(spans),
        importances=(
            importances(
                dimensions, trials, metric=objectives[0].metric, maximises=objectives[0].mode == "max"
            )
            if with_importances
            else ImportancesData(note="The importances were not computed.")
        ),
        checkpoint="none" if best is None else _checkpoint(report, best),
        schedule=tuple((at, _config(config, lists)) for at, config in schedule) if len(schedule) > 1 else (),
        evaluation=report.evaluation,
        errors=tuple(_errors(report.trials)),
        commands=tuple(_commands(report, best, is_scheduled=bool(decisions))),
        sweep={name: part for name, part in report.sweep.items() if name != "out"},
    )


def _trial(report: Report, trial: Trial, places: list[Place], lists: Collection[str]) -> TrialData:
    config = _config(trial.config, lists)
    return TrialData(
        number=trial.number,
        state=trial.state,
        value=trial.value,
        values=tuple(report.values(trial)),
        iterations=trial.iterations,
        best_iteration=trial.best_iteration,
        seconds=trial.seconds,
        config=config,
        metrics=plain(trial.metrics),
        places=tuple(place(config) for place in places),
        curve=tuple(trial.curve),
        cause=None if trial.state != "failed" else clean(trial.cause or NO_ERROR),
        first_config=_config(trial.first_config, lists),
        changes=tuple(replace(each, config=_config(each.config, lists)) for each in trial.changes),
    )


def _facts(report: Report) -> Iterable[tuple[str, str]]:
    yield "Iterations", savings(report.iterations, report.iterations_without_stopping)
    if report.leaks:
        yield "Memory", left_behind(report.leaks)
    yield "Wall time", duration(report.seconds)
    yield "Ended", ended(report.reason, report.counts(), is_running=report.is_running)


def _config(config: Mapping[str, Any], lists: Collection[str]) -> dict[str, Any]:
    """Return a configuration as JSON has it, with a name for each value of the named lists."""
    return with_places(plain(config), lists)


def _constants(report: Report) -> dict[str, Any]:
    searched = report.searched()
    return {name: plain(value) for name, value in report.space().items() if name not in searched}


def _rungs(report: Report) -> list[RungData]:
    """Return the rungs at which trials were compared, the lowest first."""
    cutoffs: dict[tuple[float, int | None], float | None] = {}
    stopped: Counter[tuple[float, int | None]] = Counter()
    for decision in report.decisions():
        rung, cutoff = decision.get("rung"), decision.get("cutoff")
        if cutoff is None and rung is None:
            continue
        key = (float(decision["resource"] if rung is None else rung), decision.get("bracket"))
        cutoffs[key] = cutoffs.get(key) if cutoff is None else cutoff
        stopped[key] += decision["action"] in _STOPS
    order = sorted(cutoffs, key=lambda key: (key[0], -1 if key[1] is None else key[1]))
    return [RungData(*key, cutoff=cutoffs[key], stopped=stopped[key]) for key in order]


def _decisions(report: Report) -> Iterable[DecisionData]:
    for each in report.decisions():
        if each["action"] in CHANGES:
            known = ("value", "cutoff", "rank", "of", "rung", "bracket", "reason")
            yield DecisionData(
                seconds=report.elapsed(each["time"]),
                trial=int(each["trial"]),
                action=str(each["action"]),
                resource=each["resource"],
                **{name: each.get(name) for name in known},
            )


def _checkpoint(report: Report, trial: Trial) -> str:
    """Return the path of a trial's checkpoint relative to the results folder, which also holds the page."""
    if trial.gone is not None or trial.checkpoint is None:
        return checkpoint(trial)
    return Path(trial.checkpoint).relative_to(report.folder).as_posix()


def _errors(trials: Iterable[Trial]) -> Iterable[ErrorData]:
    for group in groups(trials)[:_MAX_ERRORS]:
        first = group[0]
        cause = first.cause or NO_ERROR
        text = clean(first.error or cause)
        cut = "(the beginning is left out)\n…" if len(text) > _LONGEST_ERROR else ""
        yield ErrorData(clean(cause), len(group), first.number, cut + text[-_LONGEST_ERROR:])


def _commands(report: Report, best: Trial | None, *, is_scheduled: bool) -> Iterable[CommandData]:
    """Yield helpful commands, the most useful first.

    ``is_scheduled``: whether a decision changed the state of a trial.
    """
    folder = clean(report.folder.name or "DIR")
    if report.is_unfinished:
        yield CommandData(report.resumption(folder), "continue the sweep")
    if report.reason is None:
        command = f"tuner report {folder} --format html > report.html"
        yield CommandData(command, "write this page as it is now")
    is_fixed = best is not None and not best.changes  # other configurations cannot be repeated
    if report.supports("evaluate") and is_fixed and report.evaluation is None and not report.objective.others:
        what = "repeat the best configurations with fresh seeds, and score the winner on test rows, if any"
        yield CommandData(f"tuner evaluate {folder}", what)
    if report.supports("export") and best is not None and best.checkpoint is not None:
        yield CommandData(f"tuner export {folder} --out model", "write the best model for use elsewhere")
    if best is not None:
        what = "write a sweep that trains the best trial's configuration once more"
        yield CommandData(f"tuner report {folder} --replay > replay.yaml", what)
    if any(trial.state == "failed" for trial in report.trials):
        yield CommandData(f"tuner report {folder} --errors", "print every traceback")
    if is_scheduled:
        yield CommandData(f"tuner report {folder} --decisions", "print every decision of the scheduler")
    yield CommandData(f"tuner report {folder} --format csv", "print all trials as CSV")
    yield CommandData(f"tuner report {folder} --json", "print all results as JSON")
