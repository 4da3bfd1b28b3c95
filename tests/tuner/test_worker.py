"""A worker's lanes without a cluster."""

import asyncio
import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from ray.tune import Trainable

from tuner import Budget, Float, Objective, Sweep
from tuner.errors import TrialError
from tuner.worker.memory import WorkerHealth
from tuner.worker.process import DeviceFull, crashes_explained
from tuner.worker.setup import WorkerSetup
from tuner.worker.tasks import TrainRequest
from tuner.worker.worker import Worker


class Counting(Trainable):
    """The loss falls by one at each iteration; iteration ``fails_at`` raises."""

    def setup(self, config):
        self.fails_at = config.get("fails_at")

    def step(self):
        if self.iteration + 1 == self.fails_at:
            raise ValueError("enough")
        return {"loss": -self.iteration}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "iteration").write_text(str(self.iteration))


@pytest.fixture
def worker(monkeypatch, tmp_path):
    """Return a worker in this process; its environment is restored after the test."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path))
    of_ray = ("RAY_CHDIR_TO_TRIAL_DIR", "RAY_AIR_FULL_TRACEBACKS")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", *of_ray):
        monkeypatch.setenv(name, "1")
    sweep = Sweep(
        trainable=Counting,
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1, iterations=100),
    )
    worker = Worker(WorkerSetup(Counting, sweep, threads=1))
    asyncio.run(worker.ready([]))
    return worker


class Stuck(Counting):
    """The third iteration waits until ``may_continue`` is set."""

    may_continue = threading.Event()

    def step(self):
        assert self.iteration < 2 or self.may_continue.wait(60)
        return super().step()


def opened(worker, **config):
    made_with = [{"config": config}, None]
    return lambda **request: worker.train(
        0,
        TrainRequest(**{"seconds": 1e9, "better_than": -1e9, **request}),
        made_with.pop(0) if len(made_with) > 1 else None,
    )


def counted(results):
    return [result["training_iteration"] for result in results]


def test_a_trial_waits_where_the_scheduler_decides(worker):
    async def scenario():
        train = opened(worker)
        assert counted(await train(until=5)) == [1, 2, 3, 4, 5]
        await asyncio.sleep(0.05)
        assert counted(await train(until=7)) == [6, 7]

    asyncio.run(scenario())


def test_a_trial_returns_its_results_and_keeps_training(worker):
    async def scenario():
        train = opened(worker)
        assert counted(await train(until=50, seconds=0)) == [1]
        while not worker._tasks[0].halted:
            await asyncio.sleep(0.001)
        assert counted(await train(until=50)) == list(range(2, 51))
        assert counted(await train(until=52)) == [51, 52]

    asyncio.run(scenario())


def test_a_trial_waits_after_a_value_worth_a_checkpoint(worker):
    async def scenario():
        train = opened(worker)
        assert counted(await train(until=50, better_than=-2)) == [1, 2, 3, 4]
        assert (await worker.call(0, "save", ())).metrics["training_iteration"] == 4

    asyncio.run(scenario())


def test_a_trial_returns_its_results_even_while_it_hangs(worker):
    async def scenario():
        worker._class = Stuck
        train = opened(worker)
        assert counted(await train(until=50, seconds=0.2)) == [1, 2]
        Stuck.may_continue.set()
        assert counted(await train(until=4)) == [3, 4]

    asyncio.run(scenario())


def test_a_failure_is_reported_after_the_results_before_it(worker):
    async def scenario():
        train = opened(worker, fails_at=4)
        assert counted(await train(until=50)) == [1, 2, 3]
        for _ in range(2):
            with pytest.raises(TrialError, match="enough"):
                await train(until=50)

    asyncio.run(scenario())


def test_a_failure_between_calls_is_reported_at_the_next_call(worker):
    async def scenario():
        train = opened(worker, fails_at=4)
        assert counted(await train(until=50, seconds=0)) == [1]
        while not worker._tasks[0].halted:
            await asyncio.sleep(0.001)
        assert counted(await train(until=50)) == [2, 3]
        with pytest.raises(TrialError, match="enough"):
            await train(until=50)

    asyncio.run(scenario())


class Fusing(Counting):
    """Trials of one ``key`` train together; those of one key raise, and one key cannot be compared."""

    def fusion_key(self):
        return [] if self.config["key"] == "odd" else self.config["key"]

    @classmethod
    def fused_step(cls, trials):
        if trials[0].config["key"] == "broken":
            raise MemoryError("too many")


def test_a_failed_fused_step_fails_its_own_trials_only(worker):
    async def scenario():
        worker._class, worker._can_fuse = Fusing, True
        keys = ["broken", "whole", "broken", "odd", "whole"]
        for lane, key in enumerate(keys):
            worker._create(lane, {"config": {"key": key}})
        request = TrainRequest(until=3, seconds=1e9, better_than=-1e9)
        every = asyncio.gather(*(worker.train(lane, request) for lane in range(5)), return_exceptions=True)
        return await asyncio.wait_for(every, 20)

    first, second, third, fourth, fifth = asyncio.run(scenario())
    assert counted(second) == counted(fifth) == [1, 2, 3]
    assert "MemoryError: too many" in str(first)
    assert str(first) == str(third)
    assert "unhashable type: 'list'" in str(fourth)


class Asserting(Counting):
    """The second step breaks the device as a kernel's assertion does: every later call fails as well."""

    def step(self):
        if self.iteration == 1:
            raise torch.AcceleratorError("device-side assert triggered")
        return super().step()


