"""torch's optimizers by name, and their state carried from one trial to another."""

import inspect
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn, optim

from trainables.configs import OptimizerConfig, OptimizerName

_STATE_FAMILY: dict[OptimizerName, str] = {
    "sgd": "sgd",
    "momentum": "sgd",
    "nesterov": "sgd",
    "adagrad": "adagrad",
    "adadelta": "adadelta",
    "rmsprop": "rmsprop",
    "adam": "adam",
    "adamw": "adam",
}
"""Optimizers of one family have the same state per weight, so one can continue from another's state."""


_RHO: dict[OptimizerName, float] = {"rmsprop": 0.99, "adadelta": 0.9}
_EPSILON: dict[OptimizerName, float] = {
    "adagrad": 1e-10,
    "adadelta": 1e-6,
    "rmsprop": 1e-8,
    "adam": 1e-8,
    "adamw": 1e-8,
}


@dataclass(frozen=True)
class Hyperparameters:
    """An optimizer's hyperparameters with defaults filled in. Those that it does not use are 0."""

    momentum: float
    beta1: float
    beta2: float
    rho: float
    epsilon: float
    weight_decay: float


def hyperparameters(config: OptimizerConfig) -> Hyperparameters:
    """Return the hyperparameters of the optimizer that ``config`` names."""
    usual_momentum = 0.9 if config.optimizer in ("momentum", "nesterov") else 0.0
    momentum = usual_momentum if config.momentum is None else config.momentum
    by_moments = config.optimizer in ("adam", "adamw")
    rho, epsilon = _RHO.get(config.optimizer, 0.0), _EPSILON.get(config.optimizer, 0.0)
    return Hyperparameters(
        momentum=momentum if config.optimizer in ("sgd", "momentum", "nesterov", "rmsprop") else 0.0,
        beta1=config.beta1 if by_moments else 0.0,
        beta2=config.beta2 if by_moments else 0.0,
        rho=config.rho if rho and config.rho is not None else rho,
        epsilon=config.epsilon if epsilon and config.epsilon is not None else epsilon,
        weight_decay=config.weight_decay,
    )


def _keep_the_compiler_out() -> None:
    """Let optimizers be created without importing torch's compiler, which takes over a second per process.

    At their first call, torch 2.13 hides these methods from the compiler, and imports it for that. Here they
    are marked as hidden already. This has no effect if the compiler is imported.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in (
        optim.Optimizer.add_param_group,
        optim.Optimizer.zero_grad,
        optim.Optimizer.state_dict,
        optim.Optimizer.load_state_dict,
    ):
        function = getattr(method, "__wrapped__", None)
        if function is not None:
            vars(function).setdefault("__dynamo_disable", function)


_keep_the_compiler_out()


@torch.no_grad()
def step(optimizer: optim.Optimizer) -> None:
    """Run ``optimizer.step()`` without torch 2.13's wrapper, which imports the compiler too."""
    plain: Any = inspect.unwrap(type(optimizer).step)
    plain(optimizer)


def build(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """Return the torch optimizer that ``config`` describes, over ``parameters``."""
    settings = hyperparameters(config)
    lr, momentum, decay = config.lr, settings.momentum, settings.weight_decay
    betas, rho, epsilon = (settings.beta1, settings.beta2), settings.rho, settings.epsilon
    match config.optimizer:
        case "sgd" | "momentum":
            return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay)
        case "nesterov":
            # With momentum 0 both rules are plain gradient descent, but torch refuses the flag.
            return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
        case "adagrad":
            return optim.Adagrad(parameters, lr=lr, eps=epsilon, weight_decay=decay)
        case "adadelta":
            return optim.Adadelta(parameters, lr=lr, rho=rho, eps=epsilon, weight_decay=decay)
        case "rmsprop":
            return optim.RMSprop(
                parameters, lr=lr, alpha=rho, eps=epsilon, momentum=momentum, weight_decay=decay
            )
        case "adam":
            return optim.Adam(parameters, lr=lr, betas=betas, eps=epsilon, weight_decay=decay)
        case "adamw":
            return optim.AdamW(parameters, lr=lr, betas=betas, eps=epsilon, weight_decay=decay)


def set_learning_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next updates."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def load_state(
    optimizer: optim.Optimizer, state: dict[str, Any], *, saved: OptimizerName, own: OptimizerName
) -> None:
    """Continue from a saved optimizer's state with ``optimizer``'s own hyperparameters.

    torch's ``load_state_dict`` would also restore the saved learning rate, and so undo a change by
    population-based training. A state of another family is not usable, so the optimizer then starts with an
    empty state on the loaded weights.
    """
    if _STATE_FAMILY[saved] != _STATE_FAMILY[own]:
        return
    options = [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    optimizer.load_state_dict(state)
    for group, option in zip(optimizer.param_groups, options, strict=True):
        group.update(option)
    if own == "rmsprop":
        _add_missing_momentum(optimizer)


def _add_missing_momentum(optimizer: optim.Optimizer) -> None:
    # RMSprop expects the buffer if momentum is above 0, but creates none while momentum is 0.
    for parameter, state in optimizer.state.items():
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
