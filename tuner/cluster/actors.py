"""``LaneActors``: Ray Tune's actor manager, extended to use lanes of workers as actors."""

from __future__ import annotations

import time
from collections.abc import Callable

import ray
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError

from tuner.cluster.fresh import is_fresh
from tuner.cluster.lanes import Pool, WorkerHandle, cannot_start
from tuner.ray_internals.tune import RayActorManager, TrackedActor, TrackedActorTask
from tuner.worker.gang import RankDied
from tuner.worker.memory import MemoryLeak
from tuner.worker.process import DeviceFull, cause_of

_SECONDS_BETWEEN_CHECKS = 0.1
_START_ATTEMPTS = 6


class StartFailed(Exception):
    """A worker died before its trial began."""


class LaneActors(RayActorManager):
    """Ray Tune's actor manager, extended to use lanes as actors and to survive a worker killed for memory.

    It calls ``on_leak`` with a memory leak of a worker and the address of its machine.
    """

    def __init__(self, pool: Pool, *, on_leak: Callable[[MemoryLeak, str], None]) -> None:
        super().__init__(resource_manager=pool)
        self._pool = pool
        self._failed_starts = 0  # workers that died before they were ready, since the last one that was
        self._on_leak = on_leak

    def _try_start_actors(self, max_actors: int | None = None) -> int:
        """Assign waiting trials to lanes, and start the trials whose worker is ready."""
        started: list[TrackedActor] = []
        for request, waiting in list(self._resource_request_to_pending_actors.items()):
            while waiting and self._pool.has_resources_ready(request):
                tracked = waiting.pop(0)
                _, arguments, _ = self._pending_actors_to_attrs.pop(tracked)
                lease = self._pool.acquire_resources(request)
                self._live_actors_to_ray_actors_resources[tracked] = lease.open(arguments), lease
                started.append(tracked)
            if not waiting and is_fresh(request):  # each such request is unique, so it will not come again
                del self._resource_request_to_pending_actors[request]
        for tracked in started:
            _, lease = self._live_actors_to_ray_actors_resources[tracked]
            if lease.worker.is_ready:
                tracked._on_start(tracked)
            else:
                self._await(tracked, lease.worker)
        return len(started)

    def _await(self, tracked: TrackedActor, worker: WorkerHandle) -> None:
        self._tracked_actors_to_state_futures[tracked].add(worker.awaited)
        self._actor_state_events.track_future(
            future=worker.awaited,
            on_result=lambda _: self._start(tracked, worker),
            on_error=lambda error: self._start_failed(tracked, error),
        )

    def _start(self, tracked: TrackedActor, worker: WorkerHandle) -> None:
        worker.check()
        worker.is_ready = True
        self._failed_starts = 0
        self._actor_start_resolved(tracked, worker.awaited)

    def _start_failed(self, tracked: TrackedActor, error: Exception) -> None:
        """Start the trial of a worker that died before it was ready again, unless too many have died."""
        cause = cause_of(error)
        if isinstance(cause, (RayActorError, RankDied)):
            self._failed_starts += 1
            if self._failed_starts >= _START_ATTEMPTS:
                raise cannot_start(_START_ATTEMPTS, cause) from error
            error = StartFailed(str(cause))
        self._actor_start_failed(tracked, error)

    def _actor_task_failed(self, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if (lanes := lanes_held(exception)) is not None:
            _, lease = self._live_actors_to_ray_actors_resources[tracked_actor_task._tracked_actor]
            lease.worker.max_trials = min(lanes, lease.worker.max_trials or lanes)
        if isinstance(exception, OutOfMemoryError):
            # Ray 2.60 handles only actor and task errors here. It would abort the whole sweep.
            exception = RayActorError(error_msg=f"the worker was killed for memory: {exception}")
        if isinstance(exception, (RayActorError, RayTaskError)) or tracked_actor_task._on_error is None:
            super()._actor_task_failed(tracked_actor_task, exception)
        else:  # such as an answer that cannot be unpickled; Ray would abort the whole sweep here too
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

    def await_closing(self, *, seconds: float, enough: Callable[[], bool]) -> None:
        """Wait until all trials that are ending have cleaned up, up to ``seconds`` or until ``enough()``."""
        lanes = [lane for lane, _ in self._live_actors_to_ray_actors_resources.values()]
        closing = [lane.closing for lane in lanes if lane.closing is not None]
        deadline = time.monotonic() + seconds
        while closing and time.monotonic() < deadline and not enough():
            _, closing = ray.wait(closing, num_returns=len(closing), timeout=_SECONDS_BETWEEN_CHECKS)

    def cleanup(self) -> None:
        """Forget all actors and kill all workers."""
        self._live_actors_to_ray_actors_resources.clear()
        self._pool.clear()


def lanes_held(exception: Exception) -> int | None:
    """Return the number of trials that fit on the device, if the error is a full device; else ``None``."""
    cause = cause_of(exception)
    return cause.lanes if isinstance(cause, DeviceFull) else None
