"""Several processes train a trial as one process does: same seed, same rows per batch, same curve."""

from __future__ import annotations

import copy
import functools
import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tests.trainables.gang import Gang, free_port
from trainables.distributed.batches import SharedForward
from trainables.distributed.group import join
from trainables.distributed.normalization import whole_batch_norms
from trainables.distributed.ranks import Ranks
from trainables.models.cnn import CNN
from trainables.models.mlp import MLP
from trainables.models.transformer import Transformer
from trainables.torch import TorchTrainable
from trainables.torch.export import load_model

EPOCHS = 5
DIGITS = {"dataset": "digits", "precision": "float64", "seed": 3, "batch_size": 100}
WINE = {"dataset": "wine", "precision": "float64", "seed": 5, "batch_size": 35, "lr": 0.01}
GRADIENT_RULES = {"clip_norm": 0.5, "clip_value": 0.1, "l1": 1e-4, "l2": 1e-3}
IMAGE_RULES = {"shift": 1, "rotation": 10.0, "cutout": 2, "mixup": 0.4}

CASES: dict[str, tuple[type[TorchTrainable], dict[str, Any]]] = {
    "momentum": (MLP, {**DIGITS, "optimizer": "momentum", "lr": 0.05, "depth": 2, "hidden": 32}),
    "gradient rules": (MLP, {**DIGITS, **GRADIENT_RULES, "metrics": ["macro_f1", "roc_auc"]}),
    # 107 training rows: the last batch has two, fewer than three ranks.
    "batch normalization": (MLP, {**WINE, "optimizer": "adamw", "normalization": "batch", "noise": 0.1}),
    "mixup": (MLP, {**WINE, "optimizer": "nesterov", "mixup": 0.3, "label_smoothing": 0.1}),
    "single row": (MLP, {**WINE, "batch_size": 53, "optimizer": "sgd"}),
    "dropout": (MLP, {**WINE, "dropout": 0.3}),
    "regression": (
        MLP,
        {**WINE, "dataset": "diabetes", "optimizer": "rmsprop", "schedule": "plateau", "plateau_patience": 0},
    ),
    "images": (CNN, {**DIGITS, "normalization": "batch", "channels": 4, "optimizer": "momentum", "lr": 0.05}),
    "augmented images": (CNN, {**DIGITS, **IMAGE_RULES, "normalization": "batch", "channels": 4}),
    "transformer": (Transformer, {**WINE, "optimizer": "adamw", "width": 8, "heads": 2, "dropout": 0.1}),
}


class Weighted(TorchTrainable):
    """A model with a loss that is no mean over the rows, and a metric that is none either."""

    own_metrics = {"largest_of_last": lambda outputs, targets: outputs[-5:].max()}  # noqa: RUF012

    def model(self, config: Any) -> nn.Module:
        return Uneven(self.dataset.features, self.dataset.outputs)

    def loss(self, config: Any) -> Any:
        return nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))


class Uneven(nn.Module):
    """A linear layer, a layer that is never used, a buffer that its rows change, and random numbers."""

    largest: torch.Tensor

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(features, outputs), nn.Linear(features, outputs)
        self.register_buffer("largest", torch.zeros(()))
        self.register_buffer("places", torch.arange(3).expand(2, 3), persistent=False)
        self.draws: list[float] = []

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.largest = torch.maximum(self.largest, rows.max())
            self.draws.append(torch.rand(()).item())
        outputs: torch.Tensor = self.used(rows)
        return outputs


class Unlike(TorchTrainable):
    """A model whose initial weights differ between the processes."""

    def model(self, config: Any) -> nn.Module:
        layer = nn.Linear(self.dataset.features, self.dataset.outputs)
        nn.init.constant_(layer.weight, float(os.environ.get("RANK", "0")))
        return layer


class OwnStep(TorchTrainable):
    """A trainable that uses the processes itself."""

    def model(self, config: Any) -> nn.Module:
        return nn.Linear(self.dataset.features, self.dataset.outputs)

    def step(self) -> dict[str, Any]:
        return {"rank": int(os.environ["RANK"]), "joined": torch.distributed.is_initialized()}


