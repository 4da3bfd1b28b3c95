"""Several trials at once in one worker."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.running import events, most_at_once, run_toy
from tests.present import present
from tuner import Budget, Float, Objective, Resources, Sweep, run
from tuner.report.page import page_data

ONE_WORKER = 4  # the CPUs of a worker, which are all CPUs of the tests' cluster


def together(report):
    """Return, per result, the number of trials trained as one."""
    return [event.metrics["together"] for event in events(report, "result")]


def test_trials_of_one_key_train_together_and_the_others_alone(tmp_path):
    space = {"x": Float(0.1, 0.5, points=6)}
    report = run_toy(
        "Laned", tmp_path, space=space, searcher="grid", resources=Resources(cpu=ONE_WORKER, lanes=6)
    )
    assert report.counts()["completed"] == 6
    assert most_at_once(report) == 6
    assert max(together(report)) == 4
    alone = [t.number for t in report.trials if t.config["x"] > 0.4]
    assert {e.metrics["together"] for e in events(report, "result") if e.trial in alone} == {1}


def test_a_new_trial_takes_a_free_lane_while_others_continue(tmp_path):
    """Trials of one to nine iterations in three lanes: no lane waits for the longest trial."""
    report = run_toy(
        "Laned",
        tmp_path,
        trials=9,
        space={"x": Float(0.0, 0.4)},
        scheduler="asha_stop",
        resources=Resources(cpu=ONE_WORKER, lanes=3),
    )
    starts = [event.time for event in events(report, "started")]
    ends = [event.time for event in events(report, "ended")]
    assert len({event.worker for event in events(report, "started")} - {None}) == 1
    assert len(page_data(report).lanes) == 3
    assert len(report.trials) == 9
    assert sorted(starts)[3] < max(ends)
    assert most_at_once(report) == 3


def test_auto_uses_the_number_of_lanes_that_the_trainable_measures(tmp_path):
    report = run_toy(
        "Laned",
        tmp_path,
        trials=16,
        space={"x": Float(0.0, 0.4)},
        resources=Resources(cpu=ONE_WORKER, lanes="auto"),
    )
    assert most_at_once(report) == 3


def test_a_worker_that_loses_its_device_while_measuring_gets_no_trial(tmp_path):
    report = run_toy(
        "Broken",
        tmp_path,
        trials=4,
        iterations=1,
        settings={"folder": str(tmp_path)},
        resources=Resources(cpu=ONE_WORKER, lanes="auto"),
    )
    assert report.counts()["completed"] == 4
    assert most_at_once(report) == 1
    [broken] = tmp_path.glob("*.broken")
    assert int(broken.stem) not in {event.metrics["process"] for event in events(report, "result")}


def test_a_process_that_dies_affects_only_its_own_trials(tmp_path):
    report = run_toy(
        "DyingLane",
        tmp_path,
        trials=4,
        space={"x": Float(0.0, 0.3, points=4)},
        searcher="grid",
        settings={"folder": str(tmp_path), "deadly": 0.0},
        resources=Resources(cpu=ONE_WORKER, lanes=4),
    )
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 9)] * 4
    assert 1 <= len(events(report, "lost")) <= 4


def test_a_trial_that_always_kills_its_process_fails_alone(tmp_path):
    report = run_toy(
        "DyingLane",
        tmp_path,
        trials=8,
        space={"x": Float(0.0, 0.35, points=8)},
        searcher="grid",
        iterations=5,
        settings={"folder": str(tmp_path), "deadly": 0.0, "always": True},
        resources=Resources(cpu=ONE_WORKER, lanes=4),
    )
    assert [trial.state for trial in report.trials] == ["failed", *["completed"] * 7]
    assert "died" in present(report.trials[0].error)
    assert most_at_once(report) == 4


@pytest.mark.parametrize(("when", "lanes"), [("set up", [3]), ("trained", [2, 3])], ids=["set up", "trained"])
def test_trials_without_device_memory_run_later_on_fewer_lanes(when, lanes, tmp_path):
    report = run_toy(
        "Crowded",
        tmp_path,
        trials=9,
        space={"x": Float(0.0, 0.4, points=9)},
        searcher="grid",
        settings={"room": 3, "when": when},
        resources=Resources(cpu=ONE_WORKER, lanes=6),
    )
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 9)] * 9
    assert len({event.metrics["process"] for event in events(report, "result")}) == 1
    lost = events(report, "lost")
    assert all("CUDA out of memory" in event.error for event in lost)
    assert most_at_once(report, after="lost") == min(event.lanes for event in lost) in lanes


def test_a_trial_too_large_for_the_device_fails_alone(tmp_path):
    report = run_toy(
        "Crowded",
        tmp_path,
        trials=8,
        space={"x": Float(0.0, 0.35, points=8)},
        searcher="grid",
        settings={"room": 8, "when": "trained", "giant": 0.0},
        resources=Resources(cpu=ONE_WORKER, lanes=8),
    )
    assert [trial.state for trial in report.trials] == ["failed", *["completed"] * 7]
    assert "OutOfMemoryError: CUDA out of memory" in present(report.trials[0].error)
    assert {event.trial for event in events(report, "lost")} == {0}
    assert most_at_once(report) == 8


def test_an_error_in_one_lane_does_not_affect_the_others(tmp_path):
    report = run_toy(
        "Raising", tmp_path, trials=6, searcher="grid", resources=Resources(cpu=ONE_WORKER, lanes=6)
    )
    assert report.counts()["failed"] == 3
    assert report.counts()["completed"] == 3


def test_each_trial_gets_a_fresh_process_on_request(tmp_path):
    report = run_toy(
        "ProcessInLanes",
        tmp_path,
        trials=3,
        iterations=1,
        resources=Resources(cpu=ONE_WORKER, isolation="process"),
    )
    assert len({event.metrics["process"] for event in events(report, "result")}) == 3


def test_configurations_are_the_same_with_and_without_lanes(tmp_path):
    alone, laned = (
        run_toy("Laned", tmp_path, trials=8, searcher="random", resources=Resources(lanes=lanes))
        for lanes in (1, 4)
    )
    assert [(t.config, t.seed) for t in alone.trials] == [(t.config, t.seed) for t in laned.trials]


def test_paused_and_moved_lanes_of_mlp_have_the_curves_of_lone_trials(tmp_path):
    def curves(lanes):
        sweep = Sweep(
            trainable={"kind": "mlp", "dataset": "iris", "precision": "float64"},
            space={
                "lr": Float(1e-3, 1e-1, log=True),
                "dropout": Float(0.1, 0.5),
                "optimizer": "sgd",
                "hidden": 8,
            },
            objective=Objective(metric="val_loss", mode="min"),
            budget=Budget(trials=12, iterations=9, concurrent=1 if lanes == 1 else None),
            scheduler="hyperband",
            resources=Resources(lanes=lanes),
            out=str(tmp_path),
        )
        return {
            (trial.number, iteration): value
            for trial in run(sweep).trials
            for iteration, value in trial.curve
        }

    alone, laned = curves(1), curves(6)
    shared = sorted(alone.keys() & laned.keys())
    assert len(shared) >= 12
    np.testing.assert_allclose([laned[key] for key in shared], [alone[key] for key in shared], rtol=1e-8)
