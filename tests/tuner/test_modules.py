"""The places where the user's code is looked up."""

import re
import sys

import pytest

from tuner import SpecError, Sweep
from tuner.code.modules import beside, load_file, load_module

SWEEP = """
trainable: model.py:train
space: {x: {float: [0.0, 1.0]}}
objective: {metric: loss, mode: min}
budget: {trials: 2}
"""
MODEL = "def train(config):\n    return {number}\n"


pytestmark = pytest.mark.usefixtures("modules_as_before")


def test_a_file_is_looked_up_in_the_sweep_file_s_folder_first(tmp_path, monkeypatch):
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    monkeypatch.chdir(tmp_path)
    assert Sweep.read("sweeps/sweep.yaml").trainable.kind == "model.py:train"
    (tmp_path / "sweeps" / "model.py").write_text(MODEL.format(number=2))
    sweep = Sweep.read("sweeps/sweep.yaml")
    assert sweep.trainable.kind == "sweeps/model.py:train"
    assert sweep.trainable.load()({}) == 2


def test_a_file_outside_the_current_directory_is_named_by_its_full_path(tmp_path, monkeypatch):
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
    what = f"hides the library '{library}', which a sweep needs; rename the file"
    assert str(refusal.value) == f"the file '{tmp_path / name}' {what}"
    assert str(tmp_path) not in sys.path


def test_a_file_that_hides_a_standard_module_is_refused(tmp_path):
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    (tmp_path / "profile.py").write_text("")
    with pytest.raises(SpecError) as refusal:
        load_file(tmp_path / "model.py")
    what = "hides Python's standard module 'profile', which a sweep needs; rename the file"
    assert str(refusal.value) == f"the file '{tmp_path / 'profile.py'}' {what}"


@pytest.mark.parametrize("name", ["wave.py", "test.py", "sys.py", "utils.py", "datasets.py"])
def test_a_file_that_hides_nothing_needed_is_accepted(name, tmp_path):
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    (tmp_path / name).write_text("")
    assert load_file(tmp_path / "model.py").train({}) == 1


def test_a_package_that_hides_a_library_is_refused(tmp_path):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    what = "hides the library 'torch', which a sweep needs; rename the folder"
    with pytest.raises(SpecError, match=re.escape(f"the folder '{tmp_path / 'torch'}' {what}")):
        load_file(tmp_path / "model.py")


@pytest.mark.parametrize("searcher", ["optuna", "random"])
def test_a_sweep_whose_workers_could_not_find_a_library_is_refused(searcher, tmp_path, monkeypatch):
    (tmp_path / "optuna.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError) as refusal:
        Sweep(
            trainable=print,
            space={"x": 1},
            objective={"metric": "loss", "mode": "min"},
            budget={"trials": 1},
            searcher=searcher,
        )
    what = "hides the library 'optuna', which a sweep needs; rename the file"
    assert str(refusal.value) == f"the file '{tmp_path / 'optuna.py'}' {what}"


def test_a_folder_hidden_by_a_library_is_named(tmp_path, monkeypatch):
    (tmp_path / "trainables").mkdir()
    (tmp_path / "trainables" / "mine.py").write_text(MODEL.format(number=1))
    (tmp_path / "trainables" / "yours.py").write_text("from trainables.mine import train\n")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "trainables"
    hint = f"the library 'trainables' hides the folder '{folder}': rename it, or write file.py:Name"
    with pytest.raises(SpecError) as refusal:
        load_module("trainables.mine")
    assert str(refusal.value) == f"there is no module 'trainables.mine'; {hint}"
    assert load_file(tmp_path / "trainables" / "mine.py").train({}) == 1
    with pytest.raises(SpecError) as refusal:
        load_file(tmp_path / "trainables" / "yours.py")
    assert str(refusal.value).endswith(f"ModuleNotFoundError: No module named 'trainables.mine'; {hint}")


def test_a_file_that_returns_to_its_old_content_is_the_first_module_again(tmp_path):
    path = tmp_path / "model.py"
    modules = []
    for number in (1, 2, 1):
        path.write_text(MODEL.format(number=number))
        modules.append(load_file(path))
        assert sys.modules["model"] is modules[-1]
    assert modules[0] is modules[2] is not modules[1]


def test_a_folder_without_code_hides_nothing(tmp_path):
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "notes.txt").touch()
    (tmp_path / "model.py").write_text(MODEL.format(number=1))
    assert load_file(tmp_path / "model.py").train({}) == 1