class OwnNorm(nn.BatchNorm1d):
    """A batch normalisation that might compute anything."""


class Refused(TorchTrainable):
    """A model with a layer that only one process can train: a lazy one, or with weight decay ``OwnNorm``."""

    def model(self, config: Any) -> nn.Module:
        if config.weight_decay:
            return nn.Sequential(OwnNorm(self.dataset.features), nn.Linear(self.dataset.features, 3))
        return nn.LazyLinear(3)


@pytest.fixture(scope="module")
def gang() -> Iterator[Gang]:
    started = Gang(3)
    yield started
    started.close()


def curve(
    cls: type[TorchTrainable],
    config: dict[str, Any],
    *,
    epochs: int = EPOCHS,
    restore: str | None = None,
    save: str | None = None,
) -> list[dict[str, Any]]:
    """Train a trial in this process, and return its results without times."""
    trial = cls(config=config)
    try:
        if restore:
            trial.load_checkpoint(restore)
        results = [trial.train() for _ in range(epochs)]
        if save:
            trial.save_checkpoint(save if os.environ.get("RANK", "0") == "0" else tempfile.mkdtemp())
    finally:
        trial.stop()
    names = ("train_loss", "gradient_norm", "learning_rate", "parameters", "training_iteration", "done")
    return [
        {key: value for key, value in each.items() if key.startswith(("val_", "test_")) or key in names}
        for each in results
    ]


def assert_same(own: list[dict], expected: list[dict], *, tolerance: float = 1e-10) -> None:
    assert len(own) == len(expected)
    for mine, other in zip(own, expected, strict=True):
        assert mine == pytest.approx(other, rel=tolerance, abs=0)


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_the_curve_is_that_of_one_process(gang, case, world):
    [alone] = gang.run(1, curve, *CASES[case])
    together = gang.run(world, curve, *CASES[case])
    assert_same(together[0], alone)
    assert all(other == together[0] for other in together)


@pytest.mark.parametrize("case", ["gradient rules", "batch normalization", "regression", "transformer"])
def test_the_curve_of_a_divided_network_is_that_of_one_process(gang, case):
    cls, config = CASES[case]
    [alone] = gang.run(1, curve, cls, config)
    together = gang.run(3, curve, cls, {**config, "strategy": "fsdp"})
    assert_same(together[0], alone)
    assert all(other == together[0] for other in together)


@pytest.mark.parametrize(("saving", "strategy"), [(1, "fsdp"), (2, "ddp"), (2, "fsdp")])
def test_a_checkpoint_continues_with_any_number_of_processes(gang, tmp_path, saving, strategy):
    cls, config = MLP, {**WINE, "normalization": "batch", "optimizer": "adamw", "strategy": strategy}
    [alone] = gang.run(1, curve, cls, config)
    gang.run(saving, curve, cls, config, epochs=2, save=str(tmp_path))
    for world in {1, 2, 3} - {saving}:
        continued = gang.run(world, curve, cls, config, epochs=EPOCHS - 2, restore=str(tmp_path))
        assert_same(continued[0], alone[2:])


def test_a_checkpoint_of_a_divided_network_has_the_form_of_one_process(gang, tmp_path):
    config = {**WINE, "optimizer": "momentum", "strategy": "fsdp"}
    for world in (1, 3):
        (tmp_path / str(world)).mkdir()
        gang.run(world, curve, MLP, config, epochs=1, save=str(tmp_path / str(world)))
    alone, together = (shape_of(torch.load(tmp_path / name / "checkpoint.pt")) for name in ("1", "3"))
    assert together == alone
    models = [load_model(tmp_path / name).network.state_dict() for name in ("1", "3")]
    torch.testing.assert_close(models[0], models[1])


