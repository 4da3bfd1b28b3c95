"""Every network of the recipe can be loaded from its checkpoint and predicts as in training."""

from typing import get_args

import pytest
from sklearn.datasets import load_digits

from trainables.configs import Normalization
from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.models.transformer import Transformer
from trainables.torch.export import load_model

RECIPE = {
    "initialization": "he_normal",
    "label_smoothing": 0.1,
    "warmup": 1.0,
    "clip_norm": 1.0,
    "noise": 0.1,
}


@pytest.mark.parametrize(
    ("model", "config"),
    [
        *[(MLP, {"normalization": name}) for name in ("none", "batch", "layer", "group", "weight")],
        *[(CNN, {"normalization": name, "channels": 4}) for name in get_args(Normalization)],
        (Transformer, {"width": 8, "heads": 2}),
    ],
    ids=lambda part: part.__name__ if isinstance(part, type) else part.get("normalization", ""),
)
def test_a_loaded_model_scores_like_the_trial(model, config, tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    trial = model(config={"dataset": "digits", "test": 0.6, **RECIPE, **config})
    trial.train()
    result = trial.train()
    trial.save(str(tmp_path / "saved"))
    rows = trial.dataset.validation.rows
    digits = load_digits()
    predicted = load_model(tmp_path / "saved").predict(digits.data[rows])
    right = predicted == digits.target[rows]
    assert right.mean() == pytest.approx(result["val_accuracy"])
