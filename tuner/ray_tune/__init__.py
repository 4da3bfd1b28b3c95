"""``from_ray``: the sweep that ``ray.tune.Tuner`` with the same arguments would run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import RunConfig, TuneConfig

from tuner.code.nesting import NESTED
from tuner.errors import Problem, SpecError
from tuner.evaluation.fixed_list import FixedList
from tuner.ray_tune._config import of_run_config, of_tune_config
from tuner.ray_tune._parts import Parts
from tuner.ray_tune._schedulers import add_scheduler
from tuner.ray_tune._searchers import add_searcher
from tuner.ray_tune._space import RaySpace
from tuner.sweep import Sweep

__all__ = ["from_ray"]


def from_ray(
    trainable: Callable[..., Any] | type,
    *,
    param_space: Mapping[str, Any] | None = None,
    tune_config: TuneConfig | None = None,
    run_config: RunConfig | None = None,
    **parts: Any,
) -> Sweep:
    """Return the sweep for the arguments of a ``ray.tune.Tuner``.

    Run it with ``tuner.run(sweep)``. Arguments that only change what Ray displays (``verbose``) or how it
    starts processes (``reuse_actors``) have no effect. Ray hides the seeds of its searchers; give ``seed``.

    Args:
        trainable: A function or class, possibly bound by ``tune.with_parameters`` or ``with_resources``.
        param_space: Hyperparameters by name: domains of ``ray.tune``, ``grid_search``, or constants. Those
            in a dictionary get dotted names in the sweep; the trainable gets the dictionary.
        tune_config: The metric, the number of samples, the scheduler and the searcher.
        run_config: The name, the folder, and how trials stop, fail and save.
        parts: Parts of the sweep, such as ``searcher="optuna"``, ``resources={"gpu": 1}`` or ``seed=7``. They
            replace what the arguments above say; of the budget, each limit separately.

    Raises:
        SpecError: Names every argument that a sweep cannot honour.
    """
    config = tune_config or TuneConfig()
    space = RaySpace(param_space or {})
    found = Parts()
    of_tune_config(config, found)
    if run_config is not None:
        of_run_config(run_config, found)
    if "scheduler" not in parts:
        add_scheduler(config.scheduler, space, found)
    if "searcher" not in parts:
        add_searcher(config.search_alg, space, found, samples=config.num_samples)
        if space.starts and not [*space.problems, *found.problems]:
            _start_alike(space, found, count=config.num_samples, seed=parts.get("seed", 0))
    problems = [*space.problems, *found.problems]
    if isinstance(trainable, str):
        what = "a name in Ray's registry cannot be read; give the function or class"
        problems.append(Problem("trainable", what))
    if "objective" not in parts and not found.objectives():
        problems.append(Problem("tune_config.metric", "must be given, with the mode"))
    if problems:
        raise SpecError(problems)
    translated = {"space": space.entries, "objective": found.objectives(), **found.parts}
    budget = parts.pop("budget", {})
    budget = {**found.budget, **budget} if isinstance(budget, Mapping) else budget
    code: Any = {"kind": trainable, NESTED: True} if space.is_nested else trainable
    return Sweep(**{"trainable": code, **translated, "budget": budget, **parts})


def _start_alike(space: RaySpace, parts: Parts, *, count: int, seed: int) -> None:
    """Let all trials begin with the constants that population-based training changes later."""
    searcher = parts.parts["searcher"]
    if searcher != {"kind": "random", "initial_points": []} or count < 1:
        what = f"must be domains, not constants, for this searcher: {', '.join(space.starts)}"
        parts.refuse("param_space", what)
        return
    parts.parts["searcher"] = FixedList(configs=tuple(space.first_configs(count, seed=seed)))
