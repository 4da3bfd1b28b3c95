"""Workers for trials that say themselves what they hold, through Ray's placement groups.

Each trial that runs has a placement group and a worker process, in the group's first bundle; what the trial
starts itself is placed into the group. A group of one bundle stays when its trial has ended, with the process
in it, for a later trial that asks for the same. One of several bundles goes with its trial: nothing but the
end of the group is sure to end what the trial has started in the other bundles.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import ray
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.exceptions import GetTimeoutError, RayError

from tuner.cluster import connection
from tuner.cluster.fresh import is_fresh
from tuner.cluster.lanes import Lease, WorkerHandle
from tuner.live import WorkerCounts
from tuner.worker.setup import Results, WorkerSetup
from tuner.worker.worker import Worker

# Ray places a group that there is room for within 0.2 s; one that waits for longer may need an idle one's. A
# process takes longer than that to start, so a trial had better wait so long for one that is there.
_SECONDS_TO_WAIT = 0.5

# An idle process that is alive answers in a few milliseconds.
_SECONDS_TO_ANSWER = 2.0


class Processes:
    """Starts and ends the worker processes, one in each placement group."""

    def __init__(self, recipe: WorkerSetup) -> None:
        self._recipe = recipe
        self._by_threads: dict[int, ray.ObjectRef] = {}
        self._shared: Sequence[ray.ObjectRef] = ()
        self._results: Results | None = None
        self._actor = ray.remote(Worker)

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """What all trials will share, if anything, and where they are saved."""
        self._shared, self._results = shared, results

    def start(self, group: AcquiredResources) -> WorkerHandle:
        """A worker in the group's first bundle, with a thread for each whole CPU of it; it gets ready."""
        [actor] = group.annotate_remote_entities([self._actor])
        threads = max(1, int(group.resource_request.head_cpus))
        if threads not in self._by_threads:
            self._by_threads[threads] = ray.put(self._recipe.with_threads(threads))
        worker = WorkerHandle(actor.remote(self._by_threads[threads]))
        worker.get_ready(self._shared, self._results)
        return worker

    def is_ready(self, worker: WorkerHandle) -> bool:
        """Whether it has loaded what trials need, now."""
        try:
            ray.get(worker.awaited, timeout=0)
        except (RayError, GetTimeoutError):
            return False
        return True

    def is_alive(self, worker: WorkerHandle) -> bool:
        """Whether a process without a trial still answers."""
        try:
            ray.get(worker.actor.at_work.remote(), timeout=_SECONDS_TO_ANSWER)
        except (RayError, GetTimeoutError):
            return False
        return True

    def end(self, worker: WorkerHandle) -> None:
        """End a process whatever it does."""
        ray.kill(worker.actor)


class _Place:
    """A placement group that is there, and the process in it."""

    def __init__(self, group: AcquiredResources, worker: WorkerHandle) -> None:
        self.group = group
        self.worker = worker

    @property
    def request(self) -> ResourceRequest:
        return self.group.resource_request


class _PlaceLease(Lease):
    """A place while a trial has it."""

    def __init__(self, place: _Place) -> None:
        super().__init__(place.request, place.worker)
        self.place = place


class _Wait:
    """A request that has no place yet. ``asked``: whether Ray has been asked for a group."""

    def __init__(self, request: ResourceRequest, since: float) -> None:
        self.request = request
        self.since = since
        self.asked = False


