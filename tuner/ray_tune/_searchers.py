"""``add_searcher``: translates a search algorithm of Ray Tune."""

from __future__ import annotations

from typing import Any

from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter

from tuner.ray_tune._parts import Parts
from tuner.ray_tune._space import RaySpace

_WHERE = "tune_config.search_alg"

_INSTEAD = {
    **dict.fromkeys(("AxSearch", "BayesOptSearch", "HEBOSearch"), "write searcher='bayes'"),
    **dict.fromkeys(("NevergradSearch", "ZOOptSearch"), "write searcher='evolution'"),
    "TuneBOHB": "write searcher='optuna' and scheduler='hyperband'",
    "Repeater": "tuner evaluate repeats the best configurations",
}

_SAMPLERS = {
    "TPESampler": "tpe",
    "GPSampler": "gp",
    "CmaEsSampler": "cmaes",
    "NSGAIISampler": "nsga2",
    "QMCSampler": "qmc",
    "RandomSampler": "random",
}


def add_searcher(search: Any, space: RaySpace, parts: Parts, *, samples: int) -> None:
    """Add the searcher of a sweep, its concurrency and its initial points."""
    if isinstance(search, ConcurrencyLimiter):
        if search.batch:
            parts.refuse(f"{_WHERE}.batch", "must be false: a sweep fills free places at once")
        parts.limit("concurrent", search.max_concurrent)
        search = search.searcher
    # Importing Ray's classes would import Optuna and HyperOpt.
    name = type(search).__name__ if type(search).__module__.startswith("ray.tune.") else ""
    if search is None or name == "BasicVariantGenerator":
        _add_variants(search, space, parts, samples=samples)
    elif name == "OptunaSearch":
        _add_optuna(search, space, parts)
    elif name == "HyperOptSearch":
        _add_hyperopt(search, space, parts)
    else:
        name = type(search).__name__
        instead = _INSTEAD.get(name, "write a searcher of the sweep, as searcher='optuna'")
        parts.refuse(_WHERE, f"a {name} cannot be translated; {instead}")
    if space.grid and search is not None and not isinstance(search, BasicVariantGenerator):
        parts.refuse(
            f"param_space.{space.grid[0]}", "a grid cannot be searched by this searcher; use tune.choice"
        )


def _add_variants(search: Any, space: RaySpace, parts: Parts, *, samples: int) -> None:
    """Add a grid or random draws, as Ray's own generator makes them."""
    points = [] if search is None else [*map(space.point, search._points_to_evaluate)]
    if search is not None:
        if search._random_state._rng is not None:
            parts.refuse(f"{_WHERE}.random_state", "cannot be read; give from_ray a seed")
        if search.max_concurrent:
            parts.limit("concurrent", search.max_concurrent)
    if not space.grid:
        parts.parts["searcher"] = {"kind": "random", "initial_points": points}
        return
    if space.drawn:
        what = f"a grid cannot be combined with draws of {', '.join(space.drawn)}; use tune.choice"
        parts.refuse(f"param_space.{space.grid[0]}", what)
    if samples != 1:
        what = f"must be 1 for a grid, got {samples}; tuner evaluate repeats the best configurations"
        parts.refuse("tune_config.num_samples", what)
    parts.budget.pop("trials", None)
    parts.parts["searcher"] = {"kind": "grid", "initial_points": points}


def _add_optuna(search: Any, space: RaySpace, parts: Parts) -> None:
    parts.aim(_WHERE, search._metric, search._mode)
    if search._space:
        parts.refuse(f"{_WHERE}.space", _space_remedy(callable(search._space)))
    if search._storage is not None:
        parts.refuse(f"{_WHERE}.storage", "must be left out: the journal of a sweep holds its trials")
    if search._evaluated_rewards:
        parts.refuse(
            f"{_WHERE}.evaluated_rewards", "must be left out; warm_start takes over an earlier sweep"
        )
    if search._sampler is not None:
        name = type(search._sampler).__name__
        known = f"searcher={{'kind': 'optuna', 'sampler': '{_SAMPLERS.get(name, 'tpe')}'}}"
        parts.refuse(f"{_WHERE}.sampler", f"the settings of a {name} cannot be read; give from_ray {known}")
    parts.parts["searcher"] = {
        "kind": "optuna",
        "initial_points": [*map(space.point, search._points_to_evaluate)],
    }
    if search._seed is not None:
        parts.parts["seed"] = int(search._seed)


def _add_hyperopt(search: Any, space: RaySpace, parts: Parts) -> None:
    parts.aim(_WHERE, search._metric, search._mode)
    if search.domain is not None:
        parts.refuse(f"{_WHERE}.space", _space_remedy(False))
    options = getattr(search.algo, "keywords", {})
    names = {"n_startup_jobs": "startup_trials", "gamma": "gamma"}
    parts.parts["searcher"] = {
        "kind": "hyperopt",
        **{names[key]: value for key, value in options.items()},
        "initial_points": [*map(space.point, search._points_to_evaluate or ())],
    }


def _space_remedy(is_function: bool) -> str:
    if is_function:
        objective = "{kind: optuna_objective, objective: file.py:objective}"
        return f"must be left out; write an Optuna objective, as trainable: {objective}"
    return "must be left out; give the domains of ray.tune as param_space"
