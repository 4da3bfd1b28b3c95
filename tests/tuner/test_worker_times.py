"""Trials over their time limit and silent workers, by a clock of the test's own."""

import pytest

from tuner import Budget
from tuner.cluster.worker_times import WorkerTimes


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Worker:
    """A worker that is never asked."""


@pytest.fixture
def clock():
    return Clock()


def test_gpu_seconds_are_gpus_times_the_time_since_the_last_look(clock):
    watch = WorkerTimes(Budget(trials=1), clock=clock)
    for now, gpus in ((1, 0), (3, 0.5), (4, 2)):
        clock.now = now
        watch.tick(gpus)
    assert watch.gpu_seconds == 0.5 * 2 + 2 * 1


def test_the_time_of_a_trial_excludes_its_pauses(clock):
    watch, worker = WorkerTimes(Budget(trials=1, trial_seconds=10), clock=clock), Worker()
    watch.see({7: (worker, 0)})
    clock.now = 6
    watch.see({})
    clock.now = 100
    watch.see({7: (worker, 1)})
    clock.now = 103.9
    assert watch.overdue() == []
    clock.now = 104
    assert watch.overdue() == [7]


def test_a_worker_counts_as_silent_from_its_last_result(clock):
    watch, worker = WorkerTimes(Budget(trials=1, silence=5), clock=clock), Worker()
    watch.see({7: (worker, 0)})
    clock.now = 4
    watch.heard(7)
    clock.now = 8
    assert watch.silent() == []
    clock.now = 9
    assert watch.silent() == [(worker, {7})]


def test_a_silent_worker_is_reported_once(clock):
    watch, worker = WorkerTimes(Budget(trials=1, silence=5), clock=clock), Worker()
    watch.see({7: (worker, 0)})
    clock.now = 5
    assert len(watch.silent()) == 1
    clock.now = 6
    assert watch.silent() == []
