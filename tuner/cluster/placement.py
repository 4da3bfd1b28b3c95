"""``place``: decides where a sweep's trials run, and how many run at once.

A trial holds the sweep's ``resources``. Alternatively its trainable requests resources as in Ray Tune, by
``default_resource_request(config)`` or ``tune.with_resources``. A request can have several bundles on several
machines.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.air.execution.resources import PlacementGroupResourceManager
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.trainable import wrap_function

from tuner.cluster import connection
from tuner.cluster.adapters import Request
from tuner.cluster.gangs import Gang
from tuner.cluster.groups import PlacementGroups
from tuner.cluster.lanes import Pool
from tuner.cluster.pool import WorkerPool
from tuner.cluster.processes import Processes
from tuner.errors import ClusterError, Problem, SpecError
from tuner.resources import Resources
from tuner.space import Config
from tuner.sweep import Sweep
from tuner.worker.setup import WorkerSetup

_MAX_AUTO_LANES = 64
"""Lanes that a worker of a sweep without a number of trials is expected to have at most."""

_AUTO_GENERATIONS = 4
"""A searcher or scheduler that learns gets the trials in at least about this many turns."""

_MAX_WORKERS = 10_000
"""The limit for a cluster that can grow, if the sweep sets none."""

_OWN = "default_resource_request or tune.with_resources"

_SECONDS_BETWEEN_COUNTS = 2.0
"""Nodes come and go slowly, and each count asks Ray."""


@dataclass(frozen=True)
class Placement:
    """The processes and resources for the trials of a sweep."""

    slots: int
    """The number of processes, or of trials with several processes, that fit on the cluster now."""
    threads: int
    """CPU threads of each process, unless its trial's request says otherwise."""
    request: Request
    """Returns a trial's resource request for Ray."""
    start: Callable[[WorkerSetup], Pool]
    """Creates the pool. A ``WorkerPool`` starts its processes before there are trials."""


def place(trainable: Any, sweep: Sweep, *, ended: Callable[[], bool]) -> Placement:
    """Decide where the trials of a sweep run. Wait for a node that may still join, until ``ended`` is true.

    Raises ClusterError if a trial can never fit on the cluster, and SpecError if both the sweep and the
    trainable request resources.
    """
    if sweep.resources.has_gangs or sweep.resources.depends:
        _refuse_other_requests(trainable, sweep)
        return _place_groups(sweep, _request_of(sweep.resources), sweep.resources.isolation)
    resources, request = _find_request(trainable, sweep)
    if request is not None:
        return _place_groups(sweep, lambda config, given: request(given), resources.isolation)
    connection.await_node(resources, ended=ended)
    slots = connection.require(resources)
    plain = PlacementGroupFactory([resources.bundle])

    def start(setup: WorkerSetup) -> WorkerPool:
        wanted = _count_wanted(sweep, resources)
        most = _most_at_once(sweep, workers=max(1, wanted()))
        return WorkerPool(setup, resources, wanted=wanted, most=most, samples=sweep.samples)

    return Placement(slots, resources.threads, lambda config, given: plain, start)


def _place_groups(sweep: Sweep, request: Request, isolation: str) -> Placement:
    """Let each trial have a placement group of its own."""
    slots = _count_slots(request, sweep)
    most = sweep.budget.concurrent or slots

    def start(setup: WorkerSetup) -> PlacementGroups:
        manager = PlacementGroupResourceManager()
        return PlacementGroups(Processes(setup), manager, most=most, apart=isolation == "process")

    return Placement(slots, 1, request, start)


def _request_of(resources: Resources) -> Request:
    """Return the request for the sweep's resources. Trials of one process are gangs if others have more."""

    def request(config: Config, given: dict[str, Any]) -> PlacementGroupFactory:
        own = resources.of(config)
        return Gang(own) if resources.has_gangs else PlacementGroupFactory([own.bundle])

    return request


def _refuse_other_requests(trainable: Any, sweep: Sweep) -> None:
    """Raise SpecError if a trainable requests resources although the sweep decides on its processes."""
    if any(_requested(trainable)(config) is not None for config in sweep.samples):
        has = "processes" if sweep.resources.has_gangs else "resources that depend on the configuration"
        what = f"the trainable requests its own resources ({_OWN}), which a sweep with {has} cannot use"
        raise SpecError([Problem("resources", f"{what}; use one of the two")])


