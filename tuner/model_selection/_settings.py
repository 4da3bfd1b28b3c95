"""The parts of a search's sweep that follow from its arguments: scheduler, fidelity, searcher and budget."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone, is_classifier

from tuner.components import component
from tuner.errors import Problem, SpecError
from tuner.model_selection._fidelity import FOLDS, SAMPLES, Fidelity, RowNumbers, orders, resources
from tuner.objective import Budget
from tuner.schedulers import SCHEDULERS, Fifo, SchedulerSpec
from tuner.searchers import SEARCHERS, Random, SearcherSpec
from tuner.spec import Spec, did_you_mean

DEFAULT_TRIALS = 10
"""The number of candidates without a limit in ``n_trials`` and ``budget``, as in ``RandomizedSearchCV``."""

_DEFAULT_FACTOR = 3
"""Growth of the resource from one iteration to the next, if the scheduler has no ``reduction_factor``."""

_ROWS_PER_CLASS = 2
"""The lowest number of training rows per class with which a fit can begin."""


class Fold(NamedTuple):
    """Row numbers of one split."""

    train: RowNumbers
    test: RowNumbers


def scheduler_of(search: Any, folds: list[Fold], y: Any, *, seed: int) -> tuple[SchedulerSpec, Fidelity]:
    """Return the scheduler, set to the search's resource, and the resource of each iteration.

    Raises SpecError if they do not fit.
    """
    scheduler = Fifo() if search.scheduler is None else search.scheduler
    scheduler = component(scheduler, SchedulerSpec, SCHEDULERS, "scheduler")  # type: ignore[type-abstract]
    given = {name: getattr(scheduler, name) for name in scheduler.model_fields_set if name != "kind"}
    if scheduler.reconfigures:
        what = "must not change the parameters of a running candidate, whose fits do not continue"
        raise SpecError([Problem("", f"{what}; write asha or hyperband")])
    if wrong := {"resource", "maximum"} & given.keys():
        what = "must be left out; set resource and max_resources of the search"
        raise SpecError([Problem(name, what) for name in sorted(wrong)])
    if search.resource == FOLDS:
        for name in ("min_resources", "max_resources"):
            if (value := getattr(search, name)) is not None:
                what = f"must be left out if the resource is folds, got {value}"
                raise SpecError([Problem(name, what)])
        return scheduler, Fidelity(FOLDS, range(1, len(folds) + 1))
    most = _most(search, folds)
    stratify = is_classifier(search.estimator) and np.ndim(y) == 1
    classes = len(np.unique(y)) if stratify else 1
    amounts = resources(
        search.min_resources,
        most,
        factor=getattr(scheduler, "reduction_factor", _DEFAULT_FACTOR),
        smallest=_ROWS_PER_CLASS * classes if search.resource == SAMPLES else 1,
        compares=not isinstance(scheduler, Fifo),
    )
    added: dict[str, Any] = {"resource": "n_resources", "maximum": most}
    if "grace_period" in type(scheduler).model_fields:
        added["grace_period"] = amounts[0]
    order = orders(folds, y, stratify=stratify, seed=seed) if search.resource == SAMPLES else ()
    return type(scheduler)(**{**added, **given}), Fidelity(search.resource, amounts, order)


def _most(search: Any, folds: list[Fold]) -> int:
    """Return the last value of a resource that is not folds. Raises SpecError if it is impossible."""
    most: int | None = search.max_resources
    if search.resource == SAMPLES:
        rows = min(len(fold.train) for fold in folds)
        if most is not None and not 1 <= most <= rows:
            what = f"must be from 1 to the training rows of a split ({rows}), got {most}"
            raise SpecError([Problem("max_resources", what)])
        return most or rows
    try:  # `get_params` of CatBoost lists only what was set
        clone(search.estimator).set_params(**{search.resource: most or 1})
    except (ValueError, TypeError, AttributeError):
        hint = did_you_mean(search.resource, [FOLDS, SAMPLES, *search.estimator.get_params(deep=True)])
        what = f"must be folds, n_samples or a parameter of the estimator, got '{search.resource}'"
        raise SpecError([Problem("resource", f"{what}{hint}")]) from None
    if most is None:
        what = f"must be given: the '{search.resource}' of a candidate that is not stopped early"
        raise SpecError([Problem("max_resources", what)])
    if search.resource in search.space:
        raise SpecError([Problem("resource", f"'{search.resource}' must not be in the space too")])
    return most


def searcher_of(search: Any) -> SearcherSpec:
    """Return the searcher. Raises SpecError if it is unknown."""
    searcher = Random() if search.searcher is None else search.searcher
    return component(searcher, SearcherSpec, SEARCHERS, "searcher")  # type: ignore[type-abstract]


def budget_of(search: Any, searcher: SearcherSpec, *, iterations: int) -> Budget:
    """Return the budget for candidates of this many iterations. Raises SpecError if it is wrong."""
    given = Budget(**_settings(search.budget))
    settings = _settings(given)
    problems = []
    if given.iterations is not None:
        what = "must be left out: the resource determines the iterations of a candidate"
        problems.append(Problem("iterations", what))
    if search.n_trials is not None and given.trials is not None:
        problems.append(Problem("trials", "must be left out if n_trials is given"))
    if search.n_jobs is not None and search.n_jobs < 1 and search.n_jobs != -1:
        what = f"n_jobs must be -1 or at least 1, got {search.n_jobs}"
        problems.append(Problem("concurrent", what))
    if problems:
        raise SpecError(problems)
    settings["iterations"] = iterations
    settings.setdefault("retries", 0)  # a fit that fails would fail again
    if search.n_trials is not None:
        settings["trials"] = search.n_trials
    elif not given.is_limited and not searcher.exhaustive:
        settings["trials"] = DEFAULT_TRIALS
    if search.n_jobs is not None and search.n_jobs != -1:
        settings.setdefault("concurrent", search.n_jobs)
    if search.error_score == "raise":
        settings.setdefault("failures", 0)
    return Budget(**settings)


def is_local(search: Any, budget: Budget) -> bool:
    """Return whether the candidates are evaluated one after another in this process, without Ray."""
    needs_ray = search.address, search.resources, budget.silence, budget.gpu_seconds
    return search.n_jobs in (None, 1) and all(each is None for each in needs_ray)


def _settings(part: Any) -> dict[str, Any]:
    """Return the settings that were given to a part of a sweep."""
    if isinstance(part, Spec):
        return {name: getattr(part, name) for name in part.model_fields_set}
    return dict(part or {})
