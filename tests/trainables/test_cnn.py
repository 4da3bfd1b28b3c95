"""The CNN learns images of every shape and refuses other rows."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from trainables.configs import CNNConfig
from trainables.models.cnn import CNN

SMALL = {"dataset": "digits", "channels": 4, "batch_size": 64}


def options(name):
    return get_args(CNNConfig.model_fields[name].annotation)


@pytest.fixture
def cnn(tmp_path, monkeypatch):
    """Return a function that starts a trial, on digits unless the config says otherwise."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    return lambda **config: CNN(
        config={**({**SMALL, "dataset": None} if "path" in config else SMALL), **config}
    )


def test_six_epochs_learn_digits(cnn, after):
    trial = cnn(channels=16, lr=3e-3, batch_size=16, normalization="batch")
    assert after(trial, 6)["val_accuracy"] > 0.95


@pytest.mark.parametrize(
    "option",
    [
        {name: value}
        for name in ("kernel", "pooling", "normalization", "activation")
        for value in options(name)
    ]
    + [{"dropout": 0.3}, {"blocks": 1}, {"blocks": 5, "channels": 1}],
    ids=str,
)
def test_every_option_trains(cnn, scores, option):
    assert all(map(math.isfinite, scores(cnn(**option).train()).values()))


@pytest.mark.parametrize("shape", [(5, 9), (3, 6, 4), (1, 1, 7)], ids=str)
def test_images_in_a_file_can_predict_a_number(cnn, scores, tmp_path, shape):
    generator = np.random.default_rng(0)
    pixels = generator.normal(size=(60, *shape))
    np.savez(tmp_path / "images.npz", X=pixels, y=pixels.mean(axis=tuple(range(1, pixels.ndim))))
    trial = cnn(path=str(tmp_path / "images.npz"), blocks=3)
    assert all(map(math.isfinite, scores(trial.train()).values()))
    assert trial.model(trial.hyperparameters)[1].in_channels == (1 if len(shape) == 2 else shape[0])


def test_blocks_pool_until_a_side_would_be_below_two_pixels(cnn):
    trial = cnn(blocks=4, channels=1)
    *blocks, _, _ = trial.model(trial.hyperparameters)
    outputs = torch.nn.Sequential(*blocks)(torch.zeros(3, 64))
    assert outputs.shape == (3, 8, 2, 2)


def test_a_batch_of_one_row_can_be_normalised(cnn, scores):
    trial = cnn(blocks=4, channels=1, normalization="batch", batch_size=1, validation=0.05, test=0.9)
    assert math.isfinite(scores(trial.train())["train_loss"])


def test_rows_that_are_not_images_are_refused():
    with pytest.raises(ValueError, match=r"^dataset: 'wine' must be images, got rows of shape \(13,\)$"):
        CNN.metrics({"dataset": "wine"})


def test_a_table_in_a_file_is_refused_by_its_path(tmp_path, flowers):
    path = str(tmp_path / "flowers.csv")
    flowers.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"^path: '.*flowers.csv' must be images, got rows of shape \(3,\)$"):
        CNN.metrics({"path": path, "target": "species"})
