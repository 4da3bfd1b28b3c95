"""Warm workers: long-lived processes, each running one trial after another.

Ray Tune starts a process and a placement group per trial. Here Tune's controller is given a resource manager
whose resources are workers: what it takes for a new actor is a ``_Lane`` of a worker that is already there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
from ray import cloudpickle
from ray.air.execution._internal import RayActorManager, TrackedActor
from ray.air.execution._internal.tracked_actor_task import TrackedActorTask
from ray.air.execution.resources import AcquiredResources, ResourceManager, ResourceRequest
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from tuner.engine import guard
from tuner.errors import ClusterError, TrialError
from tuner.objective import Resources
from tuner.spec import LOADED_FILES

# A function that is told to stop gets so long to come to its next report; then its process is replaced.
_SECONDS_TO_STOP = 5.0

# A worker that dies before it ever was ready is started again so often; then the sweep is given up.
_START_ATTEMPTS = 3


class Recipe:
    """What a worker needs to make trials: the trainable, the objective's metric and the CPU threads."""

    def __init__(self, trainable: Any, *, metric: str, threads: int) -> None:
        module = sys.modules.get(trainable.__module__)
        # A module loaded by its path cannot be imported by its name elsewhere, so it travels along.
        by_value = trainable.__module__ in LOADED_FILES
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        try:
            self._trainable = cloudpickle.dumps(trainable)
        finally:
            if by_value:
                cloudpickle.unregister_pickle_by_value(module)
        self.metric = metric
        self.threads = threads
        self._path = [entry for entry in sys.path if entry and os.path.isdir(entry)]

    def load(self) -> Any:
        """The trainable class, in a worker; a function becomes one as Ray Tune does it."""
        sys.path.extend(entry for entry in self._path if entry not in sys.path)
        trainable = cloudpickle.loads(self._trainable)
        if isinstance(trainable, type):
            return trainable
        from ray.tune.trainable import wrap_function

        return wrap_function(trainable)


class Worker:
    """The process's own side; one trial at a time."""

    def __init__(self, recipe: Recipe) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(recipe.threads)
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
        self._recipe = recipe
        self._class = recipe.load()
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(recipe.threads)  # it may have been imported before the variables were set
        self._trainable: Any = None
        self._has_reported = False

    def node(self) -> str:
        """The address of the machine; answering at all says that the worker is ready."""
        return str(ray.util.get_node_ip_address())

    def open(self, arguments: dict[str, Any]) -> None:
        """Set up a trial."""
        self._has_reported = False
        with _crashes_explained():
            self._trainable = self._class(**arguments)

    def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """Call a method of the trial; a result is checked before it leaves."""
        with _crashes_explained():
            value = getattr(self._trainable, method)(*arguments)
        return self._checked(value) if method == "train" else value

    def _checked(self, result: dict[str, Any]) -> dict[str, Any]:
        if "__duplicate__" in result:  # a function has returned; its last result was sent already
            if not self._has_reported:
                raise TrialError(f"the function ended without reporting '{self._recipe.metric}'")
            return result
        self._has_reported = True
        result = guard.checked(result, self._recipe.metric)
        result.pop("config", None)  # the driver knows it
        return result

    def close(self) -> bool:
        """End the trial; whether the process is fit for the next one."""
        trainable, self._trainable = self._trainable, None
        if trainable is None:
            return True
        session_thread = _session_thread()
        try:
            trainable.stop()
        finally:
            if session_thread is not None:
                session_thread.join(_SECONDS_TO_STOP)
            del trainable
            if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
                gc.collect()
                torch.cuda.empty_cache()
        return session_thread is None or not session_thread.is_alive()


@contextlib.contextmanager
def _crashes_explained() -> Iterator[None]:
    """Turn what a trainable raises into a TrialError with its traceback, our and Ray's frames left out.

    An exception of the user's own class could not be unpickled where that class cannot be imported.
    """
    try:
        yield
    except Exception as error:
        explained = traceback.TracebackException.from_exception(error)
        for part in _chain(explained):
            part.stack = traceback.StackSummary.from_list(
                [frame for frame in part.stack if not frame.filename.startswith(_OUR_FRAMES)]
            )
        raise TrialError("".join(explained.format()).rstrip()) from None


def _chain(error: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_OUR_FRAMES = (os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.path.abspath(ray.__file__)))


def _session_thread() -> threading.Thread | None:
    """The thread in which a function trainable runs."""
    from ray.train._internal.session import get_session

    session = get_session()
    return session.training_thread if session is not None and session.training_started else None


class _Method:
    def __init__(self, lane: _Lane, name: str) -> None:
        self._lane = lane
        self._name = name

    def remote(self, *arguments: Any, **options: Any) -> Any:
        if self._name == "get_auto_filled_metrics":
            return {}  # Tune asks every new actor for what it shows of a trial without results; nobody looks
        assert not options, f"Tune calls {self._name} with options that a lane does not pass on: {options}"
        return self._lane.call(self._name, arguments)


class _Lane:
    """What Tune's controller holds for an actor: one trial's place in a worker."""

    def __init__(self, worker: _Handle, arguments: dict[str, Any]) -> None:
        self.worker = worker
        self.closing = False
        self.last = worker.actor.open.remote(arguments)

    def __getattr__(self, name: str) -> _Method:
        return _Method(self, name)

    def call(self, name: str, arguments: Sequence[Any]) -> ray.ObjectRef:
        if name == "__ray_ready__":
            return self.last
        if name in ("stop", "__ray_terminate__"):
            self.closing = True
            self.last = self.worker.actor.close.remote()
        else:
            self.last = self.worker.actor.call.remote(name, arguments)
        return self.last

    def is_clean(self) -> bool:
        """Whether the worker can take another trial; asked when nothing runs in the lane any more."""
        try:
            return ray.get(self.last, timeout=0) is not False
        except RayTaskError:
            return not self.closing  # the trial's own error; an error in closing is another matter
        except (RayError, GetTimeoutError):
            return False