class PlacementGroups(ResourceManager):
    """What a ``WorkerPool`` is for trials of one size, for trials that each say what they hold.

    ``most``: how many groups there may be, those that are asked for and those without a trial included.
    ``apart``: each trial has a process of its own. ``total``: the resources of all nodes together, asked
    again and again. ``clock`` gives seconds.
    """

    def __init__(
        self,
        processes: Processes,
        groups: ResourceManager,
        *,
        most: int,
        apart: bool,
        total: Callable[[], Mapping[str, float]] = connection.total,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = processes
        self._groups = groups
        self._most = most
        self._apart = apart
        self._total = total
        self._clock = clock
        self._taken: list[_Place] = []
        self._kept: list[_Place] = []  # idle, and spoken for
        self._idle: list[_Place] = []  # the longest first
        self._waiting: list[_Wait] = []  # the first first

    @property
    def free(self) -> int:
        """How many more trials may be asked for; those that the cluster has no room for wait for it."""
        return self._most - len(self._taken)

    @property
    def is_starting(self) -> bool:
        """Whether a group is asked for and not there yet."""
        return any(wait.asked for wait in self._waiting)

    @property
    def gpus(self) -> float:
        """GPUs that trials hold."""
        return float(sum(place.request.required_resources.get("GPU", 0) for place in self._taken))

    def counts(self) -> WorkerCounts:
        """Count the workers; each has one lane."""
        workers = len(self._taken) + len(self._kept) + len(self._idle)
        return WorkerCounts(
            workers=workers,
            starting=sum(wait.asked for wait in self._waiting),
            busy=len(self._taken),
            trials=len(self._taken),
            lanes=workers,
        )

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """What all trials will share, if anything, and where they are saved."""
        self._processes.share(shared, results)

    def grow(self) -> None:
        """See to those that have waited for long; Ray sees the demand in the groups that it is asked for."""
        for wait in self._waiting:
            if not wait.asked and self._is_late(wait):
                self._ask(wait)
        if self._idle and self._is_first_in_need():
            self._give_back(self._idle.pop(0))
            self._waiting[0].since = self._clock()

    @property
    def awaiting_fresh(self) -> int:
        """Trials that wait for a fresh process and count apart: none, as each trial has a process."""
        return 0

    def keep_apart(self) -> None:
        """Let each trial have a fresh process from now on."""
        self._apart = True
        while self._idle:
            self._give_back(self._idle.pop())

    def suspect(self) -> None:
        """Nothing: each trial has a process to itself while it runs."""

    def request_resources(self, resource_request: ResourceRequest) -> None:
        while (place := _like(resource_request, self._idle)) is not None:
            self._idle.remove(place)
            if self._processes.is_alive(place.worker):
                self._kept.append(place)
                return
            self._give_back(place)
        wait = _Wait(resource_request, self._clock())
        costs_others = self._idle and not self._has_room(resource_request)
        like = _like(resource_request, self._taken) or _like(resource_request, self._waiting)
        self._waiting.append(wait)
        if not (costs_others and like and self._can_stay(resource_request)):
            self._ask(wait)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        if (wait := _like(resource_request, self._waiting)) is not None:
            self._withdraw(wait)
        else:
            place = _like(resource_request, self._kept)
            assert place is not None, f"nobody has asked for {resource_request}"
            self._kept.remove(place)
            self._idle.append(place)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        if _like(resource_request, self._kept) is not None:
            return True
        return bool(self._groups.has_resources_ready(resource_request))

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        place = _like(resource_request, self._kept)
        if place is not None:
            self._kept.remove(place)
        else:
            group = self._groups.acquire_resources(resource_request)
            if group is None:
                return None
            wait = _like(resource_request, [wait for wait in self._waiting if wait.asked])
            assert wait is not None, f"a group that nobody waits for: {resource_request}"
            self._waits_no_more(wait)
            place = _Place(group, self._processes.start(group))
        self._taken.append(place)
        place.worker.served += 1
        return _PlaceLease(place)

    def free_resources(self, acquired_resource: _PlaceLease) -> None:
        place = acquired_resource.place
        if place not in self._taken:
            return
        self._taken.remove(place)
        if not self._is_reusable(acquired_resource):
            self._give_back(place)
        elif self._is_first_in_need() and self._waiting[0].request != place.request:
            self._give_back(place)
            self._waiting[0].since = self._clock()
        elif (wait := _like(place.request, self._waiting)) is not None:
            self._withdraw(wait)
            self._kept.append(place)
        else:
            self._idle.append(place)

    def get_resource_futures(self) -> list[ray.ObjectRef]:
        futures: list[ray.ObjectRef] = self._groups.get_resource_futures()
        return futures

    def update_state(self) -> None:
        self._groups.update_state()

    def kill(self, lease: _PlaceLease) -> None:
        """End the trial's process whatever it does."""
        lease.worker.retired = True
        self._processes.end(lease.worker)

    def clear(self) -> None:
        """Leave no worker and no group behind."""
        for place in (*self._taken, *self._kept, *self._idle):
            self._processes.end(place.worker)
        self._taken, self._kept, self._idle, self._waiting = [], [], [], []
        self._groups.clear()

    def _can_stay(self, request: ResourceRequest) -> bool:
        """Whether a place of this kind may serve more than one trial."""
        lasting = len(request.bundles) == 1 and not request.head_bundle_is_empty
        return lasting and not self._apart and not is_fresh(request)

    def _is_reusable(self, lease: _PlaceLease) -> bool:
        """Whether another trial can have the place of one that has ended."""
        worker = lease.worker
        if not self._can_stay(lease.resource_request) or worker.retired or lease.lane is None:
            return False
        worker.is_ready = worker.is_ready or self._processes.is_ready(worker)
        return worker.is_ready and lease.lane.is_clean()

    def _is_late(self, wait: _Wait) -> bool:
        return self._clock() - wait.since >= _SECONDS_TO_WAIT

    def _is_first_in_need(self) -> bool:
        """Whether Ray finds no place for the first that waits, where an idle group may be in its way."""
        if not self._waiting or not self._waiting[0].asked or not self._is_late(self._waiting[0]):
            return False
        beside = [place.request for place in (*self._taken, *self._kept)]
        return self._fits(self._waiting[0].request, beside=beside)

    def _has_room(self, request: ResourceRequest) -> bool:
        """Whether there may be another group, as far as the sums over all nodes tell."""
        groups = self._all()
        return len(groups) < self._most and self._fits(request, beside=groups)

    def _all(self) -> list[ResourceRequest]:
        """What the groups that are there, and those that Ray has been asked for, hold."""
        there = [place.request for place in (*self._taken, *self._kept, *self._idle)]
        return [*there, *(wait.request for wait in self._waiting if wait.asked)]

    def _fits(self, request: ResourceRequest, *, beside: Iterable[ResourceRequest]) -> bool:
        left = Counter(self._total())
        for other in beside:
            left.subtract(other.required_resources)
        return all(left[kind] >= amount - 1e-6 for kind, amount in request.required_resources.items())

    def _ask(self, wait: _Wait) -> None:
        """Ask Ray for a group, after giving back the idle ones beside which it could have no place."""
        # Ray looks at once for a place for a group, and only now and then for one that has to wait.
        while self._idle and not self._has_room(wait.request):
            self._give_back(self._idle.pop(0))
        if len(self._all()) < self._most:  # else a trial that lost its process asks beside a new one
            self._groups.request_resources(wait.request)
            wait.asked, wait.since = True, self._clock()

    def _withdraw(self, wait: _Wait) -> None:
        if wait.asked:
            self._groups.cancel_resource_request(wait.request)
        self._waits_no_more(wait)

    def _waits_no_more(self, wait: _Wait) -> None:
        was_first = wait is self._waiting[0]
        self._waiting.remove(wait)
        if was_first and self._waiting:  # what came before the next one has not been at its cost
            self._waiting[0].since = self._clock()

    def _give_back(self, place: _Place) -> None:
        self._processes.end(place.worker)
        self._groups.free_resources(place.group)


T = TypeVar("T", _Place, _Wait)


def _like(request: ResourceRequest, those: Sequence[T]) -> T | None:
    """The first of these for the same request."""
    return next((each for each in those if each.request == request), None)
