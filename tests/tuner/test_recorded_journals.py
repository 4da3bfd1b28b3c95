"""The four recorded journals of the first format, in ``journals/``, remain readable."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.present import present
from tuner import Report, Sweep
from tuner.journal import FILE_NAME, History, read
from tuner.journal.events import SweepBegan
from tuner.state import SweepState, replay

RECORDED = Path(__file__).with_name("journals")
EXPECTED = json.loads((RECORDED / "expected.json").read_text())


@pytest.fixture(params=EXPECTED)
def recorded(request, tmp_path):
    """Return the name of a recorded sweep and a results folder that holds its journal."""
    shutil.copy(RECORDED / f"{request.param}.sqlite", tmp_path / FILE_NAME)
    return request.param, tmp_path


def test_the_report_equals_the_recorded_one(recorded):
    name, folder = recorded
    report = Report.read(folder)
    trials = [
        {
            "state": trial.state,
            "value": trial.value,
            "iterations": trial.iterations,
            "best_iteration": trial.best_iteration,
            "config": trial.config,
            "changes": len(trial.changes),
            "cause": trial.cause,
        }
        for trial in report.trials
    ]
    found = {
        "trials": trials,
        "best": present(report.best()).id,
        "reason": report.reason,
        "seconds": round(report.seconds, 3),
        "decisions": len(report.decisions()),
        "incumbents": len(report.incumbents()),
    }
    assert found == EXPECTED[name]


def test_a_sweep_can_be_resumed_after_any_event(recorded):
    _, folder = recorded
    events: list[Any] = list(read(folder))
    sweep = Sweep(**events[0].settings)
    for end in range(1, len(events), 5):
        state = SweepState.begin(sweep)
        replay(state, events[:end])
        history = History.of(events[:end])
        assert {n: trial.state for n, trial in state.trials.items() if trial.has_ended} == {
            trial.number: trial.state for trial in history.ended
        }
        assert {n: trial.config for n, trial in state.trials.items()} == {
            n: trial.changes[-1].config if trial.changes else trial.config
            for n, trial in history.trials.items()
        }


def test_setting_names_of_earlier_versions_are_understood():
    searcher = {"kind": "random", "points": [{"x": 0.5}]}
    began = SweepBegan({"searcher": searcher, "scheduler": {"kind": "median", "peers": 5}, "seed": 1})
    assert began.settings == {
        "searcher": {"kind": "random", "initial_points": [{"x": 0.5}]},
        "scheduler": {"kind": "median", "min_trials": 5},
        "seed": 1,
    }
    assert began.sweep["searcher"] is searcher  # the text that its signature covers
