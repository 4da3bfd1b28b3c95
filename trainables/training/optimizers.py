"""Optimizers by name: torch's own classes, and their state carried from one trial to another."""

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
"""Optimizers of one family keep the same state per weight, so one can go on from the other's."""


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
    """Those of an optimizer, the ones that were not given filled in; those that it does not use are 0."""

    momentum: float
    beta1: float
    beta2: float
    rho: float
    epsilon: float
    weight_decay: float


def hyperparameters(config: OptimizerConfig) -> Hyperparameters:
    """The hyperparameters of the optimizer that ``config`` names."""
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
    """Let an optimizer be made without importing torch's compiler, which takes a process over a second.

    torch 2.13 hides these methods from the compiler on their first call, and imports it for that; here it is
    told that this is done. A compiler that is there already is left to it.
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
    """As ``optimizer.step()``, without what torch 2.13 wraps round it: that imports the compiler, too."""
    plain: Any = inspect.unwrap(type(optimizer).step)
    plain(optimizer)


def build(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """The torch optimizer that ``config`` describes, over ``parameters``."""
    own = hyperparameters(config)
    lr, momentum, decay = config.lr, own.momentum, own.weight_decay
    betas, rho, epsilon = (own.beta1, own.beta2), own.rho, own.epsilon
    match config.optimizer:
        case "sgd" | "momentum":
            return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay)
        case "nesterov":
            # With momentum 0 both rules are plain descent, but torch refuses the flag.
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
    """Let the next updates take this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def load_state(
    optimizer: optim.Optimizer, state: dict[str, Any], *, saved: OptimizerName, own: OptimizerName
) -> None:
    """Continue from a saved optimizer's state with ``optimizer``'s own hyperparameters.

    torch's ``load_state_dict`` would also bring back the saved learning rate, and so undo what
    population-based training has just changed. A state of another family says nothing to this
    optimizer, which then starts afresh on the loaded weights.
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
    # RMSprop looks for the buffer when momentum is above 0, but makes none while momentum is 0.
    for parameter, state in optimizer.state.items():
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
