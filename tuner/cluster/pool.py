"""``WorkerPool``: long-lived processes that run one trial after another, and several at once in lanes.

Ray Tune would start a process and a placement group for each trial. We give its controller a resource manager
whose resources are places in workers. A new actor of the controller is a ``Lane`` of an existing process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.exceptions import RayError, RayTaskError

from tuner.cluster.fresh import is_fresh
from tuner.cluster.lanes import Lease, WorkerHandle, cannot_start
from tuner.cluster.log import log
from tuner.errors import ClusterError
from tuner.live import WorkerCounts
from tuner.resources import Resources
from tuner.worker.setup import Results, WorkerSetup
from tuner.worker.worker import Worker

_START_ATTEMPTS = 3
"""The sweep ends when this many workers in a row die before they are ready."""


class WorkerPool(ResourceManager):
    """The workers of a sweep. All wanted workers are requested from Ray, and an autoscaler sees the demand.

    The workers start immediately and become ready some time after ``share``.

    Args:
        setup: What each worker needs to create trials.
        resources: The resources of each worker.
        wanted: Returns the current number of wanted workers.
        most: The most trials at once in all workers; ``None`` means no limit.
        samples: Configurations for the measurement of lanes, if ``resources.lanes`` is ``auto``.
    """

    def __init__(
        self,
        setup: WorkerSetup,
        resources: Resources,
        *,
        wanted: Callable[[], int],
        most: int | None,
        samples: Sequence[dict[str, Any]],
    ) -> None:
        self._setup = ray.put(setup)
        self._shared: Sequence[ray.ObjectRef] | None = None
        self._results: Results | None = None
        self._resources = resources
        # Create it once, since Ray needs 40 ms to inspect the class.
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
        self.awaiting_fresh = 0  # trials that wait for a new process
        self.grow()

    def keep_apart(self) -> None:
        """Give each trial a new process from now on."""
        self._apart, self.lanes = True, 1
        for worker in [worker for worker in self._ready if worker.trials_so_far]:
            worker.is_retired = True
            if worker.trials == 0:
                self._replace(worker, "each trial now gets a new process")

    @property
    def free(self) -> int:
        """The number of trials that can start now, in any process."""
        running = sum(worker.trials for worker in self._ready)
        places = sum(self._free_places(worker) for worker in self._ready)
        return places if self._most is None else min(places, self._most - running)

    @property
    def is_starting(self) -> bool:
        """Whether a requested worker is not ready yet."""
        return bool(self._starting)

    @property
    def gpus(self) -> float:
        """The number of GPUs that trials hold."""
        return self._resources.gpu * sum(worker.trials > 0 for worker in self._ready)

    def counts(self) -> WorkerCounts:
        """Count the workers, and their lanes in use."""
        lanes = None
        if self.lanes is not None:
            at_most = sum(min(self.lanes, worker.max_trials or self.lanes) for worker in self._ready)
            lanes = at_most if self._most is None else min(at_most, self._most)
        return WorkerCounts(
            workers=len(self._ready),
            starting=len(self._starting),
            busy=sum(worker.trials > 0 for worker in self._ready),
            trials=sum(worker.trials for worker in self._ready),
            lanes=lanes,
        )

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Give the workers the data that trials share, if any, and the results folder."""
        self._shared, self._results = shared, results
        for worker in self._starting:
            worker.get_ready(shared, results)

    def grow(self) -> None:
        """Start missing workers."""
        for _ in range(self._wanted() - len(self._starting) - len(self._ready)):
            worker = WorkerHandle(self._actor.remote(self._setup))
            self._starting.append(worker)
            if self._shared is not None:
                worker.get_ready(self._shared, self._results)
        self._refresh()

    def _refresh(self) -> None:
        """Retire used workers, idle ones first, until each trial that needs a new process can get one."""
        coming = len(self._unused) + len(self._starting) + sum(worker.is_retired for worker in self._ready)
        used = [worker for worker in self._ready if worker.trials_so_far and not worker.is_retired]
        for worker in sorted(used, key=lambda worker: worker.trials)[: max(0, self.awaiting_fresh - coming)]:
            worker.is_retired = True
            if worker.trials == 0:
                self._replace(worker, "a trial needs a new process")

    @property
    def _unused(self) -> list[WorkerHandle]:
        return [worker for worker in self._ready if worker.trials_so_far == 0]

    def suspect(self) -> None:
        """Give one more of the next trials a worker for itself, since it may kill the process."""
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
        worker = self._unused[0] if fresh else max(self._ready, key=self._free_places)
        worker.trials += 1
        worker.trials_so_far += 1
        if fresh:
            self.awaiting_fresh -= 1
            worker.is_alone = True
        elif self._suspects > 0:
            self._suspects -= 1
            worker.is_alone = True
        return Lease(resource_request, worker)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        worker, lane = acquired_resource.worker, acquired_resource.lane
        if worker not in self._ready:
            return
        worker.trials -= 1
        worker.is_alone = False
        if self._apart or (lane is not None and not lane.is_clean()):
            worker.is_retired = True
        # An idle worker has checked itself, even if its answers arrive in another order.
        worker.is_doubtful = lane is not None and lane.condition is not None and worker.trials > 0
        if worker.is_retired and worker.trials == 0:
            fault = "its process died or could not be restored"
            self._replace(worker, "each trial gets a new process" if self._apart else fault)

    def kill(self, lease: Lease) -> None:
        """Kill a worker, even if it is busy, and start a replacement."""
        if lease.worker in self._ready:
            self._replace(lease.worker, "it died, or its trial could not be ended otherwise")

    def get_resource_futures(self) -> list[ray.ObjectRef]:
        return [worker.awaited for worker in self._starting]

    def update_state(self) -> None:
        """Add the workers that have become ready. Raises ClusterError if workers cannot start."""
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
                    raise cannot_start(_START_ATTEMPTS, error) from error
                self.grow()
            else:
                self._failed_starts = 0
                worker.check()
                self._admit(worker, answer)

    def clear(self) -> None:
        """Kill all workers."""
        for worker in (*self._starting, *self._ready):
            ray.kill(worker.actor)
        self._starting, self._ready = [], []

    def _admit(self, worker: WorkerHandle, answer: Any) -> None:
        """Add a worker that is ready or has measured lanes. The first worker measures them if needed."""
        if worker is self._measuring:
            # If the measurement broke the accelerator, trials run alone and report their own errors.
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
            most = _MAX_LANES if self._most is None else -(-self._most // workers)
            worker.awaited = worker.actor.lanes.remote(self._samples, min(most, _MAX_LANES))
            self._starting.append(worker)
        else:
            worker.is_ready = True
            log.info("a worker is ready on %s", worker.where())
            self._ready.append(worker)

    def _free_places(self, worker: WorkerHandle) -> int:
        if worker.is_retired or worker.is_doubtful or worker.is_alone:
            return 0
        if self.awaiting_fresh and worker in self._unused[: self.awaiting_fresh]:
            return 0
        lanes = 1 if self._suspects > 0 else self.lanes or 1
        return max(0, min(lanes, worker.max_trials or lanes) - worker.trials)

    def _replace(self, worker: WorkerHandle, why: str) -> None:
        log.info("a worker is replaced: %s", why)
        self._ready.remove(worker)
        ray.kill(worker.actor)
        self.grow()


_MAX_LANES = 256
"""With more lanes, a process would spend most of its time on bookkeeping."""
