"""The driver's side of workers: ``Pool``, ``WorkerHandle``, and ``Lane``, a trial's place in a worker."""

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


class _Method:
    def __init__(self, lane: Lane, name: str) -> None:
        self._lane = lane
        self._name = name

    def remote(self, *arguments: Any, **options: Any) -> Any:
        if self._name == "get_auto_filled_metrics":
            return {}  # Tune asks every new actor for what it shows of a trial without results; nobody looks
        assert not options, f"Tune calls {self._name} with options that a lane does not pass on: {options}"
        return self._lane.call(self._name, arguments)


class Lane:
    """What Tune's controller holds for an actor: one trial's place in a worker.

    The trial is made with ``arguments`` when it is first called for.
    """

    def __init__(self, worker: WorkerHandle, arguments: dict[str, Any]) -> None:
        self._worker = worker
        self.number = next(_LANE_NUMBERS)
        self._arguments: dict[str, Any] | None = arguments
        self._closing = False
        self._last: ray.ObjectRef | None = None

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, arguments: Sequence[Any]) -> ray.ObjectRef:
        actor = self._worker.actor
        made_with, self._arguments = self._arguments, None
        if name in ("stop", "__ray_terminate__"):
            self._closing = True
            self._last = actor.close.remote(self.number)
        elif name == "train":
            self._last = actor.train.remote(self.number, *arguments, made_with)
        else:
            self._last = actor.call.remote(self.number, name, arguments, made_with)
        return self._last

    def is_clean(self) -> bool:
        """Whether the worker can take another trial; asked when nothing runs in the lane any more."""
        return self.condition is None or self.condition.fit

    @cached_property
    def condition(self) -> WorkerHealth | None:
        """What is to be said of the worker, if anything; asked as ``is_clean`` is."""
        if self._last is None:
            return None
        try:
            answer = ray.get(self._last, timeout=0)
        except RayTaskError:
            # The trial's own error; an error in closing is another matter.
            return WorkerHealth(fit=False) if self._closing else None
        except (RayError, GetTimeoutError):
            return WorkerHealth(fit=False)
        return answer if isinstance(answer, WorkerHealth) else None


class WorkerHandle:
    """The driver's side of a worker: what it waits for before it is ready, and how many trials it has."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.is_ready = False
        self.trials = 0
        self.served = 0  # trials that it has had, those at present included
        self.retired = False
        self.doubtful = False  # no other trial until it has ended those that it has
        self.alone = False  # its trial is to have no company
        self.most: int | None = None  # trials at once, if its device's memory has turned out not to hold more

    def get_ready(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Let it get ready for trials, which share this object, if any, and save to these results."""
        self._results = results
        self._place: ray.ObjectRef = self.actor.ready.remote(shared, results)
        self.awaited = self._place

    def where(self) -> str:
        """The address of its machine; only asked of a worker that is ready."""
        place: Place = ray.get(self._place)
        return place.node

    def check(self) -> None:
        """Raise ClusterError if trials cannot be run or saved where it is; it must be ready."""
        place: Place = ray.get(self._place)
        if not place.sees_results and self._results is not None:
            what = f"the node {place.host} ({place.node}) does not see the results folder"
            remedy = "all nodes must: choose one on a disk that they share (--out)"
            raise ClusterError(f"{self._results.folder}: {what}; {remedy}")
        own = versions()
        differing = [
            f"{name} {place.versions.get(name, 'missing')} instead of {own[name]}"
            for name in own
            if place.versions.get(name) != own[name]
        ]
        if differing:
            raise ClusterError(f"the node {place.host} ({place.node}) has {', '.join(differing)}")


class Lease(AcquiredResources):
    """What a trial holds while it runs: a place in a worker."""

    def __init__(self, request: ResourceRequest, worker: WorkerHandle) -> None:
        super().__init__(resource_request=request)
        self.worker = worker
        self.lane: Lane | None = None

    def open(self, arguments: dict[str, Any]) -> Lane:
        """Return the lane for the trial that is made with these arguments."""
        self.lane = Lane(self.worker, arguments)
        return self.lane


class Pool(Protocol):
    """Workers and the places in them: ``WorkerPool``, or ``PlacementGroups`` where trials differ in size.

    Both are Ray Tune's ``ResourceManager`` too.
    """

    @property
    def free(self) -> int:
        """How many trials could start at once, now."""

    @property
    def awaiting_fresh(self) -> int:
        """How many trials wait for a process that has had none."""

    @property
    def is_starting(self) -> bool:
        """Whether a worker is asked for and not ready yet."""

    @property
    def gpus(self) -> float:
        """GPUs that trials hold."""

    def counts(self) -> WorkerCounts:
        """Count the workers, and their lanes in use."""

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Give the workers what all trials share, if anything, and where they are saved."""

    def grow(self) -> None:
        """Start the workers that are wanted and not there."""

    def keep_apart(self) -> None:
        """Let each trial have a fresh process from now on."""

    def suspect(self) -> None:
        """Let one more of the trials that come next have a worker to itself."""

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        """Whether a trial of this request could start now."""

    def acquire_resources(self, resource_request: ResourceRequest) -> Any:
        """Return a ``Lease`` for a trial of this request; ``None``: there is no place."""

    def kill(self, lease: Any) -> None:
        """End a trial's worker whatever it does, and start another in its place."""

    def clear(self) -> None:
        """Leave no worker behind."""
