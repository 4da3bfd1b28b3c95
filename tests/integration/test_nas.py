"""Architecture search on a real local Ray: children train in parallel, and the controller is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.integration.running import events, most_at_once
from tuner import Report, Sweep, run
from tuner.space import SearchSpace

EXAMPLE = Path(__file__).parents[2] / "sweeps" / "nas.yaml"


@pytest.fixture(scope="module")
def report(cluster, tmp_path_factory) -> Report:
    overrides = ["budget.trials=16", "budget.iterations=3", "budget.concurrent=3", "searcher.batch=4"]
    overrides += ["scheduler.grace_period=1", "resources.lanes=1"]
    overrides.append(f"out={tmp_path_factory.mktemp('nas')}")
    return run(Sweep.read(EXAMPLE, overrides))


def test_every_child_is_an_architecture_of_the_space_and_trains(report):
    space = SearchSpace(report.sweep["space"])
    assert len(report.trials) == 16
    assert all(space.contains(trial.config) for trial in report.trials)
    assert {trial.state for trial in report.trials} <= {"completed", "stopped"}
    assert report.best().value > 0.3


def test_children_train_in_parallel_and_the_controller_learns_between_them(report):
    assert most_at_once(report) >= 2  # a third worker may start too late for trials this short
    order = [event.kind for event in events(report, "suggested", "ended")]
    assert "suggested" in order[order.index("ended") :]


def test_the_controller_is_saved_and_has_learned(report):
    state = torch.load(report.folder / "controller.pt", weights_only=True)
    assert state["vocabulary"]["architecture.dense.width"] == 4
    assert state["optimizer"]["steps"] == 4


def test_a_search_continues_from_a_saved_controller(report, tmp_path):
    overrides = [f"searcher.controller={report.folder}/controller.pt", f"out={tmp_path}", "budget.trials=3"]
    path = report.folder / "sweep.yaml"
    again = run(Sweep.read(path, [*overrides, "resources.lanes=1"]))
    assert again.counts()["failed"] == 0
    assert torch.load(again.folder / "controller.pt", weights_only=True)["optimizer"]["steps"] == 4
