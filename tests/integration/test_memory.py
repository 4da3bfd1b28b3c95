"""Trials that do not give their memory back."""

from __future__ import annotations

import io
from collections import Counter

import pytest
import ray

from tests.integration.running import events, most_at_once, run_toy, sweep_of
from tuner import Resources, run
from tuner.cluster.progress import Lines
from tuner.report import renderings

CPUS = 4  # that the tests' cluster has


def share(cpu):
    """Bytes that fall to a worker with so many CPUs."""
    [node] = ray.nodes()
    return node["Resources"]["memory"] * cpu / CPUS


def growth(cpu):
    """Bytes that count as growth in such a worker, and a little more."""
    return int(1.1 * max(96 * 2**20, share(cpu) / 32))


def processes(report):
    """The process of each trial that ran in one only, by number."""
    seen = {(event.trial, event.metrics["process"]) for event in events(report, "result")}
    assert len(seen) == len(report.trials)
    return dict(sorted(seen))


def curves(report):
    """The results of each trial as they came."""
    found = {}
    for event in events(report, "result"):
        found.setdefault(event.trial, []).append((event.iteration, event.value))
    return found


def curves_expected(report):
    return {
        trial.number: [(steps, trial.config["x"] + 1 / steps) for steps in range(1, 4)]
        for trial in report.trials
    }


@pytest.mark.parametrize(
    ("lanes", "cpu", "trials", "per_worker"), [(1, 1, 10, 4), (4, 3, 22, 10)], ids=["alone", "lanes"]
)
def test_worker_in_which_trials_leave_memory_behind_is_replaced_and_no_trial_notices(
    lanes, cpu, trials, per_worker, tmp_path
):
    """``per_worker``: the first trial's is taken for the worker's own, the next three's are growth.

    In lanes three others may hide theirs as they come, and three be open when it is enough.
    """
    report = run_toy(
        "Leaking",
        tmp_path,
        trials=trials,
        iterations=3,
        searcher="grid",
        settings={"keeps": growth(cpu)},
        budget={"concurrent": lanes},
        resources=Resources(cpu=cpu, lanes=lanes),
    )
    assert report.counts()["completed"] == trials
    assert curves(report) == curves_expected(report)
    assert len(events(report, "started")) == trials
    assert events(report, "lost") == []
    workers = Counter(processes(report).values())
    assert 4 <= max(workers.values()) <= per_worker
    assert len(workers) - 1 <= len(report.leaks) <= len(workers)
    for leak in report.leaks:
        left = leak["after"] - leak["before"]
        assert (leak["memory"], leak["share"]) == ("machine", round(share(cpu)))
        assert 2.5 * growth(cpu) < left < per_worker * growth(cpu)


@pytest.mark.parametrize(("lanes", "cpu"), [(1, 1), (4, 3)], ids=["alone", "lanes"])
def test_worker_whose_trials_need_much_memory_and_give_it_back_stays(lanes, cpu, tmp_path):
    report = run_toy(
        "Hungry",
        tmp_path,
        trials=16,
        iterations=3,
        searcher="grid",
        settings={"keeps": 2 * growth(cpu) // lanes},
        budget={"concurrent": lanes},
        resources=Resources(cpu=cpu, lanes=lanes),
    )
    assert report.counts()["completed"] == 16
    assert len(set(processes(report).values())) == 1
    assert report.leaks == []


def test_worker_with_lanes_that_is_doubted_wrongly_goes_on_when_its_trials_have_ended(tmp_path):
    report = run_toy(
        "Swelling",
        tmp_path,
        trials=24,
        iterations=9,
        searcher="grid",
        settings={"keeps": growth(3) // 2, "trials": 24},
        resources=Resources(cpu=3, lanes=4),
    )
    assert report.counts()["completed"] == 24
    assert len(set(processes(report).values())) == 1
    assert report.leaks == []
    running, empty = 0, 0
    for event in events(report, "started", "ended"):
        running += 1 if event.kind == "started" else -1
        empty += running == 0
    assert empty >= 2  # when it was judged, and at the end
    assert most_at_once(report) == 4


def test_user_is_told_of_the_first_and_of_how_many(tmp_path):
    told = io.StringIO()
    sweep = sweep_of(
        "Leaking",
        tmp_path,
        trials=9,
        iterations=3,
        settings={"keeps": growth(1)},
        budget={"concurrent": 1},
        resources=Resources(lanes=1),
    )
    report = run(sweep, progress=Lines(told))
    assert told.getvalue().count("trials leak memory: between trials a worker held ") == 1
    assert "2 workers replaced because trials left up to" in renderings.summary(report)
