"""Warm workers: long-lived processes that run one trial after another, in lanes several at once.

Ray Tune starts a process and a placement group per trial. Here Tune's controller is given a manager of
actors whose resources are places in workers: what it takes for a new actor is a ``Lane`` of a process that is
there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import ray
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from tuner.cluster.fresh import is_fresh
from tuner.cluster.log import log
from tuner.errors import ClusterError
from tuner.objective import Resources
from tuner.ray_internals import RayActorManager, TrackedActor, TrackedActorTask
from tuner.worker.memory import Condition, Leak
from tuner.worker.process import DeviceFull
from tuner.worker.recipe import Place, Recipe, Results, versions
from tuner.worker.worker import Worker

# A worker that dies before it ever was ready is started again so often; then the sweep is given up.
_START_ATTEMPTS = 3

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

    def __init__(self, worker: Handle, arguments: dict[str, Any]) -> None:
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
    def condition(self) -> Condition | None:
        """What is to be said of the worker, if anything; asked as ``is_clean`` is."""
        if self._last is None:
            return None
        try:
            answer = ray.get(self._last, timeout=0)
        except RayTaskError:
            # The trial's own error; an error in closing is another matter.
            return Condition(fit=False) if self._closing else None
        except (RayError, GetTimeoutError):
            return Condition(fit=False)
        return answer if isinstance(answer, Condition) else None


class Handle:
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


class _Lease(AcquiredResources):
    def __init__(self, request: ResourceRequest, worker: Handle) -> None:
        super().__init__(resource_request=request)
        self.worker = worker
        self.lane: Lane | None = None

    def open(self, arguments: dict[str, Any]) -> Lane:
        """A place for the trial that is made with these arguments."""
        self.lane = Lane(self.worker, arguments)
        return self.lane


class WorkerPool(ResourceManager):
    """The workers of a sweep, asked of Ray so that an autoscaler sees the demand.

    They start at once, and are ready for trials some time after ``share``. ``wanted``: how many processes,
    asked again and again. ``most``: trials at once in all workers (``None``: no limit). ``samples``:
    configurations for which the best number of lanes is measured, where ``resources.lanes`` is auto.
    """

    def __init__(
        self,
        recipe: Recipe,
        resources: Resources,
        *,
        wanted: Callable[[], int],
        most: int | None,
        samples: Sequence[dict[str, Any]],
    ) -> None:
        self._recipe = ray.put(recipe)
        self._shared: Sequence[ray.ObjectRef] | None = None
        self._results: Results | None = None
        self._resources = resources
        # Made once: Ray takes 40 ms to look through a class.
        self._actor = ray.remote(Worker).options(
            num_cpus=resources.cpu, num_gpus=resources.gpu, max_restarts=0
        )
        self._wanted = wanted
        self._most = most
        self._samples = samples
        self._measuring: Handle | None = None
        self._apart = resources.isolation == "process"
        self.lanes = 1 if self._apart else None if resources.lanes == "auto" else int(resources.lanes)
        self._starting: list[Handle] = []
        self._ready: list[Handle] = []
        self._failed_starts = 0
        self._suspects = 0
        self.awaiting_fresh = 0  # trials that wait for a fresh process
        self.grow()

    def keep_apart(self) -> None:
        """Let each trial have a fresh process from now on."""
        self._apart, self.lanes = True, 1
        for worker in [worker for worker in self._ready if worker.served]:
            worker.retired = True
            if worker.trials == 0:
                self._replace(worker, "each trial has a fresh process from now on")

    @property
    def free(self) -> int:
        """How many trials could start at once, now, in whatever process."""
        running = sum(worker.trials for worker in self._ready)
        places = sum(self._places(worker) for worker in self._ready)
        return places if self._most is None else min(places, self._most - running)

    @property
    def is_starting(self) -> bool:
        """Whether a process is asked for and not ready yet."""
        return bool(self._starting)

    @property
    def gpus(self) -> float:
        """GPUs that trials hold."""
        return self._resources.gpu * sum(worker.trials > 0 for worker in self._ready)

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Give the workers what all trials share, if anything, and where they are saved."""
        self._shared, self._results = shared, results
        for worker in self._starting:
            worker.get_ready(shared, results)

    def grow(self) -> None:
        """Start the workers that are wanted and not there."""
        for _ in range(self._wanted() - len(self._starting) - len(self._ready)):
            worker = Handle(self._actor.remote(self._recipe))
            self._starting.append(worker)
            if self._shared is not None:
                worker.get_ready(self._shared, self._results)
        self._refresh()

    def _refresh(self) -> None:
        """End as many used workers as there must be fresh ones, those without trials first."""
        coming = len(self._unused) + len(self._starting) + sum(worker.retired for worker in self._ready)
        used = [worker for worker in self._ready if worker.served and not worker.retired]
        for worker in sorted(used, key=lambda worker: worker.trials)[: max(0, self.awaiting_fresh - coming)]:
            worker.retired = True
            if worker.trials == 0:
                self._replace(worker, "a trial needs a fresh process")

    @property
    def _unused(self) -> list[Handle]:
        return [worker for worker in self._ready if worker.served == 0]

    def suspect(self) -> None:
        """Let one more of the trials that come next have a worker to itself: it may kill its process."""
        self._suspects += 1

    def request_resources(self, resource_request: ResourceRequest) -> None:
        self.awaiting_fresh += is_fresh(resource_request)

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        self.awaiting_fresh -= is_fresh(resource_request)

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        return bool(self._unused) if is_fresh(resource_request) else self.free > 0

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        if not self.has_resources_ready(resource_request):
            return None
        fresh = is_fresh(resource_request)
        worker = self._unused[0] if fresh else max(self._ready, key=self._places)
        worker.trials += 1
        worker.served += 1
        if fresh:
            self.awaiting_fresh -= 1
            worker.alone = True
        elif self._suspects > 0:
            self._suspects -= 1
            worker.alone = True
        return _Lease(resource_request, worker)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        worker, lane = acquired_resource.worker, acquired_resource.lane
        if worker not in self._ready:
            return
        worker.trials -= 1
        worker.alone = False
        if self._apart or (lane is not None and not lane.is_clean()):
            worker.retired = True
        # Without any trial it has been judged, though its answers may come in another order.
        worker.doubtful = lane is not None and lane.condition is not None and worker.trials > 0
        if worker.retired and worker.trials == 0:
            why = "each trial has its own" if self._apart else "its process died or is not as it was"
            self._replace(worker, why)

    def kill(self, lease: _Lease) -> None:
        """End a worker whatever it does, and start another in its place."""
        if lease.worker in self._ready:
            self._replace(lease.worker, "it died, or a trial had to be ended")

    def get_resource_futures(self) -> list[ray.ObjectRef]:
        return [worker.awaited for worker in self._starting]

    def update_state(self) -> None:
        """Take in the workers that have become ready. Raises ClusterError when they cannot be started."""
        futures = self.get_resource_futures()
        done, _ = ray.wait(futures, num_returns=len(futures), timeout=0) if futures else ([], [])
        for worker in [worker for worker in self._starting if worker.awaited in done]:
            self._starting.remove(worker)
            try:
                answer = ray.get(worker.awaited)
            except RayTaskError as error:
                doing = "measure lanes" if worker is self._measuring else "load the trainable"
                raise ClusterError(f"a worker cannot {doing}: {str(error.cause).splitlines()[-1]}") from error
            except RayError as error:
                self._measuring = None if worker is self._measuring else self._measuring
                self._failed_starts += 1
                if self._failed_starts >= _START_ATTEMPTS:
                    what = f"{_START_ATTEMPTS} workers in a row died before they were ready"
                    raise ClusterError(f"{what}: {str(error).splitlines()[0].rstrip('.')}") from error
                self.grow()
            else:
                self._failed_starts = 0
                worker.check()
                self._admit(worker, answer)

    def clear(self) -> None:
        """Leave no worker behind."""
        for worker in (*self._starting, *self._ready):
            ray.kill(worker.actor)
        self._starting, self._ready = [], []

    def _admit(self, worker: Handle, answer: Any) -> None:
        """A worker is ready, or has measured how many lanes are best; the first one does."""
        if worker is self._measuring:
            # What it dies of will show itself in the trials, each for itself.
            lanes, why = answer
            self.lanes, self._measuring = max(1, int(lanes)), None
            log.info("lanes of a worker: %d%s", self.lanes, "" if why is None else f" ({why})")
            if lanes == 0:
                ray.kill(worker.actor)
                self.grow()
                return
        if self.lanes is None and self._measuring is None:
            self._measuring = worker
            workers = max(1, self._wanted())
            most = _MOST_LANES if self._most is None else -(-self._most // workers)
            worker.awaited = worker.actor.lanes.remote(self._samples, min(most, _MOST_LANES))
            self._starting.append(worker)
        else:
            worker.is_ready = True
            log.info("a worker is ready on %s", worker.where())
            self._ready.append(worker)

    def _places(self, worker: Handle) -> int:
        if worker.retired or worker.doubtful or worker.alone:
            return 0
        if self.awaiting_fresh and worker in self._unused[: self.awaiting_fresh]:
            return 0
        lanes = 1 if self._suspects > 0 else self.lanes or 1
        return max(0, min(lanes, worker.most or lanes) - worker.trials)

    def _replace(self, worker: Handle, why: str) -> None:
        log.info("a worker is replaced: %s", why)
        self._ready.remove(worker)
        ray.kill(worker.actor)
        self.grow()


# Beyond, one process has its hands full with the bookkeeping of its trials.
_MOST_LANES = 256


class LaneManager(RayActorManager):
    """Tune's manager of actors, taught that an actor may be a lane, and that a worker may die of memory.

    ``on_leak`` is told what trials have left behind in a worker, and on which machine.
    """

    def __init__(self, pool: Any, *, on_leak: Callable[[Leak, str], None]) -> None:
        super().__init__(resource_manager=pool)
        self._pool = pool
        self._on_leak = on_leak

    def _try_start_actors(self, max_actors: int | None = None) -> int:
        """Give waiting trials their places; what is in a worker that is ready has started."""
        started: list[TrackedActor] = []
        for request, waiting in list(self._resource_request_to_pending_actors.items()):
            while waiting and self._pool.has_resources_ready(request):
                tracked = waiting.pop(0)
                _, arguments, _ = self._pending_actors_to_attrs.pop(tracked)
                lease = self._pool.acquire_resources(request)
                self._live_actors_to_ray_actors_resources[tracked] = lease.open(arguments), lease
                started.append(tracked)
            if not waiting and is_fresh(request):  # never asked for again
                del self._resource_request_to_pending_actors[request]
        for tracked in started:
            _, lease = self._live_actors_to_ray_actors_resources[tracked]
            if lease.worker.is_ready:
                tracked._on_start(tracked)
            else:
                self._await(tracked, lease.worker)
        return len(started)

    def _await(self, tracked: TrackedActor, worker: Handle) -> None:
        self._tracked_actors_to_state_futures[tracked].add(worker.awaited)
        self._actor_state_events.track_future(
            future=worker.awaited,
            on_result=lambda _: self._start(tracked, worker),
            on_error=lambda error: self._actor_start_failed(tracked, error),
        )

    def _start(self, tracked: TrackedActor, worker: Handle) -> None:
        worker.check()
        self._actor_start_resolved(tracked, worker.awaited)

    def _actor_task_failed(self, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if (lanes := lanes_held(exception)) is not None:
            _, lease = self._live_actors_to_ray_actors_resources[tracked_actor_task._tracked_actor]
            lease.worker.most = min(lanes, lease.worker.most or lanes)
        if isinstance(exception, OutOfMemoryError):
            # Ray 2.60 knows only actor and task errors here and would abort the whole sweep.
            exception = RayActorError(error_msg=f"the worker was killed for memory: {exception}")
        if isinstance(exception, (RayActorError, RayTaskError)) or tracked_actor_task._on_error is None:
            super()._actor_task_failed(tracked_actor_task, exception)
        else:  # an answer that cannot be read, say; Ray would abort the whole sweep here too
            tracked_actor_task._on_error(tracked_actor_task._tracked_actor, exception)

    def _try_kill_actor(self) -> bool:
        if not self._live_actors_to_kill:
            return False
        tracked_actor: TrackedActor = self._live_actors_to_kill.pop()
        _, lease = self._live_actors_to_ray_actors_resources[tracked_actor]
        self._pool.kill(lease)
        self._cleanup_actor_futures(tracked_actor)
        self._actor_stop_resolved(tracked_actor)
        return True

    def _actor_stop_resolved(self, tracked_actor: TrackedActor) -> None:
        lane, lease = self._live_actors_to_ray_actors_resources[tracked_actor]
        condition = lane.condition
        super()._actor_stop_resolved(tracked_actor)
        if condition is not None and condition.leak is not None:
            self._on_leak(condition.leak, lease.worker.where())

    def cleanup(self) -> None:
        """Forget all actors and end all workers."""
        self._live_actors_to_ray_actors_resources.clear()
        self._pool.clear()


def lanes_held(exception: Exception) -> int | None:
    """How many trials a worker's device holds, if this one was too many for it; ``None``: it was not."""
    cause = exception.cause if isinstance(exception, RayTaskError) else None
    return cause.lanes if isinstance(cause, DeviceFull) else None
