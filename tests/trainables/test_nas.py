"""Networks written as text: parsed, built, trained, alone and in a stack."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables.configs import parse
from trainables.configs.architecture import NasCNNConfig, NasMLPConfig, read
from trainables.models.nas import NasCNN, NasMLP

METRICS = ("train_loss", "val_loss", "val_accuracy")
MLPS = [
    "dense",
    "dense width=8 activation=tanh; dense width=5 activation=silu",
    "dense width=8; dropout p=0.2; dense width=8 skip=0,1",
    "dropout p=0.1; dense width=13; dense width=13 skip=0; dense width=4 skip=0,1,2",
]
CNNS = [
    "conv",
    "conv filters=4 kernel=5 stride=2 activation=elu; avgpool size=3",
    "conv filters=3; maxpool size=2; conv filters=3 kernel=1 skip=0,1; dropout p=0.1 skip=2",
    "maxpool; maxpool; maxpool; maxpool; conv filters=2 stride=3 skip=0; avgpool size=7 skip=3",
]


@pytest.fixture(autouse=True)
def _logs(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))


def trials(cls, count=1, **config):
    dataset = {NasMLP: "wine", NasCNN: "digits"}[cls]
    own = {"dataset": dataset, "batch_size": 32, "validation": 0.2, "test": 0.6, "precision": "float64"}
    return [cls(config={**own, "seed": seed, **config}) for seed in range(count)]


def curve(trial, epochs):
    return [[result[name] for name in METRICS] for result in (trial.train() for _ in range(epochs))]


def test_layer_fields_may_have_any_order_and_may_be_omitted():
    layers = read("dense activation=tanh width=8 ;dropout p=.25; dense skip=0,1", NasMLPConfig.kinds)
    assert [layer.model_dump() for layer in layers] == [
        {"width": 8, "activation": "tanh", "skip": ()},
        {"p": 0.25, "skip": ()},
        {"width": 64, "activation": "relu", "skip": (0, 1)},
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "layer 1: must name a kind of layer, one of dense, dropout, got nothing"),
        ("dense;", "layer 2: must name a kind of layer, one of dense, dropout, got nothing"),
        ("dense; densse", "layer 2: unknown kind of layer 'densse'; did you mean 'dense'?"),
        ("dense widht=8", "layer 1 (dense): unknown field 'widht'; did you mean 'width'?"),
        ("dense width=0", "layer 1 (dense): width: must be greater than or equal to 1, got 0"),
        ("dense width=8.5", "layer 1 (dense): width: must be a valid integer, got 8.5"),
        ("dense width", "layer 1 (dense): a field must be name=value, got 'width'"),
        ("dense width=", "layer 1 (dense): a field must be name=value, got 'width='"),
        ("dense width=8 width=9", "layer 1 (dense): duplicate field 'width'"),
        ("dense activation=rulu", "activation: unknown value 'rulu'; did you mean 'relu'?"),
        ("dense skip=0", "layer 1 (dense): skip must name earlier layers, none there, got '0'"),
        ("dense; dense skip=1", "of 0 to 0, ascending, with commas between them, got '1'"),
        ("dense; dense; dense skip=1,0", "of 0 to 1, ascending, with commas between them, got '1,0'"),
        ("dense; dense; dense skip=1,", "of 0 to 1, ascending, with commas between them, got '1,'"),
    ],
)
def test_an_invalid_architecture_is_refused_with_the_layer_and_what_must_hold(text, problem):
    with pytest.raises(ValueError, match=r"^architecture: layer") as caught:
        parse(NasMLPConfig, {"architecture": text}, where="config")
    assert problem in str(caught.value)


def test_an_invalid_architecture_in_a_sweep_is_refused_with_its_position(tmp_path, capsys):
    from tuner.cli import WRONG_INPUT, main

    (tmp_path / "sweep.yaml").write_text(
        "trainable: {kind: nas_mlp, dataset: wine}\n"
        "space: {architecture: {choice: [dense width=8, dense widht=8]}}\n"
        "objective: {metric: val_accuracy, mode: max}\n"
        "budget: {trials: 4, iterations: 3}\n"
    )
    assert main(["check", str(tmp_path / "sweep.yaml")]) == WRONG_INPUT
    assert capsys.readouterr().err == (
        "error: space.architecture: layer 1 (dense): unknown field 'widht'; did you mean 'width'? (nas_mlp)\n"
    )


def test_a_skip_connection_adds_the_output_of_the_earlier_layer():
    [trial] = trials(NasMLP, architecture="dense width=13 activation=tanh; dense width=4 skip=0")
    chain, last = trial.model(trial.hyperparameters).double()
    first, second = chain.layers
    rows = torch.randn(5, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(chain(rows), second(first(rows) + rows))
    assert (last.in_features, last.out_features) == (4, 3)


def test_a_skip_between_different_widths_has_its_own_projection():
    [trial] = trials(NasMLP, architecture="dense width=6; dense width=4; dense width=5 skip=0,1")
    [chain, _] = trial.model(trial.hyperparameters)
    shapes = {name: tuple(module.weight.shape) for name, module in chain.projections.items()}
    assert shapes == {"0_to_3": (4, 13), "1_to_3": (4, 6)}


def test_a_skip_between_images_is_reduced_to_the_smaller_size():
    [trial] = trials(NasCNN, architecture="conv filters=3; maxpool size=3; conv filters=5 skip=0,1")
    network = trial.model(trial.hyperparameters)
    pooling, mixing = network[1].projections["0_to_3"]
    assert (pooling.output_size, tuple(mixing.weight.shape)) == ((3, 3), (3, 1, 1, 1))
    assert [type(part) for part in network[1].projections["1_to_3"]] == [nn.AdaptiveAvgPool2d]
    assert network(torch.zeros(2, 64)).shape == (2, 10)


@pytest.mark.parametrize(
    ("cls", "architecture"), [*((NasMLP, text) for text in MLPS), *((NasCNN, text) for text in CNNS)]
)
def test_every_kind_of_layer_trains_alike_alone_and_in_a_stack(cls, architecture):
    alone = [curve(trial, 3) for trial in trials(cls, 3, architecture=architecture)]
    lanes = trials(cls, 3, architecture=architecture)
    stacked: list[list[Any]] = [[] for _ in lanes]
    for _ in range(3):
        cls.fused_step(lanes)
        assert all(trial._stacked_result for trial in lanes)
        for trial, found in zip(lanes, stacked, strict=True):
            found += curve(trial, 1)
    assert all(map(math.isfinite, np.ravel(alone)))
    np.testing.assert_allclose(stacked, alone, rtol=1e-8)


@pytest.mark.parametrize(
    ("cls", "architecture"),
    [
        (NasMLP, "dense width=32; dense width=32 activation=tanh skip=0"),
        (NasCNN, "conv filters=8; maxpool; conv filters=8 skip=0"),
    ],
)
def test_ten_epochs_learn(cls, architecture):
    [trial] = trials(cls, architecture=architecture, lr=0.01, batch_size=16)
    assert curve(trial, 10)[-1][2] > 0.9


def test_only_trials_of_one_architecture_train_together():
    texts = [MLPS[1], MLPS[2], MLPS[1]]
    configs = [{"dataset": "wine", "architecture": text, "seed": seed} for seed, text in enumerate(texts)]
    assert NasMLP.why_alone(configs) is None
    assert NasMLP.fitting(configs) == 2
    keys = [trial.fusion_key() for text in texts for trial in trials(NasMLP, architecture=text)]
    assert keys[0] is not None
    assert keys[0] == keys[2] != keys[1]


def test_rows_that_are_not_images_are_refused():
    with pytest.raises(ValueError, match=r"^dataset: 'wine' must be images, got rows of shape \(13,\)$"):
        NasCNN.metrics({"dataset": "wine"})


def test_defaults_are_architectures():
    for config in (NasMLPConfig(), NasCNNConfig()):
        assert read(config.architecture, config.kinds)
