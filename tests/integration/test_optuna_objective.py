"""Optuna objectives on a real local Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration import objectives
from tests.integration.running import events, killed
from tuner import Report, Sweep, resume, run

OBJECTIVES = Path(__file__).parent / "objectives.py"


def sweep_of(objective: Any, out: Path, /, *, trials: int = 6, **parts: Any) -> Sweep:
    named = f"{OBJECTIVES}:{objective}" if isinstance(objective, str) else objective
    budget = {"trials": trials, "concurrent": 1, **parts.pop("budget", {})}
    return Sweep(
        **{
            "trainable": {"kind": "optuna_objective", "objective": named},
            "objective": {"metric": "loss", "mode": "min"},
            "budget": budget,
            "searcher": "optuna",
            "seed": 3,
            "out": str(out),
            **parts,
        }
    )


def outcome(report: Report) -> list[tuple[Any, ...]]:
    return [(trial.config, trial.state, tuple(trial.curve)) for trial in report.trials]


@pytest.fixture(scope="module")
def unbroken(cluster, tmp_path_factory):
    budget = {"iterations": 9}
    return run(
        sweep_of("layers", tmp_path_factory.mktemp("whole"), trials=16, scheduler="asha_stop", budget=budget)
    )


def test_an_objective_with_dynamic_layers_runs_as_it_is(unbroken):
    assert {trial.state for trial in unbroken.trials} == {"completed", "stopped"}
    for trial in unbroken.trials:
        units = [trial.config[f"units_{place}"] for place in range(trial.config["depth"])]
        assert json.loads(trial.metrics["units"]) == units
        assert ("rate" in trial.config) is (trial.config["depth"] > 1)
    best = min(trial.value for trial in unbroken.trials)
    assert unbroken.best().value == best


def test_a_kill_changes_nothing(unbroken, cluster, tmp_path):
    sweep = sweep_of("layers", tmp_path, trials=16, scheduler="asha_stop", budget={"iterations": 9})
    folder = killed(sweep, "asked", 30, cluster)
    assert outcome(resume(folder)) == outcome(unbroken)


def test_the_scheduler_prunes_an_objective_that_never_asks(cluster, tmp_path):
    report = run(sweep_of("never_asks", tmp_path, scheduler="asha_stop", budget={"iterations": 9}, trials=9))
    assert "stopped" in {trial.state for trial in report.trials}
    assert max(trial.iterations for trial in report.trials) == 9


def test_an_objective_may_prune_itself(cluster, tmp_path):
    report = run(sweep_of("prunes_itself", tmp_path))
    states = [(trial.state, trial.iterations) for trial in report.trials]
    assert states == [("completed", 2), ("stopped", 0), ("stopped", 1)] * 2
    assert [each.reason for each in events(report, "decision")] == ["the objective pruned it"] * 4


def test_several_objectives_are_returned_as_a_tuple(cluster, tmp_path):
    goals = [{"metric": "x", "mode": "min"}, {"metric": "y", "mode": "min"}]
    report = run(sweep_of("two", tmp_path, objective=goals, searcher={"kind": "optuna", "sampler": "nsga2"}))
    assert [trial.values for trial in report.trials] == [
        (trial.config["x"], (1 - trial.config["x"]) ** 2) for trial in report.trials
    ]


def test_a_trial_keeps_its_values_when_its_worker_dies(cluster, tmp_path):
    trace = tmp_path / "trace"
    report = run(sweep_of(objectives.DiesOnce(str(trace)), tmp_path / "out", trials=1))
    first, second = trace.read_text().splitlines()
    assert first == second
    assert [each.name for each in events(report, "asked")] == ["x", "y"]


def test_an_objective_with_a_declared_space_gets_its_values(cluster, tmp_path):
    space = {"x": {"choice": [1.0, 1.5, 2.0]}}
    report = run(sweep_of("scaled", tmp_path, searcher="grid", space=space, trials=3))
    assert [trial.value for trial in report.trials] == [10.0, 15.0, 20.0]


def test_an_objective_without_a_value_fails(cluster, tmp_path):
    report = run(sweep_of("returns_nothing", tmp_path, trials=1))
    assert report.trials[0].cause == "the objective must return a number, got None"


def test_an_object_with_data_is_an_objective(cluster, tmp_path):
    report = run(sweep_of(objectives.Scaled(3.0), tmp_path, trials=2))
    assert [trial.value for trial in report.trials] == [3 * trial.config["x"] for trial in report.trials]


def test_an_objective_that_reads_other_trials_fails_with_the_reason(cluster, tmp_path):
    report = run(sweep_of("reads_the_study", tmp_path, trials=1))
    assert report.trials[0].cause == (
        "AttributeError: trial.study has no 'best_value' here: the study of a sweep is in the driver, and "
        "trials run in other processes"
    )