def lose_device():
    raise torch.AcceleratorError("device-side assert triggered")


def test_a_worker_that_lost_its_device_is_unfit_for_further_trials(worker, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lose_device)

    async def scenario():
        worker._class = Asserting
        train = opened(worker)
        with pytest.raises(TrialError, match="device-side assert triggered"):
            [await train(until=3) for _ in range(2)]
        return await worker.close(0)

    assert asyncio.run(scenario()) == WorkerHealth(fit=False)


def test_a_worker_that_loses_its_device_with_other_trials_open_ends(worker, monkeypatch):
    class Ended(BaseException):
        pass

    def end(code):
        raise Ended

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lose_device)
    monkeypatch.setattr(os, "_exit", end)
    worker._class = Asserting
    worker._create(0, {"config": {}})
    worker._create(1, {"config": {}})
    assert {lane: result["loss"] for lane, result in worker._train_round([0, 1]).items()} == {0: 0.0, 1: 0.0}
    with pytest.raises(Ended):
        worker._train_round([0, 1])


class Measuring(Counting):
    """The measurement of lanes finds three trials at once best."""

    @classmethod
    def best_lanes(cls, configs, *, most):
        return 3


def test_a_worker_that_loses_its_device_while_measuring_offers_no_lanes(worker, monkeypatch):
    worker._class, worker._can_fuse = Measuring, True
    assert asyncio.run(worker.lanes([{}], 8)) == (3, None)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lose_device)
    assert asyncio.run(worker.lanes([{}], 8))[0] == 0


def test_memory_used_for_measuring_is_returned_to_the_gpu(worker, monkeypatch):
    freed = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    worker._class, worker._can_fuse = Measuring, True
    asyncio.run(worker.lanes([{}], 8))
    assert freed == [True]


def test_memory_of_ended_trials_is_returned_to_the_gpu_at_most_once_a_second(worker, monkeypatch):
    """Each return waits for the GPU. Here all trials end within the same second."""
    freed = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(len(worker._trials)))

    async def scenario():
        for lane in range(5):
            worker._create(lane, {"config": {}})
        for lane in range(5):
            await worker.close(lane)

    asyncio.run(scenario())
    assert freed == [4, 0]


class Large(Counting):
    """Each trial's tensors take memory on a device that can set up, restore or train ``room`` trials."""

    room = 2
    held: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def setup(self, config):
        super().setup(config)
        tensors = torch.zeros(3)
        self.held.add(tensors)
        self._take()
        self.tensors = tensors

    def step(self):
        self._take()
        return super().step()

    def load_checkpoint(self, checkpoint):
        self._take()

    def cleanup(self):
        del self.tensors

    def _take(self):
        if len(self.held) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.fixture
def large(worker):
    worker._class = Large
    yield worker
    Large.room = 2
    for lane in list(worker._trials):
        asyncio.run(worker.close(lane))
    gc.collect()
    assert not Large.held


def test_a_trial_without_memory_for_its_setup_frees_it_and_reports_the_number_of_lanes(large):
    for lane in range(3):
        large._create(lane, {"config": {}})
    assert len(Large.held) == len(large._trials) == 2
    with pytest.raises(DeviceFull, match="OutOfMemoryError: CUDA out of memory") as failure:
        asyncio.run(large.call(2, "restore", ("",)))
    assert failure.value.lanes == 2


def test_a_trial_without_memory_for_its_restore_reports_the_number_of_lanes(large):
    for lane in range(2):
        large._create(lane, {"config": {}})
    Large.room = 1
    with pytest.raises(DeviceFull) as failure:
        asyncio.run(large.call(1, "load_checkpoint", ("",)))
    assert failure.value.lanes == 1


@pytest.mark.parametrize(("trials", "lanes"), [(5, 2), (2, 1), (1, None)])
def test_a_round_without_memory_for_any_trial_halves_the_lanes(large, trials, lanes):
    Large.room = 5
    for lane in range(trials):
        large._create(lane, {"config": {}})
    Large.room = 0
    outcomes = large._train_round(range(trials)).values()
    assert [outcome.lanes for outcome in outcomes] == [lanes] * trials


def test_a_round_with_memory_for_some_trials_reports_their_number(large):
    for lane in range(2):
        large._create(lane, {"config": {}})
    large._trials[2] = Counting(config={})
    Large.room = 1
    first, second, third = large._train_round(range(3)).values()
    assert (first.lanes, second.lanes, third["loss"]) == (1, 1, 0)
    del large._trials[2]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "cuda", "cublas"],
)
def test_lack_of_device_memory_is_distinguished_from_other_errors(error):
    with pytest.raises(DeviceFull), crashes_explained():
        raise error
    for other in (MemoryError("out of memory"), RuntimeError("[enforce fail] can't allocate memory")):
        with pytest.raises(TrialError) as failure, crashes_explained():
            raise other
        assert type(failure.value) is TrialError


def test_closing_a_trial_answers_the_call_that_waits_for_it(worker):
    async def scenario():
        train = opened(worker)
        waiting = asyncio.create_task(train(until=10**9))
        while 0 not in worker._tasks or not worker._tasks[0].results:
            await asyncio.sleep(0.001)
        assert await worker.close(0) is None
        assert counted(await waiting)[0] == 1

    asyncio.run(scenario())
