"""``Worker``: a long-lived process that runs trials, several at once in its lanes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT, TRIAL_INFO
from ray.tune.trainable import FunctionTrainable

from tuner.code.importing import importing
from tuner.contract import AppliesConfig, Prepares, SharesData, TrainsInLanes
from tuner.errors import TrialError
from tuner.storage.checkpoints import blame_storage
from tuner.worker import crash_report, results
from tuner.worker.function import session_thread
from tuner.worker.measuring import measure_lanes
from tuner.worker.memory import Memory, WorkerHealth
from tuner.worker.output import FOLDER, Output
from tuner.worker.process import (
    RANK_VARIABLES,
    DeviceFull,
    Exited,
    count_held,
    crashes_explained,
    device_is_lost,
    free_gpu_memory,
    keep_freed_memory,
)
from tuner.worker.randomness import GlobalRandomness
from tuner.worker.setup import Place, Results, WorkerSetup
from tuner.worker.surroundings import Surroundings
from tuner.worker.tasks import HALTED, QUESTION, SECONDS_TO_STOP, Question, TrainRequest, TrainTask

T = TypeVar("T")

_SHARE_TO_GATHER = 0.1  # share of the last round's duration for which a round waits for idle lanes
_SECONDS_FOR_HALF = 0.005  # lower limit of that wait if fewer than half of the lanes have requests
_SECONDS_TO_KEEP = 1.0  # while other trials are open, unused GPU memory is released at most once in this time
_SECONDS_BETWEEN_CHECKS = 0.1  # interval at which a running round delivers results that are due


class Worker:
    """A Ray actor that contains the open trials of its lanes.

    One thread runs all code of trials, one call after the other. A training round is one iteration of every
    trial with a request. The worker creates, saves, restores and closes trials between rounds.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(setup.threads)
        for name in RANK_VARIABLES:  # those of the driver's own group of processes, if it is in one
            os.environ.pop(name, None)
        os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
        os.environ["RAY_AIR_FULL_TRACEBACKS"] = "1"  # else Ray copies exceptions and loses the text of some
        keep_freed_memory()
        self._setup = setup
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="trials")
        self._loaded = self._thread.submit(self._load)  # takes a while; ``ready`` raises its error
        self._can_fuse = False
        self._trials: dict[int, Any] = {}
        self._create_errors: dict[int, TrialError] = {}  # why a lane's trial could not be created
        self._last: dict[int, dict[str, Any]] = {}  # each trial's last result
        self._tasks: dict[int, TrainTask] = {}
        self._rounds: asyncio.Task[None] | None = None
        self._at_work: tuple[int, ...] = ()
        self._is_fit = True  # whether the process can run other trials
        self._is_halting = False
        self._output: Output | None = None
        self._names: dict[int, str] = {}  # the trial of each lane
        self._released = 0.0  # when unused GPU memory was last released

    async def at_work(self) -> list[int]:
        """Return the lanes whose trials the trial thread is running now."""
        return list(self._at_work)

    async def halt(self) -> None:
        """Make each trial stop after its current iteration, and wait for a call."""
        self._is_halting = True

    async def ready(self, shared: Sequence[ray.ObjectRef], results: Results | None = None) -> Place:
        """Prepare for trials with ``shared`` data, and return the place of this worker.

        ``results`` is the folder that the worker must see. Raises the error of a failed import.
        """
        await self._in_thread(self._loaded.result)
        data = await shared[0] if shared else None  # only now: two threads must not import modules at once
        await self._in_thread(partial(self._adopt, data))
        if results is not None:
            self._output = Output(Path(results.folder, FOLDER))
            crash_report.begin(Path(results.folder))
            self._surroundings.take_streams()
        sees = results is None or await self._in_thread(results.are_here)
        return Place.here(sees_results=sees)

    async def lanes(self, configs: Sequence[dict[str, Any]], most: int) -> tuple[int, str | None]:
        """Measure how many trials with such ``configs`` this process should train at once, up to ``most``.

        The second value says why the number is 1, if that is known. The number is 0 if the measurement made
        the accelerator unusable; this process must then be replaced.
        """
        if not self._can_fuse or most < 2:
            return 1, "each worker has one trial" if self._can_fuse else "the trainable has no fused_step"
        return await self._in_thread(partial(measure_lanes, self._class, configs, most))

    async def call(
        self, lane: int, method: str, arguments: Sequence[Any], made_with: dict[str, Any] | None = None
    ) -> Any:
        """Call a method of a lane's trial. ``made_with``: constructor arguments; if given, create it first.

        Raises TrialError if the trial fails or could not be created.
        """

        def call() -> Any:
            if made_with is not None:
                self._create(lane, made_with)
            if lane in self._create_errors:
                raise self._create_errors[lane]
            try:
                with self._guard(lane):
                    answer = getattr(self._trials[lane], method)(*arguments)
                    if method == "restore":
                        self._finish_restore(lane)
            except TrialError as error:
                if method == "save":
                    blame_storage(self._trials[lane], error)
                raise
            if method == "save":  # Ray would send the trial's raw last result along
                answer.metrics = self._last.get(lane, {})
            return answer

        return await self._in_thread(call)

    async def train(
        self, lane: int, request: TrainRequest, made_with: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Train a lane's trial as requested, and return at least one result. ``made_with``: as in ``call``.

        Raises TrialError if the trial fails or cannot be created. Earlier results are returned first.
        """
        if made_with is not None:
            self._thread.submit(self._create, lane, made_with)
        if request.answer is not None:
            self._trials[lane].take_answer(request.answer)
        answer: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        task = self._tasks.get(lane)
        if task is None or (task.halted and not task.results and task.error is None):
            task = self._tasks[lane] = TrainTask(request, time.monotonic(), answer)
        else:  # the trial trained meanwhile, perhaps to the end of its last request
            task.answer = answer
            if task.halted:
                task.hand_over()
            else:
                task.request, task.began = request, time.monotonic()
        if self._rounds is None and not task.halted:
            self._rounds = asyncio.create_task(self._run_rounds())
        return await answer

    async def close(self, lane: int) -> WorkerHealth | None:
        """End a lane's trial, even during a request, and return the health of the process."""
        self._end_request(lane)
        return await self._in_thread(lambda: self._close(lane))

    def _end_request(self, lane: int) -> None:
        if (task := self._tasks.pop(lane, None)) is not None and task.answer is not None:
            task.answer.set_result(task.results)

    def _load(self) -> None:
        with importing(), crashes_explained(on=os.uname().nodename):
            self._class = self._setup.load()
            if isinstance(self._class, Prepares):
                self._class.prepare()

    def _adopt(self, shared: Any) -> None:
        if isinstance(self._class, SharesData):
            with crashes_explained():
                self._class.adopt(self._setup.settings, shared, sweep_seed=self._setup.sweep_seed)
        gc.freeze()  # later collections skip the objects that exist now
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(self._setup.threads)  # torch may have been imported before OMP_NUM_THREADS
        self._is_class = not issubclass(self._class, FunctionTrainable)
        self._can_fuse = isinstance(self._class, TrainsInLanes)
        self._surroundings = Surroundings()
        # Trials that share lanes must bring their own generators.
        self._randomness = None if self._can_fuse else GlobalRandomness()
        self._memory = Memory()

    def _create(self, lane: int, arguments: dict[str, Any]) -> None:
        if (about := arguments["config"].get(TRIAL_INFO)) is not None:
            self._names[lane] = about.trial_id
        try:
            with self._guard(lane):
                if self._randomness is not None:
                    self._randomness.begin(lane, arguments["config"].get("seed", 0))
                self._trials[lane] = self._class(**arguments)
        except TrialError as error:
            self._create_errors[lane] = error

    def _finish_restore(self, lane: int) -> None:
        """Apply a trial's own configuration after it loaded a checkpoint, possibly of another trial."""
        trial: Any = self._trials[lane]
        if isinstance(trial, AppliesConfig):
            trial.apply_config(self._trials[lane].config)
        if self._randomness is not None:
            self._randomness.begin(lane, trial.config.get("seed", 0), iteration=trial.iteration)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _run_rounds(self) -> None:
        last_duration = 0.0
        while active := self._active_lanes():
            began = time.monotonic()
            while self._can_fuse and len(active) < len(self._trials):
                at_least = _SECONDS_FOR_HALF if 2 * len(active) < len(self._trials) else 0.0
                if time.monotonic() - began >= max(at_least, _SHARE_TO_GATHER * last_duration):
                    break
                await asyncio.sleep(0.001)
                active = self._active_lanes()
            began = time.monotonic()
            outcomes = await self._run_round(active)
            last_duration = time.monotonic() - began
            for lane, outcome in outcomes.items():
                self._add_outcome(lane, outcome)
        self._rounds = None

    async def _run_round(self, lanes: Sequence[int]) -> dict[int, dict[str, Any] | TrialError]:
        """Run a round and return its outcomes. Deliver results that become due while it runs.

        Otherwise a trial that hangs would hold back earlier results of all trials in the round.
        """
        running = asyncio.ensure_future(self._start_round(lanes))
        while not (await asyncio.wait([running], timeout=_SECONDS_BETWEEN_CHECKS))[0]:
            for task in self._tasks.values():
                if task.due <= time.monotonic():
                    task.hand_over()
        return running.result()

    async def _start_round(self, lanes: Sequence[int]) -> dict[int, dict[str, Any] | TrialError]:
        return await self._in_thread(partial(self._train_round, lanes))

    def _active_lanes(self) -> list[int]:
        return [lane for lane, task in self._tasks.items() if not task.halted]

    def _add_outcome(self, lane: int, outcome: dict[str, Any] | TrialError) -> None:
        """Add a round's outcome to the lane's task, and deliver the results if they are due."""
        if (task := self._tasks.get(lane)) is None:  # the lane was closed meanwhile
            return
        if isinstance(outcome, TrialError):
            task.error, task.halted = outcome, True
        else:
            saves = RESULT_DUPLICATE not in outcome and (self._is_class or results.SAVEABLE in outcome)
            if saves and task.is_to_be_saved(time.monotonic()):
                outcome[SHOULD_CHECKPOINT] = True
            task.results.append(outcome)
            task.halted = self._is_halting or task.request.is_over(outcome, self._setup.objective)
            if task.halted:
                outcome[HALTED] = True
        if task.halted or task.due <= time.monotonic():
            task.hand_over()

    def _train_round(self, lanes: Sequence[int]) -> dict[int, dict[str, Any] | TrialError]:
        """Train one iteration in each lane, and train lanes with the same fusion key together."""
        outcomes: dict[int, dict[str, Any] | TrialError] = {}
        if len(lanes) > 1 and self._can_fuse:
            outcomes.update(self._train_together(lanes))
        for lane in lanes:
            if lane in self._create_errors:
                outcomes[lane] = self._create_errors[lane]
            if lane not in self._trials or lane in outcomes:
                continue
            try:
                with self._guard(lane):
                    result = self._trials[lane].train()
                outcomes[lane] = self._check_result(lane, result)
            except Exited:
                outcomes[lane] = self._exit_outcome(lane)
            except Question as question:
                outcomes[lane] = {QUESTION: question.asked}
            except TrialError as error:
                outcomes[lane] = error
        count_held([each for lane, each in outcomes.items() if lane in self._trials], of=len(self._trials))
        return outcomes

    def _train_together(self, lanes: Sequence[int]) -> dict[int, TrialError]:
        """Train lanes with equal fusion keys together, and return the errors. An error fails the group."""
        failed: dict[int, TrialError] = {}
        groups: dict[Any, list[int]] = {}
        for lane in [lane for lane in lanes if lane in self._trials]:
            try:
                with self._guard(lane):
                    if (key := self._trials[lane].fusion_key()) is not None:
                        groups.setdefault(key, []).append(lane)
            except TrialError as error:
                failed[lane] = error
        for group in groups.values():
            if len(group) > 1:
                try:
                    with self._guard(*group):
                        # The trial's ``train`` then returns the stored result, or trains alone.
                        self._class.fused_step([self._trials[lane] for lane in group])
                except TrialError as error:
                    failed.update(dict.fromkeys(group, error))
        return failed

    @contextlib.contextmanager
    def _guard(self, *lanes: int) -> Iterator[None]:
        """Prepare the process for a call into the lanes' trials. Convert errors to TrialErrors.

        If an error makes the accelerator unusable, end the process, so that other trials restart elsewhere.
        If the accelerator's memory is full, set the error's ``lanes`` to the number of other open trials.
        """
        self._at_work = lanes
        if self._randomness is not None:
            self._randomness.enter(lanes[0])
        if self._output is not None:
            self._output.assign_to(self._names.get(lanes[0]) if len(lanes) == 1 else None)
        try:
            with crashes_explained():
                yield
        except TrialError as error:
            if self._is_fit and device_is_lost():
                self._is_fit = False
                if len({*self._trials, *lanes}) > 1:
                    os._exit(1)
            if isinstance(error, DeviceFull):
                error.lanes = len(self._trials.keys() - {*lanes}) or None
            raise
        finally:
            self._at_work = ()

    def _exit_outcome(self, lane: int) -> dict[str, Any] | TrialError:
        if not (lane in self._last or self._trials[lane].iteration):  # it has no result, now or from before
            metrics = "', '".join(self._setup.objective.metrics)
            return TrialError(f"the trial called sys.exit without reporting '{metrics}'")
        return {RESULT_DUPLICATE: True, "done": True, "training_iteration": self._trials[lane].iteration}

    def _check_result(self, lane: int, result: dict[str, Any]) -> dict[str, Any]:
        before = self._last.get(lane)
        if RESULT_DUPLICATE in result:  # the function returned, and its last result was already sent
            if before is None and results.PRUNED not in result and not self._trials[lane].iteration:
                raise TrialError(f"the function ended without reporting '{self._setup.objective.metric}'")
            return result
        self._last[lane] = results.checked(
            result,
            self._setup.objective.metrics,
            iteration=int(self._trials[lane].iteration),
            resource=self._setup.resource,
            used=None if before is None else before[results.RESOURCE],
        )
        return self._last[lane]

    def _close(self, lane: int) -> WorkerHealth | None:
        trial = self._trials.pop(lane, None)
        self._create_errors.pop(lane, None)
        self._names.pop(lane, None)
        self._last.pop(lane, None)
        if trial is None:
            return self._health()
        thread = session_thread()
        try:
            with crashes_explained():
                trial.stop()
        finally:
            if thread is not None:
                thread.join(SECONDS_TO_STOP + getattr(trial, "seconds_to_stop", 0.0))
            del trial
            if self._randomness is not None:
                self._randomness.end(lane)
            if self._output is not None:
                self._output.assign_to(None)
            if not self._trials:
                with crashes_explained():
                    self._leave_group()
                    self._is_fit = self._is_fit and self._surroundings.restore() is None
            # The call waits for the GPU, so frequent calls would slow down the other trials.
            if self._is_fit and (not self._trials or time.monotonic() >= self._released + _SECONDS_TO_KEEP):
                free_gpu_memory()
                self._released = time.monotonic()
        return self._health(stopped=thread is None or not thread.is_alive())

    def _leave_group(self) -> None:
        """Leave the group of processes that the trial has joined. Only a process of a gang can do so."""

    def _health(self, *, stopped: bool = True) -> WorkerHealth | None:
        others = len(self._trials)
        return self._memory.condition(others=others) if self._is_fit and stopped else WorkerHealth(fit=False)
