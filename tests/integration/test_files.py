"""Trainables in files, as seen by a trial and the processes it starts, on a real local Ray."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ray import tune

from tests.integration.running import events
from tests.present import present
from trainables.torch.export import load_model
from tuner import Budget, Float, Objective, Report, Resources, Sweep, run
from tuner.code.modules import load_file
from tuner.evaluation.evaluate import evaluate
from tuner.export import export

LOSS = Objective(metric="loss", mode="min")

STARTS = """
import multiprocessing, pickle
import ray
from ray import tune


class Net:
    def __init__(self, size):
        self.size = size


def size_of(net):
    return Net(net.size + 1)


@ray.remote(num_cpus=0)
def remote_size_of(net):
    return Net(net.size + 1)


def train(config):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spawned = pool.apply(size_of, (Net(3),))
    remote = ray.get(remote_size_of.remote(Net(3)))
    same = [type(net) is Net for net in (spawned, remote, pickle.loads(pickle.dumps(Net(3))))]
    tune.report({"loss": spawned.size + remote.size, "same": all(same), "name": __name__})
"""


pytestmark = pytest.mark.usefixtures("modules_as_before")


def run_it(trainable, out: Path, *, trials: int = 1, **parts) -> Report:
    space = {"x": Float(0.0, 1.0)}
    budget = Budget(trials=trials, retries=0, concurrent=1)
    sweep = Sweep(trainable=trainable, space=space, objective=LOSS, budget=budget, out=str(out), **parts)
    report = run(sweep)
    assert [trial.error for trial in report.trials] == [None] * trials
    return report


def metrics(report: Report) -> list[dict]:
    return [event.metrics for event in events(report, "result")]


@pytest.mark.parametrize("name", ["starts_others", "starts-others", "starts.others", "a folder/starts"])
def test_processes_started_by_a_trial_can_import_its_file(name, tmp_path):
    path = tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(STARTS)
    [found] = metrics(run_it(f"{path}:train", tmp_path))
    assert (found["loss"], found["same"]) == (8, True)


def test_two_files_of_one_name_are_two_modules_everywhere(tmp_path):
    names = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twice.py").write_text(STARTS)
        [found] = metrics(run_it(f"{tmp_path / folder / 'twice.py'}:train", tmp_path))
        assert (found["loss"], found["same"]) == (8, True)
        names.append(found["name"])
    assert names[0] == "twice"
    assert names[1].startswith("twice_")


VALUE = "VALUE = {value}\n\n\ndef value(config, data=None):\n    return VALUE + len(data or [])\n"


def test_objects_that_refer_to_a_file_take_it_with_them(tmp_path):
    path = tmp_path / "refers.py"
    path.write_text(VALUE.format(value=7))
    value = load_file(path).value

    def closure(config):
        return value(config)

    for trainable, loss in (
        (closure, 7),
        (tune.with_parameters(value, data=[1, 2]), 9),
        (partial(value, data=[1]), 8),
    ):
        assert metrics(run_it(trainable, tmp_path))[0] == {"loss": loss}


EDITS = """
from pathlib import Path

VALUE = 1


def train(config):
    Path(__file__).write_text(Path(__file__).read_text().replace("VALUE = 1", "VALUE = 2"))
    return VALUE
"""


def test_an_edit_during_the_sweep_does_not_affect_later_trials(tmp_path):
    path = tmp_path / "edited.py"
    path.write_text(EDITS)
    report = run_it(
        f"{path}:train", tmp_path, trials=3, resources=Resources(isolation="process"), searcher="random"
    )
    assert "VALUE = 2" in path.read_text()
    assert [trial.value for trial in report.trials] == [1, 1, 1]


def test_a_file_in_another_folder_is_found_by_all_processes_of_a_new_cluster(tmp_path):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sweeps" / "starts.py").write_text(STARTS)
    (tmp_path / "sweeps" / "sweep.yaml").write_text(
        "trainable: starts.py:train\nspace: {x: {float: [0.0, 1.0]}}\n"
        "objective: {metric: loss, mode: min}\nbudget: {trials: 1}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tuner.cli", "run", "../sweeps/sweep.yaml"],
        cwd=tmp_path / "elsewhere", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [found] = metrics(Report.read(tmp_path / "elsewhere" / "results" / "sweep"))
    assert (found["loss"], found["same"]) == (8, True)


LINEAR = """
import torch
from trainables.torch import TorchTrainable
from trainables.configs import TrainingConfig


class Linear(TorchTrainable):
    Config = TrainingConfig

    def model(self, config):
        return torch.nn.Linear(self.dataset.features, self.dataset.outputs)
"""
SWEEP = """
trainable: {kind: linear_model.py:Linear, path: rows.csv, target: y}
space: {lr: {float: [0.01, 0.1]}}
objective: {metric: val_accuracy, mode: max}
budget: {trials: 1, iterations: 3}
"""


def test_a_sweep_can_be_run_evaluated_and_exported_from_other_folders(tmp_path, monkeypatch):
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "linear_model.py").write_text(LINEAR)
    (folder / "sweep.yaml").write_text(SWEEP)
    rows = np.random.default_rng(0).normal(size=(100, 2))
    pd.DataFrame(rows, columns=["a", "b"]).assign(y=rows[:, 0] > 0).to_csv(folder / "rows.csv", index=False)
    monkeypatch.chdir(tmp_path)
    report = run(Sweep.read("sweeps/sweep.yaml"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    evaluated = evaluate("../results/sweep", top=1, repeats=1)
    assert present(present(evaluated).evaluation)["chosen"] == "00000"
    assert export("../results/sweep", "model").is_dir()
    model = load_model("model", trainable=load_file(folder / "linear_model.py").Linear)
    assert set(model.predict(rows)) == {False, True}
    assert report.sweep["trainable"] == {
        "kind": "sweeps/linear_model.py:Linear",
        "path": "sweeps/rows.csv",
        "target": "y",
    }
