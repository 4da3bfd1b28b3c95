"""The optimizers of ``trainables.optimizers`` for a stack of models, each with its own hyperparameters.

Every rule is torch's own (its documentation, and the order of operations of its loop over tensors), with one
tensor per parameter for all lanes, lanes x the parameter's shape. State is taken from and given back to the
lanes' torch optimizers, so that a lane can go on alone. Needs torch only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.recipe import OptimizerConfig, OptimizerName

_BUFFERS: dict[OptimizerName, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "nesterov": ("momentum_buffer",),
    "adagrad": ("sum",),
    "adadelta": ("square_avg", "acc_delta"),
    "rmsprop": ("square_avg", "momentum_buffer"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
"""What each optimizer keeps per parameter, by torch's names."""

_COUNTS_STEPS = ("adagrad", "adadelta", "rmsprop", "adam", "adamw")


class StackedOptimizer:
    """One optimizer rule over the stacked parameters of several lanes.

    ``lanes``: each lane's torch optimizer with its parameters in the order of ``parameters``, and its
    hyperparameters; all must name the same rule.
    """

    def __init__(
        self,
        lanes: Sequence[tuple[Optimizer, Sequence[nn.Parameter], OptimizerConfig]],
        parameters: Sequence[Tensor],
    ) -> None:
        self._lanes = lanes
        self._parameters = parameters
        configs = [config for _, _, config in lanes]
        self._rule: OptimizerName = configs[0].optimizer
        like = parameters[0]
        self._lr, self._momentum, self._decay = (
            torch.tensor([getattr(config, name) for config in configs], dtype=like.dtype, device=like.device)
            for name in ("lr", "momentum", "weight_decay")
        )
        self._decays = any(config.weight_decay for config in configs)
        # Doubles, as torch computes its bias corrections in Python.
        self._steps = torch.tensor([_steps_done(*lane[:2]) for lane in lanes], dtype=torch.float64)
        self._state = {
            name: [
                torch.stack([_buffer(optimizer, own[index], name) for optimizer, own, _ in lanes])
                for index in range(len(parameters))
            ]
            for name in _BUFFERS[self._rule]
        }

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the stacked parameters in place."""
        self._steps += 1
        for index, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            state = {name: buffers[index] for name, buffers in self._state.items()}
            lr, momentum = _wide(self._lr, parameter), _wide(self._momentum, parameter)
            if self._decays and self._rule == "adamw":
                parameter.mul_(1 - lr * _wide(self._decay, parameter))
            elif self._decays:
                gradient = gradient + _wide(self._decay, parameter) * parameter
            parameter.sub_(lr * self._direction(gradient, state, momentum))

    def give_back(self) -> None:
        """Write the state into the lanes' own optimizers."""
        for lane, (optimizer, own, config) in enumerate(self._lanes):
            for index, parameter in enumerate(own):
                state: dict[str, Any] = optimizer.state[parameter]
                if self._rule in _COUNTS_STEPS:
                    state["step"] = torch.tensor(float(self._steps[lane]))
                for name, buffers in self._state.items():
                    if name == "momentum_buffer" and config.momentum == 0:
                        continue  # torch keeps none then
                    state[name] = buffers[index][lane].clone()

    def _direction(self, gradient: Tensor, state: dict[str, Tensor], momentum: Tensor) -> Tensor:
        """What the learning rate multiplies."""
        match self._rule:
            case "sgd":
                return state["momentum_buffer"].mul_(momentum).add_(gradient)
            case "nesterov":
                return gradient + momentum * state["momentum_buffer"].mul_(momentum).add_(gradient)
            case "adagrad":
                squares = state["sum"].addcmul_(gradient, gradient)
                return gradient / (squares.sqrt() + 1e-10)
            case "adadelta":
                squares = state["square_avg"].mul_(0.9).addcmul_(gradient, gradient, value=0.1)
                delta = (state["acc_delta"] + 1e-6).sqrt() / (squares + 1e-6).sqrt() * gradient
                state["acc_delta"].mul_(0.9).addcmul_(delta, delta, value=0.1)
                return delta
            case "rmsprop":
                squares = state["square_avg"].mul_(0.99).addcmul_(gradient, gradient, value=0.01)
                scaled = gradient / (squares.sqrt() + 1e-8)
                return state["momentum_buffer"].mul_(momentum).add_(scaled)
            case _:
                mean = state["exp_avg"].lerp_(gradient, 0.1)
                squares = state["exp_avg_sq"].mul_(0.999).addcmul_(gradient, gradient, value=0.001)
                first = _wide((1 - 0.9**self._steps).to(gradient), gradient)
                second = _wide((1 - 0.999**self._steps).sqrt().to(gradient), gradient)
                return mean / (squares.sqrt() / second + 1e-8) / first


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """One value per lane, shaped to multiply ``like`` (lanes x ...)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def _buffer(optimizer: Optimizer, parameter: nn.Parameter, name: str) -> Tensor:
    found = optimizer.state[parameter].get(name) if parameter in optimizer.state else None
    return torch.zeros_like(parameter) if found is None else found


def _steps_done(optimizer: Optimizer, parameters: Sequence[nn.Parameter]) -> float:
    state = optimizer.state.get(parameters[0], {})
    return float(state.get("step", 0.0))
