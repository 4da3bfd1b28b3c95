"""Run trials that request their own resources, in Ray's placement groups.

Each running trial has a placement group. Its worker process is in the first bundle, and tasks that the trial
starts are placed in the group. A group with one bundle, and its process, can be reused by a later trial with
the same request, and so can a gang. Any other group with several bundles ends with its trial: only its
removal is sure to end what the trial started in the other bundles.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import TypeVar

import ray
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest

from tuner.cluster import connection
from tuner.cluster.fresh import is_fresh
from tuner.cluster.gangs import size_of_gang
from tuner.cluster.lanes import Lease, WorkerHandle
from tuner.cluster.processes import Processes
from tuner.live import WorkerCounts
from tuner.worker.setup import Results

# Ray places a group within 0.2 s if there is room. A group that waits longer may need the resources of an
# idle group. A new process takes longer to start, so a trial first waits this long for an existing one.
_SECONDS_TO_WAIT = 0.5

_SHARE_OF_A_RUN = 0.5
"""After this share of a usual run, resources that become free are kept for the trial that waits longest."""

_RUNS = 50  # the number of last runs whose median is the usual one

_SECONDS_TO_PLACE = 10.0
"""If nothing runs and Ray has not placed a group after this time, the next trial's turn comes first."""

_IN_QUEUE = 2
"""Trials that may wait although there is no room for them: one for the next room, one to fill a gap."""


class _Place:
    """A placement group and the worker in it."""

    def __init__(self, group: AcquiredResources, worker: WorkerHandle) -> None:
        self.group = group
        self.worker = worker
        self.taken_at = 0.0

    @property
    def request(self) -> ResourceRequest:
        return self.group.resource_request


class _PlaceLease(Lease):
    """A place in use by a trial."""

    def __init__(self, place: _Place) -> None:
        super().__init__(place.request, place.worker)
        self.place = place


class _Wait:
    """A request without a place."""

    def __init__(self, request: ResourceRequest, since: float) -> None:
        self.request = request
        self.created = since
        self.since = since  # when it became the oldest one, or Ray was asked
        self.asked = False  # whether Ray was asked for a group
        self.held = False  # whether an older request must come first


