"""Exported models: outputs as in the sweep, from raw rows, and no code is run."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.torch.export import load_model


class Mine(MLP):
    """A class that no table lists."""


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Return a function that trains a trial and gives it with the folder of its checkpoint."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))

    def train(cls=MLP, **config):
        trial = cls(config={"lr": 0.02, "batch_size": 16, **config})
        trial.train()
        trial.save(str(tmp_path / "saved"))
        return trial, tmp_path / "saved"

    return train


@pytest.mark.parametrize(
    ("cls", "config"),
    [
        (MLP, {"dataset": "wine", "dropout": 0.5, "scaling": "robust"}),
        (MLP, {"dataset": "diabetes", "precision": "float64", "whitening": "pca"}),
        (CNN, {"dataset": "digits", "channels": 2, "normalization": "batch", "test": 0.6}),
    ],
    ids=["classification", "regression", "images"],
)
def test_an_exported_model_gives_the_outputs_of_the_trial(saved, tmp_path, cls, config):
    trial, folder = saved(cls, **config)
    cls.export(str(folder), str(tmp_path / "model"))
    model = load_model(tmp_path / "model")
    validation = trial.dataset.validation
    rows = trial.dataset.source.table.numbers[validation.rows]
    with torch.inference_mode():
        expected = trial._learner.network.eval()(torch.tensor(validation.features))
    assert torch.equal(model.outputs(rows), expected)
    assert not model.network.training
    targets = trial.dataset.source.targets[validation.rows]
    if config["dataset"] == "diabetes":
        units = expected.double().squeeze(1).numpy() * trial.dataset.target.scale + trial.dataset.target.mean
        np.testing.assert_allclose(model.predict(rows), units)
        assert np.corrcoef(model.predict(rows), targets)[0, 1] > 0.2
    else:
        expected_classes = trial.dataset.source.class_values[expected.argmax(dim=1).numpy()]
        assert model.predict(rows).tolist() == expected_classes.tolist()


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer"])
def test_predictions_can_be_compared_with_the_targets_of_a_bundled_data_set(saved, name):
    from sklearn import datasets

    trial, folder = saved(dataset=name)
    for _ in range(8):
        trial.train()
    trial.save(str(folder))
    rows, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    assert (load_model(folder).predict(rows) == y).mean() > 0.85


CLASSES = {
    "integers": np.array([3, 30, 200], dtype=np.uint8),
    "negative integers": np.array([-1, 0, 1]),
    "booleans": np.array([False, True, True]),
    "floats": np.array([0.5, 1.5, 2.0]),
    "text": np.array(["a", "b", "c"]),
}


@pytest.mark.parametrize("values", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_predicted_classes_have_the_type_of_the_data(saved, tmp_path, values, suffix):
    y = np.repeat(values, 20)
    rows = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat(np.arange(3), 20)[:, None] * 20
    path = tmp_path / f"data.{suffix}"
    if suffix == "npz":
        np.savez(path, X=rows, y=y)
    else:
        frame = pd.DataFrame(rows, columns=["a", "b"]).assign(kind=y)
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    target = "y" if suffix == "npz" else "kind"
    trial, folder = saved(path=str(path), target=target, task="classification", lr=0.1)
    for _ in range(20):
        trial.train()
    trial.save(str(folder))
    MLP.export(str(folder), str(tmp_path / "model"))
    expected = np.int64 if suffix == "csv" and values.dtype == np.uint8 else values.dtype
    for place in (folder, tmp_path / "model"):
        predicted = load_model(place).predict(rows)
        assert predicted.dtype == expected
        assert (predicted == y).mean() > 0.9


def test_predicted_number_categories_are_numbers():
    from trainables.data import sources

    rows = pd.DataFrame({"a": range(30)})
    source = sources.of_arrays(rows, pd.Series([2, 10, 100] * 10).astype("category"), task=None)
    assert source.class_names == ("10", "100", "2")
    assert source.class_values.tolist() == [10, 100, 2]


def test_a_model_of_an_earlier_version_predicts_class_names(saved, tmp_path):
    _, folder = saved(dataset="wine")
    MLP.export(str(folder), str(tmp_path / "model"))
    path = tmp_path / "model" / "config.json"
    about = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("class_values", "class_type")}
    path.write_text(json.dumps(about))
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    del state["class_values"], state["class_type"]
    torch.save(state, folder / "checkpoint.pt")
    for place in (folder, tmp_path / "model"):
        assert set(load_model(place).predict(np.zeros((2, 13)))) <= {"class_0", "class_1", "class_2"}


def test_rows_can_be_a_frame_mappings_an_array_or_images(saved):
    trial, folder = saved(CNN, dataset="digits", channels=2, test=0.6)
    model = load_model(folder)
    array = trial.dataset.source.table.numbers[:5]
    frame = pd.DataFrame(array, columns=list(trial.dataset.source.table.columns.numbers))
    others = [array.reshape(5, 8, 8), frame[frame.columns[::-1]].assign(more=1), frame.to_dict("records")]
    for rows in others:
        assert torch.equal(model.outputs(rows), model.outputs(array))
    assert model.probabilities(array).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((2, 5)), "rows: must be n x 13 numbers, got shape (2, 5)"),
        (pd.DataFrame({"alcohl": [1.0]}), "rows: no column 'alcohol'; did you mean 'alcohl'?"),
        (
            np.full((1, 13), np.nan),
            "missing: must not be 'none' if values are missing, got gaps in 'alcohol', ",
        ),
    ],
    ids=["width", "column", "gap"],
)
def test_rows_that_do_not_fit_are_refused(saved, rows, message):
    _, folder = saved(dataset="wine")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        load_model(folder).predict(rows)


def test_a_class_outside_the_table_must_be_given_and_is_never_imported_by_name(saved):
    _, folder = saved(Mine, dataset="wine")
    with pytest.raises(ValueError, match=r"pass the class: load_model\(folder, trainable=...\)$"):
        load_model(folder)
    with pytest.raises(ValueError, match=r":Mine, got CNN$"):
        load_model(folder, trainable=CNN)
    assert load_model(folder, trainable=Mine).predict(np.zeros((1, 13))).shape == (1,)


def test_a_checkpoint_cannot_name_a_module_to_import(saved, tmp_path):
    _, folder = saved(dataset="wine")
    MLP.export(str(folder), str(tmp_path / "model"))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "trainable": "antigravity:MLP"}))
    with pytest.raises(ValueError, match="pass the class"):
        load_model(tmp_path / "model")
    assert "antigravity" not in sys.modules


class Malice:
    def __reduce__(self):
        return exec, ("import sys; sys.modules['it ran'] = 1",)


def test_a_checkpoint_with_code_is_refused_and_not_run(saved):
    _, folder = saved(dataset="wine")
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    torch.save({**state, "epoch": Malice()}, folder / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"its checkpoint must hold only tensors and plain values$"):
        load_model(folder)
    assert "it ran" not in sys.modules


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model; must be a checkpoint or an exported folder$"):
        load_model(tmp_path)
