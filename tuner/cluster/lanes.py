"""Handles of workers in the driver: ``Pool``, ``WorkerHandle`` and ``Lane``, a trial's place in a worker."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

import ray
from ray.air.execution.resources import AcquiredResources, ResourceRequest
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from tuner.errors import ClusterError
from tuner.live import WorkerCounts
from tuner.worker.memory import WorkerHealth
from tuner.worker.setup import Place, Results, versions

_LANE_NUMBERS = itertools.count()
_WORKER_NUMBERS = itertools.count()


class _Method:
    """A method of a lane, which Ray Tune calls like the method of an actor."""

    def __init__(self, lane: Lane, name: str) -> None:
        self._lane = lane
        self._name = name

    def remote(self, *arguments: Any, **options: Any) -> Any:
        if self._name == "get_auto_filled_metrics":
            return {}  # Ray Tune asks every new actor for metrics to display, which we do not use
        assert not options, f"Ray Tune calls {self._name} with unsupported options: {options}"
        return self._lane.call(self._name, arguments)


class Lane:
    """One trial's place in a worker. Ray Tune's controller uses it as an actor.

    The first call creates the trial with ``arguments``.
    """

    def __init__(self, worker: WorkerHandle, arguments: dict[str, Any]) -> None:
        self._worker = worker
        self.number = next(_LANE_NUMBERS)
        self._arguments: dict[str, Any] | None = arguments
        self._is_closing = False
        self._last: ray.ObjectRef | None = None

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, arguments: Sequence[Any]) -> ray.ObjectRef:
        actor = self._worker.actor
        made_with, self._arguments = self._arguments, None
        if name in ("stop", "__ray_terminate__"):
            self._is_closing = True
            self._last = actor.close.remote(self.number)
        elif name == "train":
            self._last = actor.train.remote(self.number, *arguments, made_with)
        else:
            self._last = actor.call.remote(self.number, name, arguments, made_with)
        return self._last

    @property
    def closing(self) -> ray.ObjectRef | None:
        """The worker's answer to the call that ends the trial; ``None`` if there was no such call."""
        return self._last if self._is_closing else None

    def is_clean(self) -> bool:
        """Return whether the worker can take another trial. Call it when the lane is idle."""
        return self.condition is None or self.condition.fit

    @cached_property
    def condition(self) -> WorkerHealth | None:
        """The worker's report of its health, if there is one. Read it when the lane is idle."""
        if self._last is None:
            return None
        try:
            answer = ray.get(self._last, timeout=0)
        except RayTaskError:
            # An error of the trial does not affect the worker, unless it occurred while the trial was closed.
            return WorkerHealth(fit=False) if self._is_closing else None
        except (RayError, GetTimeoutError):
            return WorkerHealth(fit=False)
        return answer if isinstance(answer, WorkerHealth) else None


class WorkerHandle:
    """A worker as the driver sees it."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.number = next(_WORKER_NUMBERS)
        self.is_ready = False
        self.trials = 0  # open now
        self.trials_so_far = 0  # including open ones
        self.is_retired = False  # takes no more trials
        self.is_doubtful = False  # may leak: takes no more trials until its open ones have ended
        self.is_alone = False  # its trial must not share the worker
        self.max_trials: int | None = None  # trials that fit into its device's memory, once that is known

    def get_ready(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Prepare the worker for trials that use ``shared`` data and save to ``results``."""
        self._results = results
        self._place: ray.ObjectRef = self.actor.ready.remote(shared, results)
        self.awaited = self._place  # what the worker must answer before it is ready

    @property
    def actors(self) -> list[Any]:
        """The actors of all processes of the worker."""
        return [self.actor]

    def is_alive(self, *, seconds: float) -> bool:
        """Return whether all processes of an idle worker answer within ``seconds``."""
        try:
            ray.get([actor.at_work.remote() for actor in self.actors], timeout=seconds)
        except (RayError, GetTimeoutError):
            return False
        return True

    def end(self) -> None:
        """Kill the worker, even if it is busy."""
        for actor in self.actors:
            ray.kill(actor)

    def where(self) -> str:
        """Return the address of the worker's machine. The worker must be ready."""
        place: Place = ray.get(self._place)
        return place.node

    def ranks(self) -> list[dict[str, Any]]:
        """Return the machine and the GPUs of each rank of a gang; nothing for another worker."""
        return []

    def check(self) -> None:
        """Raise ClusterError if a machine cannot run or save trials. The worker must be ready."""
        place: Place = ray.get(self._place)
        for each in (place, *place.members):
            self._check(each)

    def _check(self, place: Place) -> None:
        if not place.sees_results and self._results is not None:
            what = f"node {place.host} ({place.node}) does not see the results folder"
            remedy = "choose a folder on a disk that all nodes share (--out)"
            raise ClusterError(f"{self._results.folder}: {what}; {remedy}")
        expected = versions()
        differing = [
            f"{name} {place.versions.get(name, 'missing')} instead of {expected[name]}"
            for name in expected
            if place.versions.get(name) != expected[name]
        ]
        if differing:
            what = f"node {place.host} ({place.node}) has {', '.join(differing)}"
            raise ClusterError(f"{what}; install the same versions on all nodes")


def cannot_start(attempts: int, error: BaseException) -> ClusterError:
    """Return the error that ends a sweep because so many workers have died before they were ready."""
    what = f"{attempts} workers in a row died before they were ready"
    return ClusterError(f"{what}: {str(error).splitlines()[0].rstrip('.')}")


class Lease(AcquiredResources):
    """A place in a worker that a running trial holds."""

    def __init__(self, request: ResourceRequest, worker: WorkerHandle) -> None:
        super().__init__(resource_request=request)
        self.worker = worker
        self.lane: Lane | None = None

    def open(self, arguments: dict[str, Any]) -> Lane:
        """Return a lane for a trial that is created with these arguments."""
        self.lane = Lane(self.worker, arguments)
        return self.lane


class Pool(Protocol):
    """The workers of a sweep and the places in them.

    It is a ``WorkerPool``, or ``PlacementGroups`` if trials request their own resources. Both are also Ray
    Tune ``ResourceManager`` classes.
    """

    @property
    def free(self) -> int:
        """The number of trials that can start now."""

    @property
    def awaiting_fresh(self) -> int:
        """The number of trials that wait for a new process."""

    @property
    def is_starting(self) -> bool:
        """Whether a requested worker is not ready yet."""

    @property
    def gpus(self) -> float:
        """The number of GPUs that trials hold."""

    def counts(self) -> WorkerCounts:
        """Count the workers, and their lanes in use."""

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Give the workers the data that trials share, if any, and the results folder."""

    def grow(self) -> None:
        """Start missing workers."""

    def keep_apart(self) -> None:
        """Give each trial a new process from now on."""

    def suspect(self) -> None:
        """Give one more of the next trials a worker for itself."""

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Return whether a trial with this request can start now."""

    def acquire_resources(self, resource_request: ResourceRequest) -> Any:
        """Return a ``Lease`` for a trial with this request; ``None`` if there is no place."""

    def kill(self, lease: Any) -> None:
        """Kill a trial's worker, even if it is busy, and start a replacement."""

    def clear(self) -> None:
        """Kill all workers."""
