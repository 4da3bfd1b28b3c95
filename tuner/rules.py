"""Rules between the parts of a sweep, and between a sweep and the code and files that it names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tuner.errors import Problem, SpecError
from tuner.logger import LoggerSpec
from tuner.objective import Budget
from tuner.resources import Resources
from tuner.schedulers import SCHEDULERS, SchedulerSpec
from tuner.searchers import SEARCHERS, SearcherSpec, beginning
from tuner.space import CONSTRAINTS, SearchSpace, misplaced_problems
from tuner.synonyms import mode_of
from tuner.trainable import TrainableSpec


def between(parts: Mapping[str, Any]) -> list[Problem]:
    """Return the contradictions between the given parts of a sweep. Reads no file."""
    problems: list[Problem] = []
    space, searcher, scheduler, budget = (
        parts.get(name) for name in ("space", "searcher", "scheduler", "budget")
    )
    resources, objective = parts.get("resources"), parts.get("objective")
    if objective is not None and objective.others:
        problems += _many_objectives_problems(searcher, scheduler)
    if budget is not None and resources is not None and budget.gpu_seconds is not None and resources.gpu == 0:
        problems.append(Problem("budget.gpu_seconds", "trials hold no GPU (resources.gpu is 0); remove it"))
    if resources is not None and space is not None and parts.get("whole_space", True):
        new_values = scheduler.new_values() if scheduler is not None else ()
        found = resources.problems(space, new_values=new_values)
        problems += [problem.inside("resources") for problem in found]
    if space is not None and searcher is not None:
        for problem in beginning.problems(searcher, space):
            in_space = problem.where.split(".")[0] == "space"
            problems.append(problem if in_space else problem.inside("searcher"))
    if scheduler is not None and budget is not None:
        trials = budget.trials or (searcher.exhaustive or None if searcher is not None else 1)
        found = scheduler.problems(budget.iterations, trials=trials)
        problems += [problem.inside("scheduler") for problem in found]
    if scheduler is not None and space is not None and parts.get("whole_space", True):
        problems += [problem.inside("scheduler") for problem in scheduler.space_problems(space)]
    if budget is not None and searcher is not None and not searcher.exhaustive and not budget.is_limited:
        problems.append(Problem("budget", "must have 'trials' or 'seconds', or the sweep would never end"))
    return problems


def outside(
    parts: Mapping[str, Any], *, known: Sequence[Problem] = (), metrics: Sequence[str]
) -> list[Problem]:
    """Import the trainable, and return the contradictions with it, with files and with loggers.

    ``parts``: the valid parts of the sweep. ``known``: problems found earlier, which are not repeated.
    """
    problems: list[Problem] = []
    searcher, space, scheduler = (parts.get(name) for name in ("searcher", "space", "scheduler"))
    wrong = {problem.where.split(".")[0] for problem in known}
    if searcher is not None and space is not None and not wrong & {"searcher", "space"}:
        found = beginning.source_problems(searcher, space, objective=parts.get("objective"))
        problems += [problem.inside("searcher") for problem in found]
    if (trainable := parts.get("trainable")) is not None:
        budget = parts.get("budget")
        # An invalid budget, or one that breaks the scheduler's rule, was reported already.
        is_reported = bool(known) and scheduler is not None and scheduler.needs_maximum
        found = trainable.problems(
            space=space,
            metrics=metrics,
            iterations=1 if budget is None or is_reported else end_of_a_trial(budget, scheduler),
        )
        faulty = _faulty_hyperparameters(known)
        problems += [problem for problem in found if not _faulty_hyperparameters([problem]) & faulty]
        if not any(problem.where == "trainable" for problem in problems):
            if (resources := parts.get("resources")) is not None and (not known or not resources.depends):
                problems += _resource_problems(trainable, resources, space)
            if scheduler is not None and trainable.takes_trial:
                problems += _pruning_problems(scheduler)
            elif scheduler is not None:
                problems += _reconfiguration_problems(trainable, scheduler)
        if not any(problem.where.startswith("trainable") for problem in problems) and scheduler is not None:
            problems += _pause_problems(trainable, scheduler)
    return [*problems, *_logger_problems(parts.get("loggers", []))]


def _resource_problems(
    trainable: TrainableSpec, resources: Resources, space: SearchSpace | None
) -> list[Problem]:
    """Return a problem for each resource of which a trial gets more than it can use."""
    possible = [resources] if space is None else resources.possible(space)
    return [
        *trainable.gpu_problems(max(each.gpu for each in possible)),
        *trainable.process_problems(max(each.processes for each in possible)),
    ]


def sound_parts(
    data: Mapping[str, Any], problems: Sequence[Problem], fields: Mapping[str, FieldInfo]
) -> dict[str, Any]:
    """Return the valid parts of a faulty sweep. The space keeps only its valid hyperparameters.

    ``whole_space`` in the result says whether the space is complete. ``fields``: the fields of ``Sweep``.
    """
    faulty = _faulty_hyperparameters(problems)
    parts: dict[str, Any] = {"whole_space": not faulty}
    if isinstance(space := data.get("space"), Mapping):
        # A constraint may mention a faulty hyperparameter.
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
    """Return the maximum of a trial in units of its fidelity, or ``None`` if there is none."""
    return budget.iterations or (None if scheduler is None else scheduler.maximum)


def _reconfiguration_problems(trainable: TrainableSpec, scheduler: SchedulerSpec) -> list[Problem]:
    """Return the contradictions between a trainable and a scheduler that changes hyperparameters."""
    if not scheduler.reconfigures:
        return []
    problems = []
    if not trainable.can_save():
        what = f"must save checkpoints for this scheduler, but '{trainable.name}' has no save_checkpoint"
        problems.append(Problem("trainable", what))
    for name, value in scheduler.new_values():
        found = trainable.value_problems(name, value)
        problems += [Problem("scheduler", f"{problem} ({trainable.name})") for problem in found]
    return problems


def _pruning_problems(scheduler: SchedulerSpec) -> list[Problem]:
    """Return a problem if a scheduler needs checkpoints, which an Optuna objective does not write."""
    if not (scheduler.pauses or scheduler.reconfigures):
        return []
    what = "pauses trials, but an Optuna objective writes no checkpoints to continue from"
    suitable = [name for name, cls in SCHEDULERS.items() if cls.compares and not cls.pauses]
    return [Problem("scheduler", f"{what}; use {' or '.join(suitable)}")]


def _pause_problems(trainable: TrainableSpec, scheduler: SchedulerSpec) -> list[Problem]:
    """Return a problem if a scheduler pauses trials that declare to write no checkpoints."""
    if not scheduler.pauses or not trainable.declares_no_checkpoints():
        return []
    kind = getattr(scheduler, "kind", type(scheduler).__name__)
    what = f"{kind} pauses trials, and the trials of '{trainable.name}' seem to write no checkpoints"
    remedy = "call tuner.client.report(..., checkpoint=...) or use {checkpoint}; or write asha_stop or median"
    return [Problem("scheduler", f"{what}; {remedy}")]


def metrics_of(objective: Any) -> list[str]:
    """Return the metric names in an unchecked objective."""
    parts = objective if isinstance(objective, list) else [objective]
    named = [part.get("metric") for part in parts if isinstance(part, Mapping)]
    named += [part for part in parts if isinstance(part, str) and mode_of(part)]
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
            continue
        first = loggers.index(logger)
        if first < number and logger.tracker() is not None:
            problems.append(Problem(f"loggers.{number}", f"duplicate of loggers.{first}"))
    return problems


def _faulty_hyperparameters(problems: Sequence[Problem]) -> set[str]:
    return {problem.where.split(".")[1] for problem in problems if problem.where.startswith("space.")}


def _without_parents(entry: Any, faulty: Collection[str]) -> Any:
    """Return a dimension's mapping without conditions on ``faulty`` parents; any other entry unchanged."""
    if not isinstance(entry, Mapping) or not isinstance(when := entry.get("when"), Mapping):
        return entry
    return {**entry, "when": {parent: allowed for parent, allowed in when.items() if parent not in faulty}}


def _many_objectives_problems(
    searcher: SearcherSpec | None, scheduler: SchedulerSpec | None
) -> list[Problem]:
    """Return a problem for each method that supports only one objective."""
    what = "supports a single objective, got several; use {}"
    problems = []
    if searcher is not None and searcher.learns and not searcher.many_objectives:
        suitable = [name for name, cls in SEARCHERS.items() if cls.many_objectives or not cls.learns]
        problems.append(Problem("searcher", what.format(" or ".join(sorted(suitable)))))
    if scheduler is not None and scheduler.compares and not scheduler.many_objectives:
        suitable = [name for name, cls in SCHEDULERS.items() if cls.many_objectives or not cls.compares]
        problems.append(Problem("scheduler", what.format(" or ".join(sorted(suitable)))))
    return problems
