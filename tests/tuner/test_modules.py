"""Where the user's code is found."""

import sys

import pytest

from tuner import SpecError, Sweep
from tuner.modules import LOADED_FILES, beside, load_file, load_module

SWEEP = """
trainable: model.py:train
space: {x: {float: [0.0, 1.0]}}
objective: {metric: loss, mode: min}
budget: {trials: 2}
"""
MODEL = "def train(config):\n    return {number}\n"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    modules, files = dict(sys.modules), dict(LOADED_FILES)
    monkeypatch.setattr("sys.path", list(sys.path))
    yield
    for name in sys.modules.keys() - modules.keys():
        del sys.modules[name]
    LOADED_FILES.clear()
    LOADED_FILES.update(files)


def test_a_file_is_looked_for_in_the_sweep_file_s_folder_first(tmp_path, monkeypatch):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    monkeypatch.chdir(tmp_path)
    assert Sweep.read("sweeps/sweep.yaml").trainable.kind == "model.py:train"
    (tmp_path / "sweeps" / "model.py").write_text(MODEL.format(number=2))
    sweep = Sweep.read("sweeps/sweep.yaml")
    assert sweep.trainable.kind == "sweeps/model.py:train"
    assert sweep.trainable.load()({}) == 2


def test_a_file_outside_the_current_directory_is_named_in_full(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    monkeypatch.chdir(tmp_path / "here")
    assert beside("model.py:train", tmp_path) == f"{tmp_path / 'model.py'}:train"
    assert beside("package.module:train", tmp_path) == "package.module:train"
    assert beside("mlp", tmp_path) == "mlp"


@pytest.mark.parametrize("name", ["optuna.py", "ray.py", "torch.py"])
def test_a_file_that_hides_a_library_is_refused(name, tmp_path):
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    (tmp_path / name).write_text("")
    with pytest.raises(SpecError) as refusal:
        load_file(tmp_path / "model.py")
    library = name.removesuffix(".py")
    what = f"hides the library '{library}', which is needed here; rename the file"
    assert str(refusal.value) == f"the file '{tmp_path / name}' {what}"
    assert str(tmp_path) not in sys.path


def test_a_folder_that_hides_a_library_is_refused(tmp_path, monkeypatch):
    (tmp_path / "trainables").mkdir()
    (tmp_path / "trainables" / "mine.py").write_text(MODEL.format(number=1))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"the folder '.*trainables' hides the library 'trainables'"):
        load_module("trainables.mine")


def test_a_folder_without_code_hides_nothing(tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "notes.txt").touch()
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    assert load_file(tmp_path / "model.py").train({}) == 1