class _Handle:
    """The driver's side of a worker."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.starting: ray.ObjectRef = actor.node.remote()
        self.node = ""


class _Lease(AcquiredResources):
    def __init__(self, request: ResourceRequest, worker: _Handle) -> None:
        super().__init__(resource_request=request)
        self.worker = worker
        self.lane: _Lane | None = None

    def annotate_remote_entities(self, entities: Sequence[Any]) -> list[Any]:
        return [self]

    def remote(self, **arguments: Any) -> _Lane:
        """In place of an actor class's ``remote``: the trial's lane."""
        self.lane = _Lane(self.worker, arguments)
        return self.lane


class WorkerPool(ResourceManager):
    """The workers of a sweep: ``wanted`` processes, asked of Ray so that an autoscaler sees the demand."""

    def __init__(self, recipe: Recipe, resources: Resources, *, wanted: Callable[[], int]) -> None:
        self._recipe = ray.put(recipe)
        self._resources = resources
        self._wanted = wanted
        self._starting: list[_Handle] = []
        self._idle: list[_Handle] = []
        self._leased: list[_Handle] = []
        self._failed_starts = 0
        self.grow()

    @property
    def idle(self) -> int:
        """How many workers are ready and without a trial."""
        return len(self._idle)

    def grow(self) -> None:
        """Start the workers that are wanted and not there."""
        missing = self._wanted() - len(self._starting) - len(self._idle) - len(self._leased)
        for _ in range(missing):
            actor = ray.remote(Worker).options(
                num_cpus=self._resources.cpu, num_gpus=self._resources.gpu, max_restarts=0
            )
            self._starting.append(_Handle(actor.remote(self._recipe)))

    def request_resources(self, resource_request: ResourceRequest) -> None:
        return

    def cancel_resource_request(self, resource_request: ResourceRequest) -> None:
        return

    def has_resources_ready(self, resource_request: ResourceRequest) -> bool:
        return bool(self._idle)

    def acquire_resources(self, resource_request: ResourceRequest) -> AcquiredResources | None:
        if not self._idle:
            return None
        worker = self._idle.pop()
        self._leased.append(worker)
        return _Lease(resource_request, worker)

    def free_resources(self, acquired_resource: AcquiredResources) -> None:
        worker, lane = acquired_resource.worker, acquired_resource.lane
        if worker not in self._leased:
            return
        self._leased.remove(worker)
        if lane is None or lane.is_clean():
            self._idle.append(worker)
        else:
            self._replace(worker)

    def kill(self, lease: _Lease) -> None:
        """End a worker whatever it does, and start another in its place."""
        if lease.worker in self._leased:
            self._leased.remove(lease.worker)
            self._replace(lease.worker)

    def get_resource_futures(self) -> list[ray.ObjectRef]:
        return [worker.starting for worker in self._starting]

    def update_state(self) -> None:
        """Take in the workers that have become ready. Raises ClusterError when they cannot be started."""
        futures = self.get_resource_futures()
        ready, _ = ray.wait(futures, num_returns=len(futures), timeout=0) if futures else ([], [])
        for worker in [worker for worker in self._starting if worker.starting in ready]:
            self._starting.remove(worker)
            try:
                worker.node = ray.get(worker.starting)
            except RayTaskError as error:
                raise ClusterError(f"a worker cannot load the trainable: {error.cause}") from error
            except RayError as error:
                self._failed_starts += 1
                if self._failed_starts >= _START_ATTEMPTS:
                    raise ClusterError(f"workers die before they are ready: {error}") from error
                self.grow()
            else:
                self._failed_starts = 0
                self._idle.append(worker)

    def clear(self) -> None:
        """Leave no worker behind."""
        for worker in (*self._starting, *self._idle, *self._leased):
            ray.kill(worker.actor)
        self._starting, self._idle, self._leased = [], [], []

    def _replace(self, worker: _Handle) -> None:
        ray.kill(worker.actor)
        self.grow()


class LaneManager(RayActorManager):
    """Tune's manager of actors, taught that an actor may be a lane, and that a worker may die of memory."""

    def __init__(self, pool: WorkerPool) -> None:
        super().__init__(resource_manager=pool)
        self._pool = pool

    def _actor_task_failed(self, tracked_actor_task: TrackedActorTask, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            # Ray 2.60 knows only actor and task errors here and would abort the whole sweep.
            exception = RayActorError(error_msg=f"the worker was killed for memory: {exception}")
        super()._actor_task_failed(tracked_actor_task, exception)

    def _try_kill_actor(self) -> bool:
        if not self._live_actors_to_kill:
            return False
        tracked_actor: TrackedActor = self._live_actors_to_kill.pop()
        _, lease = self._live_actors_to_ray_actors_resources[tracked_actor]
        self._pool.kill(lease)
        self._cleanup_actor_futures(tracked_actor)
        self._actor_stop_resolved(tracked_actor)
        return True

    def cleanup(self) -> None:
        """Forget all actors and end all workers."""
        self._live_actors_to_ray_actors_resources.clear()
        self._pool.clear()
