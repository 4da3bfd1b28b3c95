"""``add_scheduler``: translates a scheduler of Ray Tune."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)
from ray.tune.search.sample import Domain

from tuner import space as ours
from tuner.errors import SpecError
from tuner.ray_tune._parts import Parts
from tuner.ray_tune._space import RaySpace, dimension_of, flat

_WHERE = "tune_config.scheduler"

_RESOURCES = {"training_iteration": "iterations", "time_total_s": "seconds"}

_INSTEAD = {
    "HyperBandForBOHB": "write scheduler='hyperband' and searcher='optuna'",
    "PB2": "write scheduler='pbt'",
    "PopulationBasedTrainingReplay": "write the changes as scheduler={'kind': 'replay', 'changes': [...]}",
    "ResourceChangingScheduler": "a trial of a sweep keeps its resources",
}


def add_scheduler(scheduler: Any, space: RaySpace, parts: Parts) -> None:
    """Add the scheduler of a sweep, and what it says about the trials' length and the objective."""
    if scheduler is None or type(scheduler) is FIFOScheduler:
        return
    kind = type(scheduler)
    if kind not in _TRANSLATIONS:
        instead = _INSTEAD.get(kind.__name__, "write a scheduler of the sweep, as scheduler='asha_stop'")
        parts.refuse(_WHERE, f"a {kind.__name__} cannot be translated; {instead}")
        return
    parts.aim(_WHERE, scheduler._metric, scheduler._mode)
    parts.parts["scheduler"] = _TRANSLATIONS[kind](scheduler, space, parts)


def _asha(scheduler: Any, space: RaySpace, parts: Parts) -> dict[str, Any]:
    if len(scheduler._brackets) > 1:
        parts.refuse(f"{_WHERE}.brackets", f"must be 1, got {len(scheduler._brackets)}; use hyperband")
    lowest = min(milestone for milestone, _ in scheduler._brackets[0]._rungs)
    return {
        "kind": "asha_stop",
        **_maximum(scheduler, scheduler._max_t, parts),
        "grace_period": parts.whole(f"{_WHERE}.grace_period", lowest),
        "reduction_factor": parts.whole(f"{_WHERE}.reduction_factor", scheduler._reduction_factor),
    }


def _hyperband(scheduler: Any, space: RaySpace, parts: Parts) -> dict[str, Any]:
    return {
        "kind": "hyperband",
        **_maximum(scheduler, scheduler._max_t_attr, parts),
        "reduction_factor": parts.whole(f"{_WHERE}.reduction_factor", scheduler._eta),
    }


def _median(scheduler: Any, space: RaySpace, parts: Parts) -> dict[str, Any]:
    if not scheduler._hard_stop:
        parts.refuse(f"{_WHERE}.hard_stop", "must be true: a trial below the median ends")
    if scheduler._min_time_slice:
        parts.refuse(f"{_WHERE}.min_time_slice", f"must be 0, got {scheduler._min_time_slice}")
    return {
        "kind": "median",
        "resource": _resource(scheduler),
        "grace_period": max(1, parts.whole(f"{_WHERE}.grace_period", scheduler._grace_period)),
        "min_trials": parts.whole(f"{_WHERE}.min_samples_required", scheduler._min_samples_required),
    }


def _pbt(scheduler: Any, space: RaySpace, parts: Parts) -> dict[str, Any]:
    if scheduler._burn_in_period:
        parts.refuse(f"{_WHERE}.burn_in_period", f"must be 0, got {scheduler._burn_in_period}")
    if scheduler._custom_explore_fn is not None:
        parts.refuse(f"{_WHERE}.custom_explore_fn", "cannot be called; a sweep explores by factors and draws")
    mutations = flat(scheduler._hyperparam_mutations)
    for name, values in mutations.items():
        where = f"{_WHERE}.hyperparam_mutations.{name}"
        if name not in space.entries and scheduler._require_attrs:
            parts.refuse(where, "must be in param_space too")
            continue
        try:
            _add_mutation(name, values, space)
        except SpecError as error:
            parts.problems += [problem.inside(where) for problem in error.problems]
        except ValueError as error:
            parts.refuse(where, str(error))
    low, high = sorted(scheduler._perturbation_factors)
    return {
        "kind": "pbt",
        "resource": _resource(scheduler),
        "interval": parts.whole(f"{_WHERE}.perturbation_interval", scheduler._perturbation_interval),
        "quantile": scheduler._quantile_fraction,
        "resample": scheduler._resample_probability,
        "factors": (low, high),
        "mutate": tuple(mutations),
    }


def _add_mutation(name: str, values: Any, space: RaySpace) -> None:
    """Let PBT change a hyperparameter. Raises ValueError or SpecError if it cannot."""
    if not isinstance(values, (Domain, list, tuple)):
        raise ValueError("a function cannot be searched; write a domain, such as tune.loguniform(1e-4, 1e-1)")
    # PBT moves to the next value of a list.
    mutation = dimension_of(values) if isinstance(values, Domain) else ours.Ordinal(tuple(values))
    known = space.entries.get(name)
    if isinstance(known, ours.Choice) and isinstance(mutation, ours.Ordinal):
        known = ours.Ordinal(known.choices)
    if known is not None and not isinstance(known, ours.Dimension):
        if not mutation.contains(known):
            raise ValueError(f"must include {known}, with which param_space starts")
        space.starts[name] = known
    elif known not in (None, mutation):
        raise ValueError("must have the same values as in param_space, from which a sweep draws again")
    space.entries[name] = mutation


_TRANSLATIONS: dict[type, Any] = {
    AsyncHyperBandScheduler: _asha,
    HyperBandScheduler: _hyperband,
    MedianStoppingRule: _median,
    PopulationBasedTraining: _pbt,
}


def _maximum(scheduler: Any, most: float, parts: Parts) -> dict[str, Any]:
    """Return how a scheduler measures trials, and limit them to its maximum."""
    if not scheduler._stop_last_trials:
        parts.refuse(f"{_WHERE}.stop_last_trials", "must be true: a trial ends at max_t")
    most = parts.whole(f"{_WHERE}.max_t", most)
    resource = _resource(scheduler)
    if resource == "iterations":
        parts.limit("iterations", most)
        return {}
    return {"resource": resource, "maximum": most}


def _resource(scheduler: Any) -> str:
    return _RESOURCES.get(scheduler._time_attr, str(scheduler._time_attr))
