"""The MLP learns and reports what it learned."""

import math
from typing import get_args

import pytest

from trainables.configs import MLPConfig, OptimizerName
from trainables.models.mlp import MLP
from trainables.torch.trainable import ABOUT_TRAINING

OPTIMIZERS = get_args(MLPConfig.model_fields["optimizer"].annotation)
ACTIVATIONS = get_args(MLPConfig.model_fields["activation"].annotation)


@pytest.mark.parametrize(
    ("dataset", "batch_size", "accuracy"),
    [("digits", 32, 0.95), ("breast_cancer", 32, 0.95), ("wine", 16, 0.9), ("iris", 8, 0.9)],
)
def test_ten_epochs_learn_a_bundled_classification(trial, dataset, batch_size, accuracy, after):
    best = after(trial(dataset=dataset, batch_size=batch_size, hidden=64, lr=5e-3), 10)
    assert best["val_accuracy"] > accuracy


def test_ten_epochs_beat_the_mean_on_diabetes(trial, after):
    learner = trial(dataset="diabetes", hidden=16, lr=0.01)
    learned = after(learner, 10)["val_rmse"]
    # Predicting the mean costs one standard deviation of the target, about 77.
    assert 30 < learned < 0.8 * learner.dataset.target.scale


def test_rmse_is_in_the_units_of_the_target(trial, after):
    learner = trial(dataset="diabetes", hidden=16, lr=0.01)
    result = after(learner, 1)
    standardised = math.sqrt(result["val_loss"])
    assert result["val_rmse"] == pytest.approx(standardised * learner.dataset.target.scale)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(trial, optimizer: OptimizerName, after):
    learner = trial(optimizer=optimizer, lr={"adadelta": 1.0, "sgd": 0.1}.get(optimizer, 0.01))
    assert after(learner, 1)["train_loss"] > 1.5 * after(learner, 8)["train_loss"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_learns(trial, activation, after):
    assert after(trial(activation=activation), 10)["val_accuracy"] > 0.85


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_counts_the_hidden_layers(trial, tmp_path, depth):
    learner = trial(depth=depth, hidden=7)
    assert sum(p.ndim == 2 for p in learner.model(learner.hyperparameters).parameters()) == depth + 1


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "rmsprop"])
def test_momentum_may_be_zero(trial, optimizer, after):
    assert after(trial(optimizer=optimizer, momentum=0.0), 5)["val_accuracy"] > 0.5


def test_a_trial_without_hyperparameters_uses_the_defaults(trial):
    learner = MLP(config={"dataset": "wine"})
    assert learner.hyperparameters == MLPConfig()
    learner.stop()


def test_a_batch_may_be_larger_than_the_data(trial, after):
    assert math.isfinite(after(trial(batch_size=100_000), 1)["train_loss"])


@pytest.mark.parametrize(("dataset", "score"), [("wine", "val_accuracy"), ("diabetes", "val_rmse")])
def test_every_result_has_the_announced_metrics(trial, dataset, score, scores):
    names = MLP.metrics({"dataset": dataset})
    assert {"train_loss", "val_loss", score, *ABOUT_TRAINING} == set(names)
    assert set(names) <= set(trial(dataset=dataset).train())


def test_a_diverged_trial_reports_nan_and_no_accuracy(trial, after):
    result = after(trial(optimizer="sgd", lr=1e30), 3)
    assert all(math.isnan(result[name]) for name in ("train_loss", "val_loss", "val_accuracy"))


def test_float64_is_used_throughout(trial, tmp_path, after):
    learner = trial(precision="float64")
    assert after(learner, 3)["val_loss"] == pytest.approx(after(trial(), 3)["val_loss"], rel=1e-4)
    assert learner.dataset.training.features.dtype == "float64"
