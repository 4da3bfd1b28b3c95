"""Import paths of earlier versions lead to the same modules and classes."""

import importlib
import json

import pytest

from trainables import TRAINABLES, former_paths
from trainables.models.mlp import MLP
from trainables.torch.export import load_model
from tuner.trainable import TrainableSpec


@pytest.mark.parametrize(("former", "now"), former_paths.MODULES.items())
def test_a_former_module_path_gives_the_present_module(former, now):
    assert importlib.import_module(former) is importlib.import_module(now)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("trainables.mlp:MLP", "mlp"),
        ("trainables.cnn:CNN", "cnn"),
        ("trainables.nas:NasMLP", "nas_mlp"),
        ("trainables.sklearn:Estimator", "sklearn"),
        ("trainables.transformer:Transformer", "transformer"),
    ],
)
def test_a_sweep_of_an_earlier_version_finds_its_trainable(kind, name):
    assert TrainableSpec(kind=kind).load() is TrainableSpec(kind=name).load()
    assert former_paths.current(kind) == TRAINABLES[name].path


def test_a_model_exported_by_an_earlier_version_can_be_loaded(trial, tmp_path, after):
    learner = trial()
    after(learner, 1)
    learner.save(str(tmp_path / "checkpoint"))
    MLP.export(str(tmp_path / "checkpoint"), str(tmp_path / "model"))
    config = tmp_path / "model" / "config.json"
    about = json.loads(config.read_text())
    assert about["trainable"] == "trainables.models.mlp:MLP"
    rows = learner.dataset.source.table.numbers
    expected = load_model(tmp_path / "model").predict(rows)
    config.write_text(json.dumps({**about, "trainable": "trainables.mlp:MLP"}))
    assert load_model(tmp_path / "model").predict(rows).tolist() == expected.tolist()
