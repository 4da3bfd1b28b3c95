"""Warm workers: long-lived processes that run one trial after another, in lanes several at once.

Ray Tune starts a process and a placement group per trial. Here Tune's controller is given a manager of
actors whose resources are places in workers: what it takes for a new actor is a ``Lane`` of a process that is
there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.exceptions import RayError, RayTaskError

from tuner.cluster.fresh import is_fresh
from tuner.cluster.lanes import Lease, WorkerHandle
from tuner.cluster.log import log
from tuner.errors import ClusterError
from tuner.live import WorkerCounts
from tuner.objective import Resources
from tuner.worker.setup import Results, WorkerSetup
from tuner.worker.worker import Worker

# A worker that dies before it ever was ready is started again so often; then the sweep is given up.
_START_ATTEMPTS = 3


class WorkerPool(ResourceManager):
    """The workers of a sweep, asked of Ray so that an autoscaler sees the demand.

    They start at once, and are ready for trials some time after ``share``. ``wanted``: how many processes,
    asked again and again. ``most``: trials at once in all workers (``None``: no limit). ``samples``:
    configurations for which the best number of lanes is measured, where ``resources.lanes`` is auto.
    """

    def __init__(
        self,
        recipe: WorkerSetup,
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
        self._measuring: WorkerHandle | None = None
        self._apart = resources.isolation == "process"
        self.lanes = 1 if self._apart else None if resources.lanes == "auto" else int(resources.lanes)
        self._starting: list[WorkerHandle] = []
        self._ready: list[WorkerHandle] = []
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

    def counts(self) -> WorkerCounts:
        """Count the workers, and their lanes in use."""
        lanes = None
        if self.lanes is not None:
            at_most = sum(min(self.lanes, worker.most or self.lanes) for worker in self._ready)
            lanes = at_most if self._most is None else min(at_most, self._most)
        return WorkerCounts(
            workers=len(self._ready),
            starting=len(self._starting),
            busy=sum(worker.trials > 0 for worker in self._ready),
            trials=sum(worker.trials for worker in self._ready),
            lanes=lanes,
        )

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Give the workers what all trials share, if anything, and where they are saved."""
        self._shared, self._results = shared, results
        for worker in self._starting:
            worker.get_ready(shared, results)

    def grow(self) -> None:
        """Start the workers that are wanted and not there."""
        for _ in range(self._wanted() - len(self._starting) - len(self._ready)):
            worker = WorkerHandle(self._actor.remote(self._recipe))
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
    def _unused(self) -> list[WorkerHandle]:
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
        return Lease(resource_request, worker)

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

    def kill(self, lease: Lease) -> None:
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

    def _admit(self, worker: WorkerHandle, answer: Any) -> None:
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

    def _places(self, worker: WorkerHandle) -> int:
        if worker.retired or worker.doubtful or worker.alone:
            return 0
        if self.awaiting_fresh and worker in self._unused[: self.awaiting_fresh]:
            return 0
        lanes = 1 if self._suspects > 0 else self.lanes or 1
        return max(0, min(lanes, worker.most or lanes) - worker.trials)

    def _replace(self, worker: WorkerHandle, why: str) -> None:
        log.info("a worker is replaced: %s", why)
        self._ready.remove(worker)
        ray.kill(worker.actor)
        self.grow()


# Beyond, one process has its hands full with the bookkeeping of its trials.
_MOST_LANES = 256
