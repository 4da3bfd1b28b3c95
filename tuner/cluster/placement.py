"""``place``: where a sweep's trials run, and how many at once.

A trial holds the sweep's ``resources``, or what its trainable asks for as in Ray Tune, by
``default_resource_request(config)`` or ``tune.with_resources``: several bundles, say, on several machines.
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
from tuner.cluster.groups import PlacementGroups, Processes
from tuner.cluster.lanes import Pool
from tuner.cluster.pool import WorkerPool
from tuner.errors import ClusterError, Problem, SpecError
from tuner.objective import Resources
from tuner.sweep import Sweep
from tuner.worker.setup import WorkerSetup


@dataclass(frozen=True)
class Placement:
    """Where trials run. ``slots``: processes at once at present; ``resources``: what each of them holds.

    ``request``: what a trial is to Ray. ``start``: begins to start the processes, where that can be done
    before there are trials.
    """

    slots: int
    resources: Resources
    request: Request
    start: Callable[[WorkerSetup], Pool]


def place(trainable: Any, sweep: Sweep, *, ended: Callable[[], bool]) -> Placement:
    """Settle where the trials of a sweep run. A node that may still join is waited for, until ``ended``.

    Raises ClusterError when the cluster can never hold one, SpecError when the sweep and the trainable both
    say what it holds.
    """
    resources, request = _requested(trainable, sweep)
    if request is not None:
        slots = _slots(request, sweep)
        most = sweep.budget.concurrent or slots
        apart = resources.isolation == "process"

        def groups(recipe: WorkerSetup) -> PlacementGroups:
            manager = PlacementGroupResourceManager()
            return PlacementGroups(Processes(recipe), manager, most=most, apart=apart)

        return Placement(slots, resources, request, groups)
    connection.await_node(resources, ended=ended)
    slots = connection.require(resources)
    plain = PlacementGroupFactory([resources.bundle])

    def start(recipe: WorkerSetup) -> WorkerPool:
        wanted = _wanted(sweep, resources)
        most = _most_at_once(sweep, workers=max(1, wanted()))
        return WorkerPool(recipe, resources, wanted=wanted, most=most, samples=sweep.samples)

    return Placement(slots, resources, lambda config: plain, start)


def _requested(trainable: Any, sweep: Sweep) -> tuple[Resources, Request | None]:
    """What each trial holds: so much in a worker that it may share, or (else ``None``) groups of its own.

    What the trainable itself asks for comes before the sweep's cpu and gpu. One bundle of CPUs and GPUs, the
    same for all trials, is as good as written there. Raises SpecError when both say something.
    """
    if not inspect.isclass(trainable):
        trainable = wrap_function(trainable)
    plain = PlacementGroupFactory([sweep.resources.bundle])

    def request(config: dict[str, Any]) -> PlacementGroupFactory:
        return trainable.default_resource_request(config) or plain

    requests = {request(config) for config in sweep.samples}
    if problems := sweep.trainable.gpu_problems(max(map(_gpus, requests))):
        raise SpecError(problems)
    if requests == {plain}:
        return sweep.resources, None
    if sweep.resources.bundle != Resources().bundle:
        what = (
            "the trainable says itself what a trial holds (default_resource_request); leave cpu and gpu out"
        )
        raise SpecError([Problem("resources", what)])
    first = next(iter(requests))
    own = {"cpu": first.head_cpus, "gpu": first.bundles[0].get("GPU", 0)}
    try:
        resources = Resources(**{**sweep.resources.model_dump(), **own})
    except SpecError:  # an empty first bundle, say
        return sweep.resources, request
    alike = len(requests) == 1 and first == PlacementGroupFactory([resources.bundle])
    return resources, None if alike else request


def _gpus(request: PlacementGroupFactory) -> float:
    return float(request.required_resources.get("GPU", 0))


def _slots(request: Request, sweep: Sweep) -> int:
    """How many trials can run at once; raises ClusterError when the cluster can never hold one of them."""
    groups = {request(config) for config in sweep.samples}
    nodes = connection.nodes()
    together = connection.total()
    slots = []
    for group in groups:
        whole = {kind: amount for kind, amount in group.required_resources.items() if amount > 0}
        parts = [whole] if group.strategy == "STRICT_PACK" else group.bundles
        growing = all(connection.can_grow_to(part) for part in parts)
        lonely = [part for part in parts if not any(connection.fits(part, node) for node in nodes)]
        if lonely and not growing:
            raise ClusterError(
                f"resources: a trial asks for {_said(lonely[0])} on one node; none has so much"
            )
        slots.append(connection.fits(whole, together))
        if slots[-1] == 0 and not growing:
            raise ClusterError(
                f"resources: a trial asks for {_said(whole)}; the {len(nodes)} nodes together have "
                f"{_said({kind: together.get(kind, 0) for kind in whole})}"
            )
    return max(1, *slots)


def _said(bundle: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {kind}" for kind, amount in bundle.items())


def _wanted(sweep: Sweep, resources: Resources) -> Callable[[], int]:
    """How many workers the sweep can use, asked again and again as nodes come and go."""
    most = min(n for n in (sweep.budget.concurrent, sweep.trials, _MOST_WORKERS) if n is not None)
    if connection.can_grow_to(resources.bundle):
        return lambda: most
    known = {"slots": 0, "at": -_SECONDS_BETWEEN_COUNTS}

    def wanted() -> int:
        if time.monotonic() - known["at"] >= _SECONDS_BETWEEN_COUNTS:
            known.update(slots=connection.capacity(resources), at=time.monotonic())
        return min(most, int(known["slots"]))

    return wanted


def _most_at_once(sweep: Sweep, *, workers: int) -> int | None:
    """How many trials may run at once in all; ``None``: as many as the workers' lanes."""
    if sweep.budget.concurrent is not None:
        return sweep.budget.concurrent
    if sweep.resources.lanes != "auto":
        return None
    # A searcher or scheduler that sees the results of a few trials chooses the next ones better.
    learns = sweep.searcher.learns or sweep.scheduler.compares
    trials = sweep.trials or workers * _MOST_AUTO_LANES
    return max(workers, trials // _AUTO_GENERATIONS if learns else trials)


_MOST_AUTO_LANES = 64
_AUTO_GENERATIONS = 4
_MOST_WORKERS = 10_000
_SECONDS_BETWEEN_COUNTS = 2.0
