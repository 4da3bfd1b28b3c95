"""Limits that end a sweep or a trial, on a real local Ray."""

from __future__ import annotations

import time

import pytest

from tests.integration.running import events, run_toy, sweep_of
from tuner import Float, Resources, SpecError
from tuner.schedulers import SCHEDULERS

ONE_WORKER = Resources(cpu=4, lanes=4)


def results(report):
    return [event for event in events(report, "result") if event.value is not None]


@pytest.mark.parametrize(("scheduler", "lanes"), [("asha", 1), ("median", 3)])
def test_total_iterations_are_used_up_and_not_exceeded(scheduler, lanes, tmp_path):
    report = run_toy(
        "Laned",
        tmp_path,
        trials=None,
        space={"x": Float(0.0, 0.5)},
        budget={"total_iterations": 40, "concurrent": 3},
        scheduler=scheduler,
        resources=Resources(lanes=lanes),
    )
    assert report.reason == "total_iterations"
    assert len(results(report)) == report.iterations == 40
    assert report.counts()["running"] == report.counts()["pending"] == 0


def test_a_trial_past_its_time_limit_is_stopped_and_keeps_its_results(tmp_path):
    report = run_toy(
        "Toy", tmp_path, space={"x": Float(0.0, 0.5)}, trials=3, iterations=1000, budget={"trial_seconds": 1}
    )
    assert {trial.state for trial in report.trials} == {"stopped"}
    assert all(5 <= trial.iterations <= 40 for trial in report.trials)
    reasons = {event.reason for event in events(report, "decision")}
    assert reasons == {"its time (budget.trial_seconds) is up"}


def test_a_silent_trial_fails_and_the_others_continue(tmp_path):
    started = time.monotonic()
    report = run_toy(
        "Hanging",
        tmp_path,
        trials=6,
        searcher="grid",
        budget={"silence": 2, "concurrent": 2},
        resources=Resources(lanes=1),
    )
    assert time.monotonic() - started < 40
    failed = [trial for trial in report.trials if trial.state == "failed" and trial.config["x"] == 0]
    assert [trial.error for trial in failed] == ["it reported nothing for 2 s (budget.silence)"]
    assert failed[0].iterations == 2
    assert all(trial.iterations == 9 for trial in report.trials if 0 < trial.config["x"] <= 0.6)


def test_only_the_hanging_trial_of_a_silent_worker_fails(tmp_path):
    report = run_toy(
        "Hanging",
        tmp_path,
        trials=4,
        space={"x": Float(0.0, 0.5, points=4)},
        searcher="grid",
        budget={"silence": 2},
        resources=ONE_WORKER,
    )
    assert [trial.state for trial in report.trials] == ["failed", "completed", "completed", "completed"]
    assert sorted(event.trial for event in events(report, "lost")) == [1, 2, 3]
    assert [trial.iterations for trial in report.trials] == [2, 9, 9, 9]


@pytest.mark.parametrize("scheduler", ["asha", "fifo"])
def test_trials_can_be_measured_by_a_metric(scheduler, tmp_path):
    report = run_toy(
        "Samples",
        tmp_path,
        trials=6,
        iterations=None,
        space={"x": Float(0.1, 0.6, points=6)},
        searcher="grid",
        scheduler={"kind": scheduler, "resource": "samples", "maximum": 9},
    )
    assert report.counts()["failed"] == 0
    for trial in report.trials:
        used = [event.metrics["samples"] for event in results(report) if event.trial == trial.number]
        assert all(amount < 9 for amount in used[:-1])
        assert (used[-1] >= 9) is (trial.state == "completed")


def test_trials_can_be_measured_by_seconds(tmp_path):
    report = run_toy(
        "Toy",
        tmp_path,
        trials=3,
        iterations=None,
        space={"x": Float(0.0, 0.5)},
        scheduler={"kind": "fifo", "resource": "seconds", "maximum": 1},
    )
    for trial in report.trials:
        used = [event.seconds for event in results(report) if event.trial == trial.number]
        assert used[-2] < 1 <= used[-1]


def test_a_trial_whose_resource_metric_does_not_rise_fails(tmp_path):
    report = run_toy(
        "Samples",
        tmp_path,
        trials=1,
        iterations=9,
        space={"x": 0.0, "y": Float(0, 1)},
        scheduler={"kind": "fifo", "resource": "samples", "maximum": 9},
    )
    assert [trial.error for trial in report.trials] == [
        "'samples' must increase with each result, got 0 after 0"
    ]


def test_iterations_still_limit_a_trial_measured_by_another_resource(tmp_path):
    report = run_toy(
        "Samples",
        tmp_path,
        trials=3,
        iterations=2,
        space={"x": Float(0.1, 0.3, points=3)},
        searcher="grid",
        scheduler={"kind": "asha", "resource": "samples", "maximum": 90},
    )
    assert max(trial.iterations for trial in report.trials) == 2
    assert report.counts()["running"] == report.counts()["pending"] == 0


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_maximum_setting_is_for_resources_other_than_iterations(name, tmp_path):
    with pytest.raises(SpecError, match=r"scheduler\.maximum: must be left out for iterations"):
        sweep_of("Toy", tmp_path, scheduler={"kind": name, "maximum": 9})


def test_gpu_seconds_without_gpus_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"budget\.gpu_seconds: trials hold no GPU"):
        sweep_of("Toy", tmp_path, budget={"gpu_seconds": 9})
