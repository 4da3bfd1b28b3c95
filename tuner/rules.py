"""The rules between the parts of a sweep, and between a sweep and what it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tuner.errors import Problem, SpecError
from tuner.logger import LoggerSpec
from tuner.objective import Budget
from tuner.schedulers import SCHEDULERS, SchedulerSpec
from tuner.searchers import SEARCHERS, SearcherSpec, beginning
from tuner.space import CONSTRAINTS, misplaced_problems
from tuner.trainable import TrainableSpec


def between(parts: Mapping[str, Any]) -> list[Problem]:
    """What is wrong between the parts of a sweep, as far as the parts are there. Reads no file."""
    problems: list[Problem] = []
    space, searcher, scheduler, budget = (
        parts.get(name) for name in ("space", "searcher", "scheduler", "budget")
    )
    resources, objective = parts.get("resources"), parts.get("objective")
    if objective is not None and objective.others:
        problems += _many_objectives_problems(searcher, scheduler)
    if budget is not None and resources is not None and budget.gpu_seconds is not None and not resources.gpu:
        problems.append(Problem("budget.gpu_seconds", "trials hold no GPU (resources.gpu); leave it out"))
    if space is not None and searcher is not None:
        for problem in beginning.problems(searcher, space):
            own = problem.where.split(".")[0] == "space"
            problems.append(problem if own else problem.inside("searcher"))
    if scheduler is not None and budget is not None:
        trials = budget.trials or (searcher.exhaustive or None if searcher is not None else 1)
        found = scheduler.problems(budget.iterations, trials=trials)
        problems += [problem.inside("scheduler") for problem in found]
    if scheduler is not None and space is not None and parts.get("whole_space", True):
        problems += [problem.inside("scheduler") for problem in scheduler.space_problems(space)]
    if budget is not None and searcher is not None and not searcher.exhaustive and not budget.is_limited:
        problems.append(Problem("budget", "must say 'trials' or 'seconds', or the sweep would never end"))
    return problems


def outside(
    parts: Mapping[str, Any], *, known: Sequence[Problem] = (), metrics: Sequence[str]
) -> list[Problem]:
    """What is wrong between a sweep and what it names: its trainable, which is imported, files, loggers.

    ``parts``: those that are right by themselves; ``known``: what is wrong already, which is not said again.
    """
    problems: list[Problem] = []
    searcher, space, scheduler = (parts.get(name) for name in ("searcher", "space", "scheduler"))
    wrong = {problem.where.split(".")[0] for problem in known}
    if searcher is not None and space is not None and not wrong & {"searcher", "space"}:
        found = beginning.source_problems(searcher, space, objective=parts.get("objective"))
        problems += [problem.inside("searcher") for problem in found]
    if (trainable := parts.get("trainable")) is not None:
        budget = parts.get("budget")
        # A budget that is wrong by itself, or by the scheduler's rule, is not found wanting twice.
        judged = bool(known) and scheduler is not None and scheduler.needs_maximum
        found = trainable.problems(
            space=space,
            metrics=metrics,
            iterations=1 if budget is None or judged else end_of_a_trial(budget, scheduler),
        )
        faulty = _faulty_hyperparameters(known)
        problems += [problem for problem in found if not _faulty_hyperparameters([problem]) & faulty]
        if not any(problem.where == "trainable" for problem in problems):
            if "resources" in parts:
                problems += trainable.gpu_problems(parts["resources"].gpu)
            if scheduler is not None:
                problems += _reconfiguration_problems(trainable, scheduler)
    return [*problems, *_logger_problems(parts.get("loggers", []))]


def sound_parts(
    data: Mapping[str, Any], problems: Sequence[Problem], fields: Mapping[str, FieldInfo]
) -> dict[str, Any]:
    """The parts of a faulty sweep that are right by themselves; of the space, the sound hyperparameters.

    ``whole_space`` says whether that is all of them. ``fields``: those of a sweep.
    """
    faulty = _faulty_hyperparameters(problems)
    parts: dict[str, Any] = {"whole_space": not faulty}
    if isinstance(space := data.get("space"), Mapping):
        # A constraint speaks of several hyperparameters, one of which may be faulty.
        unsound = {*faulty, CONSTRAINTS} if faulty else faulty
        sound = {
            name: _without_parents(entry, faulty) for name, entry in space.items() if name not in unsound
        }
        data = {**data, "space": sound}
    for name, field in fields.items():
        if name not in data:
            if not field.is_required():
                parts[name] = field.default
            continue
        kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        with suppress(ValidationError):  # reported already
            parts[name] = TypeAdapter(kind).validate_python(data[name])
    return parts


def end_of_a_trial(budget: Budget, scheduler: SchedulerSpec | None) -> int | None:
    """What ends a trial if nothing else does, iterations or else; ``None``: nothing."""
    return budget.iterations or (None if scheduler is None else scheduler.maximum)


def _reconfiguration_problems(trainable: TrainableSpec, scheduler: SchedulerSpec) -> list[Problem]:
    """What is wrong between a trainable that loads and a scheduler that changes hyperparameters."""
    if not scheduler.reconfigures:
        return []
    problems = []
    if not trainable.can_save():
        what = f"must save checkpoints for this scheduler, and '{trainable.name}' has no save_checkpoint"
        problems.append(Problem("trainable", what))
    for name, value in scheduler.new_values():
        found = trainable.value_problems(name, value)
        problems += [Problem("scheduler", f"{problem} ({trainable.name})") for problem in found]
    return problems


def metrics_of(objective: Any) -> list[str]:
    """The metrics that an objective names as it is written, maybe wrongly."""
    parts = objective if isinstance(objective, list) else [objective]
    named = [part.get("metric") for part in parts if isinstance(part, Mapping)]
    return [metric for metric in named if isinstance(metric, str) and metric]


def _logger_problems(loggers: Sequence[LoggerSpec]) -> list[Problem]:
    problems: list[Problem] = []
    for number, logger in enumerate(loggers):
        misplaced = misplaced_problems(logger.settings, instead="write a plain value")
        problems += [problem.inside(f"loggers.{number}") for problem in misplaced]
        try:
            logger.check()
        except SpecError as error:
            problems += [problem.inside(f"loggers.{number}") for problem in error.problems]
    return problems


def _faulty_hyperparameters(problems: Sequence[Problem]) -> set[str]:
    return {problem.where.split(".")[1] for problem in problems if problem.where.startswith("space.")}


def _without_parents(entry: Any, faulty: Collection[str]) -> Any:
    """A dimension's mapping without its conditions on ``faulty`` parents; anything else as it is."""
    if not isinstance(entry, Mapping) or not isinstance(when := entry.get("when"), Mapping):
        return entry
    return {**entry, "when": {parent: allowed for parent, allowed in when.items() if parent not in faulty}}


def _many_objectives_problems(
    searcher: SearcherSpec | None, scheduler: SchedulerSpec | None
) -> list[Problem]:
    """What cannot be used with several objectives."""
    what = "compares by one objective only, got several; use {}"
    problems = []
    if searcher is not None and searcher.learns and not searcher.many_objectives:
        able = [name for name, cls in SEARCHERS.items() if cls.many_objectives or not cls.learns]
        problems.append(Problem("searcher", what.format(" or ".join(sorted(able)))))
    if scheduler is not None and scheduler.compares and not scheduler.many_objectives:
        able = [name for name, cls in SCHEDULERS.items() if cls.many_objectives or not cls.compares]
        problems.append(Problem("scheduler", what.format(" or ".join(sorted(able)))))
    return problems