def shape_of(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: shape_of(value) for key, value in state.items()}
    if isinstance(state, list):
        return [shape_of(value) for value in state]
    return (type(state), state.shape, state.dtype) if isinstance(state, torch.Tensor) else type(state)


def test_a_loss_sees_the_whole_batch_and_unused_parameters_are_allowed(gang):
    [alone] = gang.run(1, curve, Weighted, WINE)
    for strategy in ({}, {"strategy": "fsdp"}):
        assert_same(gang.run(3, curve, Weighted, {**WINE, **strategy})[0], alone)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_all_processes_begin_with_the_weights_of_rank_0(gang, strategy):
    [alone] = gang.run(1, curve, Unlike, WINE, epochs=2)
    for each in gang.run(2, curve, Unlike, {**WINE, "strategy": strategy}, epochs=2):
        assert_same(each, alone)


def own_state(config: dict[str, Any]) -> tuple[float, list[float]]:
    trial = Weighted(config=config)
    try:
        trial.train()
        network: Any = trial._learner.network
        return network.largest.item(), network.draws
    finally:
        trial.stop()


def test_processes_share_buffers_and_draw_different_numbers(gang):
    states = gang.run(2, own_state, WINE)
    assert states[0][1] != states[1][1]
    assert states[0][0] == states[1][0]


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_ends_all_processes_at_the_same_epoch(gang, patience):
    config = {**WINE, "lr": 1.0, "optimizer": "momentum", "patience": patience}
    [alone] = gang.run(1, curve, MLP, config)
    assert any(result["done"] for result in alone)
    for each in gang.run(3, curve, MLP, config):
        assert [result["done"] for result in each] == [result["done"] for result in alone]


def test_a_refit_scores_on_the_test_rows_as_one_process_does(gang):
    config = {**WINE, "refit": 3}
    [alone] = gang.run(1, curve, MLP, config, epochs=1)
    assert_same(gang.run(2, curve, MLP, config, epochs=1)[0], alone)
    assert alone[0]["test_accuracy"] > 0.3


def reset(configs: list[dict[str, Any]], ports: list[int]) -> list[float]:
    """Train one epoch of each configuration in one object."""
    trial: MLP | None = None
    losses = []
    try:
        for config, port in zip(configs, ports, strict=True):
            os.environ["MASTER_PORT"] = str(port)
            if trial is None:
                trial = MLP(config=config)
            else:
                assert trial.reset_config(config)
            assert trial.fusion_key() is None
            losses.append(trial.train()["val_loss"])
    finally:
        if trial is not None:
            trial.stop()
    return losses


def test_one_object_trains_many_trials_each_in_a_new_group(gang):
    configs = [{**WINE, "seed": seed, "strategy": name} for seed, name in enumerate(("ddp", "fsdp", "ddp"))]
    together = gang.run(2, reset, configs, [free_port() for _ in configs])
    alone = [gang.run(1, curve, MLP, config, epochs=1)[0][0]["val_loss"] for config in configs]
    assert together[0] == pytest.approx(alone, rel=1e-10)


def normalized(options: dict[str, Any], rows: int) -> tuple[float, float]:
    """Return the largest differences of results and of gradients to torch's batch normalisation."""
    ranks = Ranks.of_environment()
    assert ranks is not None
    group = join(ranks, torch.device("cpu"))
    try:
        torch.manual_seed(0)
        inputs = 3 + torch.randn(rows, 4, 2, 2, dtype=torch.float64)
        factors = torch.randn_like(inputs)
        expected = nn.BatchNorm2d(4, dtype=torch.float64, **options)
        own = copy.deepcopy(expected)
        whole_batch_norms(own)
        found = []
        for norm, forward in ((expected, expected), (own, SharedForward(own, own, group))):
            rows_given = inputs.clone().requires_grad_()
            outputs = forward(rows_given)
            (outputs * factors).sum().backward()
            gradients: list[Any] = [rows_given.grad, *(parameter.grad for parameter in norm.parameters())]
            norm.eval()
            found.append(([outputs, forward(inputs), *norm.buffers()], gradients))
        (results, gradients), (own_results, own_gradients) = found
        for gradient in own_gradients:
            torch.distributed.all_reduce(gradient)
            gradient /= group.world
        return difference(results, own_results), difference(gradients, own_gradients)
    finally:
        group.leave()