class PlacementGroups(ResourceManager):
    """The counterpart of ``WorkerPool`` for trials that request their own resources.

    Args:
        processes: Starts and ends the workers.
        groups: Ray's manager of placement groups.
        most: The most groups at once, including requested and idle ones.
        apart: Whether each trial gets a new process.
        total: Returns the current resources of all nodes together.
        is_reachable: Returns whether Ray's server still answers.
        clock: Returns seconds.
    """

    def __init__(
        self,
        processes: Processes,
        groups: ResourceManager,
        *,
        most: int,
        apart: bool,
        total: Callable[[], Mapping[str, float]] = connection.total,
        is_reachable: Callable[[], bool] = connection.is_reachable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_reachable = is_reachable
        self._processes = processes
        self._groups = groups
        self._most = most
        self._apart = apart
        self._total = total
        self._clock = clock
        self._taken: list[_Place] = []
        self._kept: list[_Place] = []  # idle, but reserved for a request
        self._idle: list[_Place] = []  # longest idle first
        self._waiting: list[_Wait] = []  # oldest first
        self._released_at = -math.inf  # when an idle group was last released for the trial that waits longest
        self._runs: deque[float] = deque(maxlen=_RUNS)  # how long the last trials held their groups

    @property
    def free(self) -> int:
        """The number of trials that may be added, including those that wait already."""
        in_use = [place.request for place in (*self._taken, *self._kept)]
        fitting = 0
        for wait in self._waiting:
            if self._fits(wait.request, others=in_use):
                in_use.append(wait.request)
                fitting += 1
        return min(self._most - len(self._taken), len(self._kept) + fitting + _IN_QUEUE)

    @property
    def is_starting(self) -> bool:
        """Whether a requested group does not exist yet."""
        return any(wait.asked for wait in self._waiting)

    @property
    def gpus(self) -> float:
        """The number of GPUs that trials hold."""
        return float(sum(place.request.required_resources.get("GPU", 0) for place in self._taken))

    def counts(self) -> WorkerCounts:
        """Count the workers; each has one lane."""
        places = [*self._taken, *self._kept, *self._idle]
        workers, sizes = len(places), [size_of_gang(place.request) for place in places]
        return WorkerCounts(
            workers=workers,
            starting=sum(wait.asked for wait in self._waiting),
            busy=len(self._taken),
            trials=len(self._taken),
            lanes=workers,
            processes=sum(size or 1 for size in sizes) if any(sizes) else None,
        )

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Set the data that trials share, and their results folder."""
        self._processes.share(shared, results)

    def grow(self) -> None:
        """Ask Ray for groups for overdue requests, and release an idle group if it blocks the oldest one.

        If the oldest request has waited too long, keep all resources that become free for it.
        """
        if self._is_reserving():
            self._hold_back_others()
            return
        for wait in self._waiting:
            if not wait.asked and self._is_late(wait):
                self._ask_for_group(wait)
        if self._idle and self._is_first_in_need():
            self._give_back(self._idle.pop(0))
            self._waiting[0].since = self._clock()

    @property
    def awaiting_fresh(self) -> int:
        """Always 0, since a request for a new process is an ordinary request here."""
        return 0

    def keep_apart(self) -> None:
        """Give each trial a new process from now on."""
        self._apart = True
        while self._idle:
            self._give_back(self._idle.pop())

    def suspect(self) -> None:
        """Do nothing, since a trial never shares its process while it runs."""

    def request_resources(self, resource_request: ResourceRequest) -> None:
        if self._is_reserving():
            wait = _Wait(resource_request, self._clock())
            wait.held = True
            self._waiting.append(wait)
            return
        while (place := _find_like(resource_request, self._idle)) is not None:
            self._idle.remove(place)
            if self._processes.is_alive(place.worker):
                self._kept.append(place)
                return
            self._give_back(place)
        wait = _Wait(resource_request, self._clock())
        costs_others = self._idle and not self._has_room(resource_request)
        like = _find_like(resource_request, self._taken) or _find_like(resource_request, self._waiting)
        self._waiting.append(wait)
        if not (costs_others and like and self._can_stay(resource_request)):
            self._ask_for_group(wait)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        if (wait := _find_like(resource_request, self._waiting)) is not None:
            self._withdraw(wait)
        else:
            place = _find_like(resource_request, self._kept)
            assert place is not None, f"no request for {resource_request}"
            self._kept.remove(place)
            self._idle.append(place)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        if _find_like(resource_request, self._kept) is not None:
            return True
        return bool(self._groups.has_resources_ready(resource_request))

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        place = _find_like(resource_request, self._kept)
        if place is not None:
            self._kept.remove(place)
        else:
            group = self._groups.acquire_resources(resource_request)
            if group is None:
                return None
            wait = _find_like(resource_request, [wait for wait in self._waiting if wait.asked])
            assert wait is not None, f"no trial waits for this group: {resource_request}"
            self._remove_wait(wait)
            place = _Place(group, self._processes.start(group))
        self._taken.append(place)
        place.taken_at = self._clock()
        place.worker.trials_so_far += 1
        return _PlaceLease(place)

    def free_resources(self, acquired_resource: _PlaceLease) -> None:
        place = acquired_resource.place
        if place not in self._taken:
            return
        self._taken.remove(place)
        self._runs.append(self._clock() - place.taken_at)
        if not self._is_reusable(acquired_resource):
            self._give_back(place)
        elif self._is_reserving() and self._waiting[0].request != place.request:
            self._idle.append(place)  # until there is enough for the trial that waits longest
            self._hold_back_others()
        elif self._is_first_in_need() and self._waiting[0].request != place.request:
            self._give_back(place)
            self._waiting[0].since = self._clock()
        elif (wait := _find_like(place.request, self._waiting)) is not None:
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
        """Kill the trial's worker, even if it is busy."""
        lease.worker.is_retired = True
        self._processes.end(lease.worker)

    def clear(self) -> None:
        """Kill all workers and remove all groups."""
        for place in (*self._taken, *self._kept, *self._idle):
            self._processes.end(place.worker)
        self._taken, self._kept, self._idle, self._waiting = [], [], [], []
        if self._is_reachable():  # else Ray would block this process for a minute and then end it
            self._groups.clear()

    def _can_stay(self, request: ResourceRequest) -> bool:
        """Return whether several trials may use a place of this kind, one after another."""
        is_whole = len(request.bundles) == 1 or size_of_gang(request) is not None
        is_reusable = is_whole and not request.head_bundle_is_empty
        return is_reusable and not self._apart and not is_fresh(request)

    def _is_reusable(self, lease: _PlaceLease) -> bool:
        """Return whether another trial can use the place of an ended trial."""
        worker = lease.worker
        if not self._can_stay(lease.resource_request) or worker.is_retired or lease.lane is None:
            return False
        worker.is_ready = worker.is_ready or self._processes.is_ready(worker)
        return worker.is_ready and lease.lane.is_clean()

    def _is_late(self, wait: _Wait) -> bool:
        return self._clock() - wait.since >= _SECONDS_TO_WAIT

    def _is_reserving(self) -> bool:
        """Return whether the oldest request has waited so long that others must not precede it."""
        if not self._waiting or not self._waiting[0].asked:
            return False
        first = self._waiting[0]
        patience = max(_SECONDS_TO_WAIT, _SHARE_OF_A_RUN * median(self._runs)) if self._runs else math.inf
        return self._clock() - first.created >= patience and self._fits(first.request, others=())

    def _hold_back_others(self) -> None:
        """Withdraw later requests from Ray, and release idle groups.

        If nothing runs and Ray cannot place even so, no machine has room at present. Then others come first.
        """
        for wait in self._waiting[1:]:
            if wait.asked and not self._groups.has_resources_ready(wait.request):
                self._groups.cancel_resource_request(wait.request)
                wait.asked, wait.held = False, True
        first = self._waiting[0]
        in_use = [place.request for place in (*self._taken, *self._kept)]
        if self._fits(first.request, others=in_use):
            while self._idle and self._must_release(first.request, in_use):
                self._give_back(self._idle.pop(0))
                self._released_at = self._clock()
        if not self._taken and self._clock() - first.since >= _SECONDS_TO_PLACE:
            self._remove_wait(first)
            self._waiting.append(first)
            first.since = first.created = self._clock()

    def _must_release(self, request: ResourceRequest, in_use: Sequence[ResourceRequest]) -> bool:
        """Return whether an idle group blocks the request, by the totals or since Ray has not placed it."""
        idle = [place.request for place in self._idle]
        waited = self._clock() - self._released_at
        return not self._fits(request, others=[*in_use, *idle]) or waited >= _SECONDS_TO_WAIT

    def _is_first_in_need(self) -> bool:
        """Return whether the oldest request waits too long and an idle group may block it."""
        if not self._waiting or not self._waiting[0].asked or not self._is_late(self._waiting[0]):
            return False
        in_use = [place.request for place in (*self._taken, *self._kept)]
        return self._fits(self._waiting[0].request, others=in_use)

    def _has_room(self, request: ResourceRequest) -> bool:
        """Return whether another group can exist, judged by the total resources of all nodes."""
        groups = self._all()
        return len(groups) < self._most and self._fits(request, others=groups)

    def _all(self) -> list[ResourceRequest]:
        """Return the requests of all existing and requested groups."""
        existing = [place.request for place in (*self._taken, *self._kept, *self._idle)]
        return [*existing, *(wait.request for wait in self._waiting if wait.asked)]

    def _fits(self, request: ResourceRequest, *, others: Iterable[ResourceRequest]) -> bool:
        left = Counter(self._total())
        for other in others:
            left.subtract(other.required_resources)
        return all(left[kind] >= amount - 1e-6 for kind, amount in request.required_resources.items())

    def _ask_for_group(self, wait: _Wait) -> None:
        """Ask Ray for a group, after releasing the idle groups that would block it."""
        # Release them first: Ray tries to place a new group immediately, but retries a waiting one rarely.
        while self._idle and not self._has_room(wait.request):
            self._give_back(self._idle.pop(0))
        if len(self._all()) < self._most:  # a trial that lost its process may request more than ``most``
            self._groups.request_resources(wait.request)
            wait.asked, wait.since = True, self._clock()

    def _withdraw(self, wait: _Wait) -> None:
        if wait.asked:
            self._groups.cancel_resource_request(wait.request)
        self._remove_wait(wait)

    def _remove_wait(self, wait: _Wait) -> None:
        was_first = wait is self._waiting[0]
        self._waiting.remove(wait)
        if was_first and self._waiting:  # the time in which it was not first does not count as waiting
            self._waiting[0].since = self._clock()
        for held in [each for each in self._waiting if each.held]:  # before newer ones can ask
            if self._is_reserving():
                break
            held.held = False
            self._ask_for_group(held)

    def _give_back(self, place: _Place) -> None:
        self._processes.end(place.worker)
        self._groups.free_resources(place.group)


T = TypeVar("T", _Place, _Wait)


def _find_like(request: ResourceRequest, candidates: Sequence[T]) -> T | None:
    """Return the first candidate with the same request."""
    return next((each for each in candidates if each.request == request), None)
