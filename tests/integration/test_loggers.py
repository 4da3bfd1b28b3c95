"""The loggers of a sweep, on a real local Ray."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest

from tests.integration.running import TOYS, events, run_toy
from tuner import Float
from tuner.trackers._tensorboard import stored


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Run a sweep that pauses, resumes and stops trials, with every logger of the table and a user's."""
    folder = tmp_path_factory.mktemp("logged")
    recorder = {"kind": f"{TOYS}:Recorder", "path": str(folder / "recorded")}
    loggers = ["csv", "json", "tensorboard", recorder]
    report = run_toy("Toy", folder, space={"x": Float(0.0, 0.9)}, trials=9, scheduler="asha", loggers=loggers)
    assert 0 < report.counts()["failed"] < 9
    assert any(event.action == "resume" for event in events(report, "decision"))
    return report


def curve(report, trial):
    """Return the iterations and values of a trial in the journal."""
    return [(e.iteration, e.value) for e in events(report, "result") if e.trial == trial]


def logs(report, trial):
    return report.folder / "logs" / f"{trial.number:05d}"


def test_csv_holds_each_result_once(report):
    for trial in [trial for trial in report.trials if trial.iterations]:
        with (logs(report, trial) / "progress.csv").open() as file:
            rows = [(int(row["training_iteration"]), float(row["loss"])) for row in csv.DictReader(file)]
        assert rows == curve(report, trial.number)


def test_json_lines_hold_each_result_once_and_the_parameters(report):
    for trial in [trial for trial in report.trials if trial.iterations]:
        lines = (logs(report, trial) / "result.json").read_text().splitlines()
        rows = [(row["training_iteration"], row["loss"]) for row in map(json.loads, lines)]
        assert rows == curve(report, trial.number)
        assert json.loads((logs(report, trial) / "params.json").read_text())["x"] == trial.config["x"]


def test_tensorboard_holds_each_result_once(report):
    for trial in [trial for trial in report.trials if trial.iterations]:
        steps = [step for name, step, _ in stored(logs(report, trial)) if name == "loss"]
        assert steps == [iteration for iteration, _ in curve(report, trial.number)]


def test_a_user_s_logger_gets_every_event(report):
    lines = (report.folder.parent / "recorded").read_text().splitlines()
    names = {line.split()[-1] for line in lines}
    assert all(re.fullmatch(r"sweep_[0-9a-f]{8}_\d{5}", name) for name in names)
    assert len({name.split("_")[1] for name in names}) == 1
    for trial in report.trials:
        own = [line.rpartition(" ")[0] for line in lines if line.endswith(f"_{trial.number:05d}")]
        results = [line for line in own if line.startswith("result")]
        assert results == [f"result {iteration} {value}" for iteration, value in curve(report, trial.number)]
        assert own[0] == "start"
        assert own[-1] == ("error" if trial.state == "failed" else "complete")


def test_without_loggers_nothing_is_written_for_a_trial(tmp_path):
    report = run_toy("Toy", tmp_path, trials=2, iterations=1, space={"x": Float(0.0, 0.5)})
    shutil.rmtree(report.folder / "checkpoints")
    written = sorted(path.name for path in report.folder.iterdir())
    assert written == ["journal.sqlite", "report.html", "sweep.yaml", "tuner.log"]