def _requested(trainable: Any) -> Callable[[dict[str, Any]], PlacementGroupFactory | None]:
    """Return the trainable's own function from a configuration to its request."""
    if not inspect.isclass(trainable):
        trainable = wrap_function(trainable)
    return trainable.default_resource_request  # type: ignore[no-any-return]


def _find_request(
    trainable: Any, sweep: Sweep
) -> tuple[Resources, Callable[[dict[str, Any]], PlacementGroupFactory] | None]:
    """Return the resources of a worker, and the request for a placement group per trial.

    The request is ``None`` if trials can share workers. This holds if the trainable requests nothing, or the
    same single bundle of CPUs and GPUs for all trials. Raises SpecError if the sweep requests resources too.
    """
    requested = _requested(trainable)
    plain = PlacementGroupFactory([sweep.resources.bundle])

    def request(given: dict[str, Any]) -> PlacementGroupFactory:
        return requested(given) or plain

    requests = {request(config) for config in sweep.samples}
    if problems := sweep.trainable.gpu_problems(max(map(_gpus, requests))):
        raise SpecError(problems)
    if requests == {plain}:
        return sweep.resources, None
    if sweep.resources.bundle != Resources().bundle:
        what = f"the trainable requests its own resources ({_OWN})"
        raise SpecError([Problem("resources", f"{what}; leave out cpu and gpu")])
    first = next(iter(requests))
    per_process = {"cpu": first.head_cpus, "gpu": first.bundles[0].get("GPU", 0)}
    try:
        resources = Resources(**{**sweep.resources.model_dump(), **per_process})
    except SpecError:  # such as an empty first bundle
        return sweep.resources, request
    can_share = len(requests) == 1 and first == PlacementGroupFactory([resources.bundle])
    return resources, None if can_share else request


def _gpus(request: PlacementGroupFactory) -> float:
    return float(request.required_resources.get("GPU", 0))


def _count_slots(request: Request, sweep: Sweep) -> int:
    """Return how many trials can run at once. Raises ClusterError if one can never fit on the cluster."""
    groups = {request(config, given) for config, given in zip(sweep.drawn, sweep.samples, strict=True)}
    nodes = connection.nodes()
    total = connection.total()
    slots = []
    for group in groups:
        whole = {kind: amount for kind, amount in group.required_resources.items() if amount > 0}
        parts = [whole] if group.strategy == "STRICT_PACK" else group.bundles
        can_grow = all(connection.can_grow_to(part) for part in parts)
        unplaced = [part for part in parts if not any(connection.fits(part, node) for node in nodes)]
        if unplaced and not can_grow:
            raise ClusterError(
                f"resources: a trial requests {_bundle_text(unplaced[0])} on one node; no node has that much"
            )
        slots.append(connection.fits(whole, total))
        if slots[-1] == 0 and not can_grow:
            raise ClusterError(
                f"resources: a trial requests {_bundle_text(whole)}; the {len(nodes)} nodes together have "
                f"{_bundle_text({kind: total.get(kind, 0) for kind in whole})}"
            )
    return max(1, *slots)


def _bundle_text(bundle: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {kind}" for kind, amount in bundle.items())


def _count_wanted(sweep: Sweep, resources: Resources) -> Callable[[], int]:
    """Return a function for the number of workers that the sweep can use, since nodes come and go."""
    most = min(n for n in (sweep.budget.concurrent, sweep.trials, _MAX_WORKERS) if n is not None)
    if connection.can_grow_to(resources.bundle):
        return lambda: most
    known = {"slots": 0, "at": -_SECONDS_BETWEEN_COUNTS}

    def wanted() -> int:
        if time.monotonic() - known["at"] >= _SECONDS_BETWEEN_COUNTS:
            known.update(slots=connection.capacity(resources), at=time.monotonic())
        return min(most, int(known["slots"]))

    return wanted


def _most_at_once(sweep: Sweep, *, workers: int) -> int | None:
    """Return how many trials may run at once; ``None`` if only the workers' lanes limit them."""
    if sweep.budget.concurrent is not None:
        return sweep.budget.concurrent
    if sweep.resources.lanes != "auto":
        return None
    # Fewer trials at once let a searcher or scheduler learn from results before it chooses the next trials.
    learns = sweep.searcher.learns or sweep.scheduler.compares
    trials = sweep.trials or workers * _MAX_AUTO_LANES
    return max(workers, trials // _AUTO_GENERATIONS if learns else trials)
