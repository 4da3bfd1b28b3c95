"""Every option of the training recipe fulfils the contract of a trainable, restoring included."""

import functools
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from trainables.configs import (
    Activation,
    CNNConfig,
    Initialization,
    MLPConfig,
    Normalization,
    OptimizerName,
    PreprocessingConfig,
    ScheduleName,
    TransformerConfig,
)
from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.models.transformer import Transformer
from tuner.testing import TrainableContract

SMALL = {"dataset": "iris", "batch_size": 32, "precision": "float32"}
IMAGES = {"dataset": "digits", "validation": 0.05, "test": 0.9, "batch_size": 32, "channels": 4}
NUMBERS = {"dataset": "diabetes", "validation": 0.1, "test": 0.7, "batch_size": 32}
TOKENS = {**SMALL, "width": 8, "heads": 2, "depth": 1}


def each(name, values, **parts):
    return [{name: value, **parts} for value in values]


def combined(*columns):
    """Return as many configurations as the longest column has entries; shorter columns start again.

    Every entry is in at least one configuration, beside different entries of the other columns.
    """
    rows = range(max(map(len, columns)))
    return [{key: value for part in columns for key, value in part[i % len(part)].items()} for i in rows]


# The small configuration of each model, and the options added to it, several at a time. If a test fails for
# one combination only, try its options one by one.
MODELS = {
    MLP: (
        SMALL,
        [
            *combined(
                each("optimizer", get_args(OptimizerName), weight_decay=0.01),
                each("initialization", get_args(Initialization), init_scale=0.1, init_bias=0.1),
                each("activation", get_args(Activation)),
                each("schedule", get_args(ScheduleName), decay_epochs=2, decay_factor=0.3, min_lr_ratio=0.1),
                each("normalization", ["none", "batch", "layer", "group", "weight"]),
                [
                    {},
                    {"clip_norm": 0.1},
                    {"clip_value": 0.01},
                    {"l1": 0.01, "l2": 0.01},
                    {"noise": 0.3},
                    {"mixup": 0.4},
                    {"label_smoothing": 0.1},
                    {"dropout": 0.3, "depth": 2},
                ],
            ),
            {"optimizer": "sgd", "momentum": 0.5, "schedule": "cosine", "warmup": 1.5, "decay_epochs": 2},
            {"optimizer": "rmsprop", "momentum": 0.5, "rho": 0.9, "epsilon": 1e-4, "depth": 0},
            {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4, "patience": 2, "min_change": 10.0},
            {"schedule": "plateau", "plateau_patience": 0, "lr": 1e-9},
            {"amp": "bf16"},
            {"amp": "fp16"},
            {"compile": True},
            {**NUMBERS, "mixup": 0.4, "noise": 0.1, "normalization": "layer"},
        ],
    ),
    CNN: (
        IMAGES,
        [
            *combined(
                each("normalization", get_args(Normalization)),
                each("kernel", [1, 3, 5, 7]),
                each("pooling", ["max", "average"]),
                [
                    {"shift": 1},
                    {"flip": 0.5},
                    {"rotation": 10.0},
                    {"cutout": 3},
                    {
                        "shift": 1,
                        "rotation": 5.0,
                        "cutout": 2,
                        "noise": 0.1,
                        "mixup": 0.2,
                        "label_smoothing": 0.1,
                    },
                    {"dropout": 0.3, "blocks": 1},
                ],
            ),
            {"dataset": None, "path": "images.npz", "validation": 0.2, "test": 0.2, "mixup": 0.2},
        ],
    ),
    Transformer: (
        TOKENS,
        [
            {"dropout": 0.2, "depth": 2, "expansion": 1, "heads": 4},
            {"initialization": "orthogonal", "label_smoothing": 0.1, "mixup": 0.2},
            {
                "dataset": "digits",
                "validation": 0.05,
                "test": 0.9,
                "optimizer": "adamw",
                "weight_decay": 0.1,
                "warmup": 1.0,
                "schedule": "cosine",
            },
            NUMBERS,
        ],
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Create the folder for relative paths, with images whose brightness is the target."""
    folder = tmp_path_factory.mktemp("files")
    pixels = np.random.default_rng(0).normal(size=(60, 5, 6))
    np.savez(folder / "images.npz", X=pixels, y=pixels.mean(axis=(1, 2)))
    return folder


@pytest.fixture(autouse=True)
def _in_the_folder(files, monkeypatch):
    monkeypatch.setenv("TUNE_ORIG_WORKING_DIR", str(files))


@pytest.fixture(autouse=True)
def _own_compiler(monkeypatch):
    """Replace torch.compile's C++ compiler; the effect on a trial's life is the same."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


for _model, (_base, _options) in MODELS.items():
    for _number, _option in enumerate(_options):

        @pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # raised in torch's own compiler
        class _Contract(TrainableContract):
            trainable = _model
            config = {**_base, **_option}  # noqa: RUF012
            iterations = 2

        _name = "_".join(str(part) for item in _option.items() for part in item)
        _Contract.__name__ = _Contract.__qualname__ = f"Test_{_model.__name__}_{_number}_{_name}"[:90]
        globals()[_Contract.__name__] = _Contract
del _Contract


@pytest.mark.parametrize(
    ("model", "config"), [(MLP, MLPConfig), (CNN, CNNConfig), (Transformer, TransformerConfig)]
)
def test_every_hyperparameter_and_choice_is_covered(model, config):
    tried: dict[str, list] = {}
    for base, options in MODELS.values():
        for name, value in (item for option in [base, *options] for item in option.items()):
            tried.setdefault(name, []).append(value)
    for name, field in config.model_fields.items():
        if name not in {"hidden", "groups", *PreprocessingConfig.model_fields}:
            values = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            assert {field.default, *tried[name]} >= set(values)
    assert model.Config is config
