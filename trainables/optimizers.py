"""Optimizers by name: torch's own classes, and their state carried from one trial to another."""

import inspect
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn, optim

from trainables.recipe import OptimizerConfig, OptimizerName

_STATE_FAMILY: dict[OptimizerName, str] = {
    "sgd": "sgd",
    "nesterov": "sgd",
    "adagrad": "adagrad",
    "adadelta": "adadelta",
    "rmsprop": "rmsprop",
    "adam": "adam",
    "adamw": "adam",
}
"""Optimizers of one family keep the same state per weight, so one can go on from the other's."""


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
    lr, momentum, decay = config.lr, config.momentum, config.weight_decay
    match config.optimizer:
        case "sgd":
            return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay)
        case "nesterov":
            # With momentum 0 both rules are plain descent, but torch refuses the flag.
            return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
        case "adagrad":
            return optim.Adagrad(parameters, lr=lr, weight_decay=decay)
        case "adadelta":
            return optim.Adadelta(parameters, lr=lr, weight_decay=decay)
        case "rmsprop":
            return optim.RMSprop(parameters, lr=lr, momentum=momentum, weight_decay=decay)
        case "adam":
            return optim.Adam(parameters, lr=lr, weight_decay=decay)
        case "adamw":
            return optim.AdamW(parameters, lr=lr, weight_decay=decay)


def load_state(
    optimizer: optim.Optimizer, state: dict[str, Any], *, saved: OptimizerName, own: OptimizerName
) -> None:
    """Go on from a saved optimizer's state with ``optimizer``'s own hyperparameters.

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
