"""Sweeps with several objectives, on a real local Ray."""

from __future__ import annotations

import json

import pytest

from tests.integration.running import run_toy
from tuner import Objective
from tuner.report import renderings

GOALS = [Objective(metric="loss", mode="min"), Objective(metric="size", mode="min")]


@pytest.fixture(scope="module", params=[("random", "fifo"), ("optuna", "asha")], ids=" ".join)
def report(request, cluster, tmp_path_factory):
    searcher, scheduler = request.param
    folder = tmp_path_factory.mktemp("goals")
    parts = {"searcher": searcher, "scheduler": scheduler, "seed": 1}
    return run_toy("TwoGoals", folder, trials=12, objective=GOALS, **parts)


def test_the_front_holds_the_trials_that_no_other_beats_in_both_objectives(report):
    front = report.front()
    assert front
    for trial in report.trials:
        dominated = any(
            other.values != trial.values
            and all(a <= b for a, b in zip(other.values, trial.values, strict=True))
            for other in report.trials
        )
        assert (trial in front) is not dominated


def test_the_last_values_of_a_trial_count(report):
    for trial in report.trials:
        assert trial.value == trial.values[0] == trial.curve[-1][1]
        assert trial.values[1] == pytest.approx((trial.config["x"] - 0.7) ** 2 + 1 / trial.iterations)


def test_only_trials_of_the_front_keep_their_checkpoints(report):
    kept = {folder.name for folder in (report.folder / "checkpoints").iterdir() if folder.is_dir()}
    assert kept == {trial.id for trial in report.front()}
    for trial in report.front():
        with open(f"{trial.checkpoint}/steps.json") as file:
            assert json.load(file) == trial.iterations


def test_reports_show_all_objectives_and_the_front(report):
    data = json.loads(renderings.json(report))
    assert data["front"] == [trial.id for trial in report.front()]
    assert data["trials"][0]["values"] == list(report.trials[0].values)
    assert "value.size" in renderings.csv(report).splitlines()[0]
    assert "Pareto front" in renderings.summary(report)
    assert "Pareto front" in renderings.html(report)
    assert renderings.table(report).splitlines()[0].split()[:5] == ["trial", "state", "front", "loss", "size"]