def difference(tensors: list[Any], others: list[Any]) -> float:
    pairs = zip(tensors, others, strict=True)
    return max((one - other).abs().max().item() for one, other in pairs)


@pytest.mark.parametrize("rows", [2, 7])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"momentum": None}, {"track_running_stats": False}]
)
def test_batch_normalization_is_that_of_the_whole_batch(gang, options, rows):
    for results, gradients in gang.run(3, normalized, options, rows):
        assert results < 1e-12
        assert gradients < 1e-12


def test_a_class_with_its_own_step_gets_the_environment_and_no_group(gang):
    trained = gang.run(2, own_step, WINE)
    assert [(each["rank"], each["joined"]) for each in trained] == [(0, False), (1, False)]


def own_step(config: dict[str, Any]) -> dict[str, Any]:
    trial = OwnStep(config=config)
    result = trial.train()
    trial.stop()
    return result


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains_in_several_processes(gang, amp):
    config = {**DIGITS, "precision": "float32", "amp": amp, "lr": 0.01}
    [alone] = gang.run(1, curve, MLP, config, epochs=3)
    together = gang.run(2, curve, MLP, config, epochs=3)
    assert together[0][-1]["val_accuracy"] > 0.85
    assert_same(together[0], alone, tolerance=0.05)
    assert together[0] == together[1]


def compiled(config: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Return the curve with and the number of graphs that a compiler got, which changes nothing."""
    graphs = []

    def backend(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    original = torch.compile
    torch.compile = functools.partial(original, backend=backend)
    try:
        return curve(MLP, config, epochs=2), len(graphs)
    finally:
        torch.compile = original


def test_a_compiled_network_trains_in_several_processes(gang):
    config = {**WINE, "dropout": 0.2}
    [alone] = gang.run(1, curve, MLP, config, epochs=2)
    for own, graphs in gang.run(2, compiled, {**config, "compile": True}):
        assert_same(own, alone)
        assert graphs > 0


REFUSED: dict[str, tuple[type[TorchTrainable], dict[str, Any]]] = {
    "compile: cannot compile batch normalization": (MLP, {"normalization": "batch", "compile": True}),
    "compile: must be false with strategy fsdp": (MLP, {"compile": True, "strategy": "fsdp"}),
    "amp: strategy fsdp cannot scale the loss": (
        MLP,
        {"amp": "fp16", "strategy": "fsdp", "precision": "float32"},
    ),
    "model: 'weight' is lazy": (Refused, {}),
    "model: batch normalization '0' is a OwnNorm": (Refused, {"weight_decay": 0.1}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_several_processes_cannot_train_is_refused_before_training(gang, message):
    cls, config = REFUSED[message]
    with pytest.raises(ValueError, match=message):
        gang.run(2, curve, cls, {**WINE, **config})
    [alone] = gang.run(1, curve, MLP, WINE, epochs=1)  # the ranks are ready for the next trial
    assert math.isfinite(alone[0]["val_loss"])


def test_sampled_trials_wait_for_no_other_process(monkeypatch):
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    assert MLP.fitting([WINE, {**WINE, "lr": 0.1}]) == 2


def test_ranks_come_from_the_environment():
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    full = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", **rendezvous}
    assert Ranks.of_environment(full) == Ranks(rank=3, world=4, local_rank=1)
    assert Ranks.of_environment({}) is None
    assert Ranks.of_environment({"WORLD_SIZE": "1"}) is None


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE: must be a whole number of at least 1, got 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "MASTER_ADDR: missing from the environment"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK: must be below"),
    ],
)
def test_a_wrong_environment_is_refused(variables, message):
    with pytest.raises(ValueError, match=message):
        Ranks.of_environment(variables)
