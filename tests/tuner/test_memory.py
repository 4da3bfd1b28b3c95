"""A worker's judgement of its memory, tested with made-up figures. A step of growth is 10."""

import gc
import math
from typing import Any

import pytest
import ray

from tuner.worker import memory
from tuner.worker.memory import Memory, MemoryMeter, WorkerHealth


class Process:
    """A process that keeps ``keeps`` for good and holds ``garbage`` that a collection frees."""

    def __init__(self, *, keeps=100, garbage=0):
        self.meter = MemoryMeter(10)
        self.keeps, self.garbage = keeps, garbage
        self.collections = 0

    def ends_a_trial(self, *, leaves=0, others=0, each=0):
        """Return whether a leak is found; ``others`` open trials hold ``each`` apiece."""
        self.keeps += leaves
        held = self.keeps + others * each
        if self.meter.expects(held + self.garbage, others=others):
            return False
        self.collections += 1
        return self.meter.judge(held, others=others, unfreed=held + self.garbage)


def trials_until_replaced(process, **trial):
    return next((number for number in range(1, 1000) if process.ends_a_trial(**trial)), None)


@pytest.mark.parametrize(("leaves", "trials"), [(100, 4), (11, 4), (5, 10), (1, 34)])
def test_a_leak_is_found_after_three_steps_of_growth_since_the_first_trial(leaves, trials):
    process = Process()
    assert trials_until_replaced(process, leaves=leaves) == trials
    assert process.collections == 4


def test_a_process_that_frees_everything_is_collected_once():
    process = Process()
    assert trials_until_replaced(process) is None
    assert process.collections == 1


def test_garbage_is_no_growth_and_is_not_collected_after_every_trial():
    process = Process(garbage=1000)
    assert trials_until_replaced(process) is None
    assert process.collections == 1


def test_varying_garbage_is_collected_occasionally():
    process = Process()
    for number in range(1000):
        process.garbage = number * 7919 % 100
        assert not process.ends_a_trial()
    assert process.collections <= 10


def test_a_leak_is_found_despite_garbage():
    assert trials_until_replaced(Process(garbage=1000), leaves=11) == 4


def test_a_late_import_and_a_filling_cache_are_no_leak():
    process = Process()
    assert [process.ends_a_trial(leaves=500 if number in (3, 70) else 0) for number in range(200)] == (
        [False] * 200
    )


def test_a_worker_that_always_has_trials_becomes_doubtful_and_is_judged_once_empty():
    process = Process()
    while not process.meter.is_doubtful:
        assert not process.ends_a_trial(leaves=4, others=3, each=5)
    assert not process.ends_a_trial(leaves=4, others=2, each=5)
    assert process.ends_a_trial(leaves=4, others=0)


def test_doubt_ends_when_the_trials_free_their_own_memory():
    process = Process()
    for each in (20, 40, 60, 80):
        process.ends_a_trial(others=3, each=each)
    assert process.meter.is_doubtful
    assert not process.ends_a_trial(others=0)
    assert not process.meter.is_doubtful
    assert not any(process.ends_a_trial(others=3, each=80) for _ in range(100))
    assert not process.meter.is_doubtful


def test_a_leak_hidden_by_the_first_trials_is_found_at_the_second_look():
    """The memory of open trials counts as the process's own until a look finds the worker empty."""
    process = Process()
    verdicts: list[Any] = []
    while not any(verdicts):
        while not process.meter.is_doubtful:
            assert not process.ends_a_trial(leaves=5, others=3, each=100)
        verdicts.append(process.ends_a_trial(others=0))
    assert verdicts == [False, True]


def test_a_new_peak_of_open_trials_is_no_growth():
    process = Process()
    for others in range(100):
        assert not process.ends_a_trial(others=others, each=50)
    assert not process.meter.is_doubtful
    assert process.collections == 1


@pytest.fixture
def process_memory(monkeypatch):
    """Return the memory of a worker whose share is 960 MiB, and a dict whose ``machine`` is the usage."""
    held = {"machine": 0}
    monkeypatch.setattr(memory, "_fair_share", lambda: (960 * 2**20, 1.0))
    monkeypatch.setattr(memory, "_machine_memory", lambda: held["machine"])
    looked = Memory()
    return looked, held


def test_a_leak_is_reported_with_the_usage_before_and_after(process_memory):
    looked, held = process_memory
    conditions = []
    for number in range(4):
        held["machine"] = (200 + 100 * number) * 2**20
        conditions.append(looked.condition(others=0))
    assert conditions[:3] == [None] * 3
    assert looked.condition(others=0) == WorkerHealth(fit=False)
    leak = conditions[3].leak
    assert not conditions[3].fit
    assert (leak.memory, leak.before, leak.after, leak.share) == (
        "machine",
        200 * 2**20,
        500 * 2**20,
        960 * 2**20,
    )


def test_a_doubtful_worker_with_open_trials_is_still_fit(process_memory):
    looked, held = process_memory
    for number in range(4):
        held["machine"] = 100 * number * 2**20
        condition = looked.condition(others=1)
    assert condition == WorkerHealth(fit=True)


def test_gpu_memory_is_judged_as_well_as_machine_memory(process_memory, monkeypatch):
    import torch

    looked, _ = process_memory
    allocated = iter(range(0, 10**12, 250 * 2**20))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(memory, "_total_gpu_memory", lambda torch: 6400 * 2**20)
    monkeypatch.setattr(memory, "_gpu_memory", lambda torch: next(allocated))
    conditions = [looked.condition(others=0) for _ in range(4)]
    assert conditions[:3] == [None] * 3
    assert (conditions[3].leak.memory, conditions[3].leak.share) == ("gpu", 6400 * 2**20)


def test_freeable_memory_is_freed_before_it_counts(monkeypatch):
    """The garbage is cyclic, so only the collector finds it, and only a trim of the C heap returns it."""
    monkeypatch.setattr(memory, "_fair_share", lambda: (0.0, 1.0))
    looked = Memory()
    gc.disable()
    try:
        for _ in range(6):
            cycle: list[Any] = [bytearray(b"x" * 2**14) for _ in range(8000)]
            cycle.append(cycle)
            del cycle
            assert looked.condition(others=0) is None
    finally:
        gc.enable()


def test_a_process_without_ray_does_not_start_it_and_has_no_limit(monkeypatch):
    """Almost any call to Ray starts a cluster; only ``is_initialized`` does not."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: pytest.fail("starts a cluster"))
    assert memory._fair_share() == (math.inf, 1.0)
