"""Trials that do not release their memory."""

from __future__ import annotations

import io
from collections import Counter

import pytest
import ray

from tests.integration.running import events, most_at_once, run_toy, sweep_of
from tuner import Resources, run
from tuner.cluster.progress import Lines
from tuner.report import renderings

CPUS = 4  # the CPUs of the tests' cluster


def share(cpu):
    """Return the bytes of memory that belong to a worker with this number of CPUs."""
    [node] = ray.nodes()
    return node["Resources"]["memory"] * cpu / CPUS


def growth(cpu):
    """Return slightly more bytes than count as growth in such a worker."""
    return int(1.1 * max(96 * 2**20, share(cpu) / 32))


def processes(report):
    """Return the process of each trial by number; each trial ran in one only."""
    seen = {(event.trial, event.metrics["process"]) for event in events(report, "result")}
    assert len(seen) == len(report.trials)
    return dict(sorted(seen))


def curves(report):
    """Return the results of each trial in order."""
    found: dict[int, list[tuple[int, float]]] = {}
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
def test_a_leaking_worker_is_replaced_without_effect_on_trials(lanes, cpu, trials, per_worker, tmp_path):
    """Check that a worker serves at most ``per_worker`` trials.

    The memory of the first trial counts as the worker's own; that of the next three is growth. With lanes,
    three other trials may hide theirs when they start, and three may be open when the limit is reached.
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
def test_a_worker_whose_large_trials_free_their_memory_is_kept(lanes, cpu, tmp_path):
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


def test_a_worker_with_lanes_doubted_wrongly_continues_once_its_trials_have_ended(tmp_path):
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
    assert empty >= 2  # once when it was judged, and once at the end
    assert most_at_once(report) == 4


def test_the_user_sees_the_first_leak_and_the_number_of_replaced_workers(tmp_path):
    stream = io.StringIO()
    sweep = sweep_of(
        "Leaking",
        tmp_path,
        trials=9,
        iterations=3,
        settings={"keeps": growth(1)},
        budget={"concurrent": 1},
        resources=Resources(lanes=1),
    )
    report = run(sweep, progress=Lines(stream))
    assert stream.getvalue().count("trials leak memory: between trials a worker held ") == 1
    assert "2 workers replaced because trials left up to" in renderings.summary(report)
