"""Sweeps resumed in another folder, with changed code, or with a trainable given as an object."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.integration.running import events
from tuner import Budget, Float, Objective, ResultsError, Sweep, resume, run
from tuner.code.modules import LOADED_FILES

CODE = """
import helper
from ray import tune

def train(config):
    for n in range(4):
        tune.report({"loss": config["x"] + helper.SHIFT - n})
"""


class Ending:
    """Interrupt the sweep when this number of trials has begun, and keep its notes."""

    def __init__(self, number=10**9):
        self.number, self.notes = number, []

    def open(self, sweep, folder, slots):
        return

    def show(self, driver):
        self.notes += driver.notes
        if len(driver.state.trials) >= self.number:
            os.kill(os.getpid(), signal.SIGINT)

    def close(self):
        return


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a folder with a trainable and its imports. This process forgets both at the end."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.py").write_text(CODE)
    (folder / "helper.py").write_text("SHIFT = 1.0\n")
    monkeypatch.chdir(folder)
    modules, files = dict(sys.modules), dict(LOADED_FILES)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield folder
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    LOADED_FILES.clear()
    LOADED_FILES.update(files)


def sweep_of(trainable):
    return Sweep(
        trainable=trainable,
        space={"x": Float(0.0, 1.0)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=8, concurrent=1),
        name="moving",
    )


def test_a_sweep_is_resumed_from_another_folder_under_another_name(project, tmp_path, monkeypatch, cluster):
    first = run(sweep_of("model.py:train"), progress=Ending(3))
    assert first.reason == "interrupted"
    (project / "results" / "moving").rename(tmp_path / "a b")
    monkeypatch.chdir(tmp_path)
    ending = Ending()
    report = resume("a b", progress=ending)
    assert report.counts()["completed"] == 8
    assert ending.notes == []
    assert report.folder == tmp_path / "a b"


def test_changed_code_is_announced(project, cluster):
    first = run(sweep_of("model.py:train"), progress=Ending(3))
    (project / "helper.py").write_text("SHIFT = 2.0\n")
    ending = Ending()
    report = resume(first.folder, progress=ending)
    assert report.reason == "trials"
    assert ending.notes[0].startswith("the code has changed since the sweep began (helper.py)")
    assert events(report, "resumed")[0].changed == ["helper.py"]


def test_an_edited_sweep_file_is_refused_and_a_missing_one_is_not_needed(project, cluster):
    first = run(sweep_of("model.py:train"), progress=Ending(3))
    path = first.folder / "sweep.yaml"
    path.write_text(path.read_text().replace("trials: 8", "trials: 20"))
    with pytest.raises(ResultsError, match="was edited in budget, but a resumed sweep cannot change"):
        resume(first.folder)
    path.unlink()
    assert len(resume(first.folder).trials) == 8


def test_a_sweep_with_a_trainable_object_is_resumed_with_that_object(project, cluster):
    def train(config):
        return config["x"]

    def other(config):
        return config["x"]

    first = run(sweep_of(train), progress=Ending(3))
    with pytest.raises(ResultsError, match=r"its trainable was an object .*resume it in Python: tuner"):
        resume(first.folder)
    with pytest.raises(ResultsError, match=r"its trainable is .*train, got .*other"):
        resume(first.folder, trainable=other)
    assert resume(first.folder, trainable=train).counts()["completed"] == 8
