"""``Processes``: starts and ends the workers of placement groups."""

from __future__ import annotations

from collections.abc import Sequence

import ray
from ray.air.execution.resources import AcquiredResources
from ray.exceptions import GetTimeoutError, RayError

from tuner.cluster.gangs import size_of_gang, start_gang
from tuner.cluster.lanes import WorkerHandle
from tuner.worker.setup import Results, WorkerSetup
from tuner.worker.worker import Worker

# An idle process that is alive answers in a few milliseconds.
_SECONDS_TO_ANSWER = 2.0


class Processes:
    """Starts and ends worker processes, one in each placement group."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._by_threads: dict[int, ray.ObjectRef] = {}
        self._shared: Sequence[ray.ObjectRef] = ()
        self._results: Results | None = None
        self._actor = ray.remote(Worker)

    def share(self, shared: Sequence[ray.ObjectRef], results: Results | None) -> None:
        """Set the data that trials share, and their results folder, for workers that start later."""
        self._shared, self._results = shared, results

    def start(self, group: AcquiredResources) -> WorkerHandle:
        """Start a worker, with one thread for each whole CPU of the group's first bundle.

        It is in that bundle, except that a gang has a process in each bundle.
        """
        threads = max(1, int(group.resource_request.head_cpus))
        if threads not in self._by_threads:
            self._by_threads[threads] = ray.put(self._setup.with_threads(threads))
        setup = self._by_threads[threads]
        if (size := size_of_gang(group.resource_request)) is None:
            [actor] = group.annotate_remote_entities([self._actor])
            worker = WorkerHandle(actor.remote(setup))
        else:
            worker = start_gang(group, size, setup)
        worker.get_ready(self._shared, self._results)
        return worker

    def is_ready(self, worker: WorkerHandle) -> bool:
        """Return whether a worker has loaded everything that trials need."""
        try:
            ray.get(worker.awaited, timeout=0)
        except (RayError, GetTimeoutError):
            return False
        return True

    def is_alive(self, worker: WorkerHandle) -> bool:
        """Return whether an idle worker still answers."""
        return worker.is_alive(seconds=_SECONDS_TO_ANSWER)

    def end(self, worker: WorkerHandle) -> None:
        """Kill a worker, even if it is busy."""
        worker.end()
