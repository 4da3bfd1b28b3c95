"""Optimizers, schedules, clipping and penalties against PyTorch's in a bare loop."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import optim
from torch.nn import functional
from torch.optim import lr_scheduler

from tests.trainables.bare_loop import assert_same_training
from trainables.configs import OptimizerConfig, OptimizerName, ScheduleName
from trainables.models.mlp import MLP
from trainables.training import optimizers

EXACT = {"precision": "float64", "lr": 0.05, "batch_size": 20, "hidden": 8}

# By name: hyperparameters, and torch's optimizer with the same values.
TORCHS = {
    "sgd": ({}, lambda p: optim.SGD(p, lr=0.05)),
    "sgd with momentum": ({"momentum": 0.7}, lambda p: optim.SGD(p, lr=0.05, momentum=0.7)),
    "momentum": ({}, lambda p: optim.SGD(p, lr=0.05, momentum=0.9)),
    "nesterov": (
        {"momentum": 0.8, "weight_decay": 0.01},
        lambda p: optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=0.01, nesterov=True),
    ),
    "adagrad": ({"epsilon": 1e-3}, lambda p: optim.Adagrad(p, lr=0.05, eps=1e-3)),
    "adadelta": ({"rho": 0.8, "epsilon": 1e-4}, lambda p: optim.Adadelta(p, lr=0.05, rho=0.8, eps=1e-4)),
    "rmsprop": ({}, lambda p: optim.RMSprop(p, lr=0.05)),
    "rmsprop with momentum": (
        {"rho": 0.9, "momentum": 0.5, "epsilon": 1e-4},
        lambda p: optim.RMSprop(p, lr=0.05, alpha=0.9, momentum=0.5, eps=1e-4),
    ),
    "adam": (
        {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-4, "weight_decay": 0.01},
        lambda p: optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.01),
    ),
    "adamw": ({"weight_decay": 0.1}, lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.1)),
}


def sgd(parameters):
    return optim.SGD(parameters, lr=0.05)


@pytest.mark.parametrize("case", TORCHS)
def test_an_optimizer_matches_pytorch(trial, case):
    parts, torchs = TORCHS[case]
    assert_same_training(trial(**EXACT, optimizer=case.split()[0], **parts), torchs)


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_missing_hyperparameters_have_pytorch_s_defaults(name):
    weights = [torch.nn.Parameter(torch.zeros(2))]
    own = optimizers.build(OptimizerConfig(optimizer=name, lr=0.1), weights)
    plain: dict[str, Any] = (
        {"lr": 0.1} if name != "nesterov" else {"lr": 0.1, "momentum": 0.9, "nesterov": True}
    )
    plain |= {"weight_decay": 0.0} if name == "adamw" else {}
    plain |= {"momentum": 0.9} if name == "momentum" else {}
    assert own.defaults == type(own)(weights, **plain).defaults


def rates(trial, epochs):
    return [trial.train()["learning_rate"] for _ in range(epochs)]


def torchs_rates(scheduler, epochs, *, lr=0.05):
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = scheduler(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


SCHEDULES = {
    "constant": lambda o: lr_scheduler.LambdaLR(o, lambda _: 1.0),
    "step": lambda o: lr_scheduler.StepLR(o, 4, gamma=0.3),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.3**0.25),
    "inverse_time": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t / 4)),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 4, eta_min=0.05 * 0.1),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_matches_pytorch(trial, name):
    own = {"schedule": name, "decay_factor": 0.3, "decay_epochs": 4, "min_lr_ratio": 0.1}
    epochs = 5 if name == "cosine" else 11  # torch's schedule rises again after its end
    found = rates(trial(**EXACT, **own), epochs)
    assert found == pytest.approx(torchs_rates(SCHEDULES[name], epochs))


def test_every_schedule_is_tested():
    assert {*SCHEDULES, "plateau"} == set(get_args(ScheduleName))


def test_a_cosine_schedule_stays_at_its_final_value(trial):
    found = rates(trial(**EXACT, schedule="cosine", decay_epochs=3, min_lr_ratio=0.1), 6)
    assert found[3:] == pytest.approx([0.005] * 3)


def test_reduction_on_plateau_matches_pytorch(trial):
    # This learning rate never improves the loss by the relative 1e-4 that counts.
    own = {"lr": 1e-7, "optimizer": "sgd", "schedule": "plateau", "decay_factor": 0.5}
    learner = trial(**{**EXACT, **own}, plateau_patience=1, min_lr_ratio=0.2)
    results = [learner.train() for _ in range(12)]
    optimizer = optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-7)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=2e-8, eps=0)
    expected = []
    for result in results:
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step(result["val_loss"])
    assert [result["learning_rate"] for result in results] == pytest.approx(expected)
    assert expected[-1] == 2e-8


def test_the_warm_up_rises_at_each_update_and_the_schedule_begins_after_it(trial):
    learner = trial(**EXACT, schedule="step", decay_epochs=2, decay_factor=0.1, warmup=1.5)
    updates = learner._learner.batches
    ramp = 1.5 * updates
    warming = torchs_rates(
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / ramp, total_iters=ramp - 1), 2 * updates
    )
    found = rates(learner, 5)
    assert found[:2] == pytest.approx([warming[updates - 1], 0.05])
    assert found[2:] == pytest.approx([0.05, 0.05, 0.005])


def test_weights_follow_the_schedule(trial):
    own = {"optimizer": "sgd", "schedule": "cosine", "decay_epochs": 4}
    assert_same_training(
        trial(**EXACT, **own), sgd, epochs=4, scheduler=lambda o: lr_scheduler.CosineAnnealingLR(o, 4)
    )


def test_weights_follow_the_warm_up(trial):
    learner = trial(**EXACT, optimizer="sgd", warmup=2)
    updates = 2 * learner._learner.batches

    def warmed(parameters):
        optimizer = sgd(parameters)
        scheduler = lr_scheduler.LinearLR(optimizer, start_factor=1 / updates, total_iters=updates - 1)
        optimizer.register_step_post_hook(lambda *_: scheduler.step())
        return optimizer

    assert_same_training(learner, warmed, epochs=3)


@pytest.mark.parametrize("limit", [0.05, 1e3])
def test_clipping_by_norm_matches_pytorch(trial, limit):
    clip = lambda parameters: torch.nn.utils.clip_grad_norm_(parameters, limit)  # noqa: E731
    assert_same_training(trial(**EXACT, optimizer="sgd", clip_norm=limit), sgd, clip=clip)


def test_clipping_by_value_matches_pytorch(trial):
    clip = lambda parameters: torch.nn.utils.clip_grad_value_(parameters, 0.01)  # noqa: E731
    assert_same_training(trial(**EXACT, optimizer="sgd", clip_value=0.01), sgd, clip=clip)


def test_clipping_by_value_precedes_clipping_by_norm(trial):
    def clip(parameters):
        parameters = list(parameters)
        torch.nn.utils.clip_grad_value_(parameters, 0.01)
        torch.nn.utils.clip_grad_norm_(parameters, 0.02)

    assert_same_training(trial(**EXACT, optimizer="sgd", clip_value=0.01, clip_norm=0.02), sgd, clip=clip)


def test_penalties_apply_to_weights_and_not_to_biases(trial):
    def penalty(network):
        weights = [module.weight for module in network if isinstance(module, torch.nn.Linear)]
        return sum(0.01 * w.abs().sum() + 0.03 / 2 * w.square().sum() for w in weights)

    assert_same_training(trial(**EXACT, optimizer="sgd", l1=0.01, l2=0.03), sgd, penalty=penalty)


def test_label_smoothing_matches_pytorch(trial):
    def loss(outputs, targets):
        return functional.cross_entropy(outputs, targets, label_smoothing=0.2)

    assert_same_training(trial(**EXACT, optimizer="sgd", label_smoothing=0.2), sgd, loss=loss)


def test_the_validation_loss_is_not_smoothed(trial):
    learner = trial(**EXACT, label_smoothing=0.5)
    result = learner.train()
    features, targets = learner._learner.validation
    expected = functional.cross_entropy(learner._learner.network.eval()(features), targets)
    assert result["val_loss"] == pytest.approx(expected.item())


def test_label_smoothing_of_a_regression_is_refused(trial):
    with pytest.raises(ValueError, match=r"^label_smoothing: needs classification .* got 0\.1$"):
        trial(dataset="diabetes", label_smoothing=0.1)
    with pytest.raises(ValueError, match=r"^label_smoothing: needs classification .* got 0\.1$"):
        MLP.check({"dataset": "diabetes", "label_smoothing": 0.1})


def test_the_gradient_norm_is_that_of_the_last_update_before_clipping(trial):
    learner = trial(**{**EXACT, "batch_size": 1000}, optimizer="sgd", clip_norm=1e-12)
    network, (features, targets) = learner._learner.network, learner._learner.training
    gradients = torch.autograd.grad(
        functional.cross_entropy(network(features), targets), list(network.parameters())
    )
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))
    assert learner.train()["gradient_norm"] == pytest.approx(norm)


def test_parameters_are_counted(trial):
    assert trial(hidden=7, depth=1).train()["parameters"] == 13 * 7 + 7 + 7 * 3 + 3
