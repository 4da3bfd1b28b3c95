"""Relative paths in a sweep file are looked up in its own folder first, then in the current one."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuner import Sweep
from tuner.code.modules import LOADED_FILES
from tuner.lookup import looked_up
from tuner.trainable import TrainableSpec

TYPED = """
from pathlib import Path
from pydantic import BaseModel, Field
from ray.tune import Trainable


class Typed(Trainable):
    class Settings(BaseModel):
        images: Path
        masks: list[Path] | None = None
        more: str = Field("", json_schema_extra={"lookup": "file"})
        label: str = ""


def train(config): ...
"""


@pytest.fixture
def sweeps(tmp_path, monkeypatch) -> Iterator[Path]:
    """Return a folder of sweep files, and other files, below the current folder."""
    folder = tmp_path / "sweeps"
    folder.mkdir()
    (folder / "typed_settings.py").write_text(TYPED)
    for name in ("a.csv", "b.csv", "mlp", "digits", "grid", "controller.pt"):
        (folder / name).touch()
    (folder / "earlier").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "c.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    modules, files = dict(sys.modules), dict(LOADED_FILES)
    yield folder
    for module in sys.modules.keys() - modules.keys():
        del sys.modules[module]
    LOADED_FILES.clear()
    LOADED_FILES.update(files)


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ({"kind": "mlp", "path": "a.csv"}, {"kind": "mlp", "path": "sweeps/a.csv"}),
        ({"kind": "mlp", "path": "./a.csv"}, {"kind": "mlp", "path": "sweeps/a.csv"}),
        ({"kind": "mlp", "path": "../a.csv"}, {"kind": "mlp", "path": "a.csv"}),
        ({"kind": "mlp", "path": "c.csv"}, {"kind": "mlp", "path": "c.csv"}),
        ({"kind": "mlp", "path": "nowhere.csv"}, {"kind": "mlp", "path": "nowhere.csv"}),
        ({"kind": "mlp", "dataset": "digits"}, {"kind": "mlp", "dataset": "digits"}),
        ("mlp", "mlp"),
        (
            {"kind": "sklearn", "estimator": "typed_settings.py:train", "path": "b.csv"},
            {"kind": "sklearn", "estimator": "sweeps/typed_settings.py:train", "path": "sweeps/b.csv"},
        ),
        (
            {"kind": "sklearn", "estimator": {"a": "sklearn.svm:SVC", "b": "typed_settings.py:train"}},
            {"kind": "sklearn", "estimator": {"a": "sklearn.svm:SVC", "b": "sweeps/typed_settings.py:train"}},
        ),
        (
            {
                "kind": "typed_settings.py:Typed",
                "images": "a.csv",
                "masks": ["b.csv"],
                "more": "b.csv",
                "label": "b.csv",
            },
            {
                "kind": "sweeps/typed_settings.py:Typed",
                "images": "sweeps/a.csv",
                "masks": ["sweeps/b.csv"],
                "more": "sweeps/b.csv",
                "label": "b.csv",
            },
        ),
        (
            {"kind": "typed_settings.py:train", "images": "a.csv"},
            {"kind": "sweeps/typed_settings.py:train", "images": "a.csv"},
        ),
        ({"kind": "typed_settings.py:Nothing", "images": "a.csv"}, None),
    ],
    ids=str,
)
def test_a_file_named_in_a_setting_is_looked_up_next_to_the_sweep_file(sweeps, trainable, expected):
    expected = expected or {**trainable, "kind": "sweeps/typed_settings.py:Nothing"}
    assert looked_up({"trainable": trainable, "seed": 3}, sweeps) == {"trainable": expected, "seed": 3}


def test_the_warm_start_folder_is_looked_up_next_to_the_sweep_file(sweeps):
    given: dict[str, Any] = {"searcher": {"kind": "grid", "warm_start": "earlier"}}
    assert looked_up(given, sweeps) == {"searcher": {"kind": "grid", "warm_start": "sweeps/earlier"}}
    given = {"searcher": {"kind": "reinforce", "controller": "controller.pt", "warm_start": None}}
    expected = {"kind": "reinforce", "controller": "sweeps/controller.pt", "warm_start": None}
    assert looked_up(given, sweeps) == {"searcher": expected}
    assert looked_up({"searcher": "grid", "out": "earlier"}, sweeps) == {"searcher": "grid", "out": "earlier"}


SEARCHER = """
from tuner.searchers import Random


class Patient(Random):
    pass


def train(config): ...
"""


def test_the_user_s_code_is_stored_under_a_path_that_finds_it_again(sweeps):
    (sweeps / "own_searcher.py").write_text(SEARCHER)
    (sweeps / "sweep.yaml").write_text(
        "trainable: own_searcher.py:train\nsearcher: {kind: own_searcher.py:Patient}\n"
        "space: {x: {float: [0.0, 1.0]}}\nobjective: {metric: loss, mode: min}\nbudget: {trials: 2}\n"
    )
    sweep = Sweep.read(sweeps / "sweep.yaml")
    assert sweep.to_dict()["searcher"]["kind"] == "sweeps/own_searcher.py:Patient"
    assert sweep.to_dict()["trainable"]["kind"] == "sweeps/own_searcher.py:train"
    given = sweep.model_copy(update={"trainable": TrainableSpec.parse(sweep.trainable.load())})
    assert given.to_dict() == sweep.to_dict()
    assert given.trainable.is_importable()
