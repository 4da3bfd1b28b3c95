"""The optimizers of ``training.optimizers`` for a stack of models, with hyperparameters per lane.

Each rule is torch's own, in the order of operations of torch's loop over tensors. A parameter of all lanes is
one tensor, lanes x its shape. State is read from the lanes' torch optimizers and written back to them, so a
lane can later train alone. Needs torch only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainables.configs import OptimizerConfig, OptimizerName
from trainables.training import optimizers

_BUFFERS: dict[OptimizerName, tuple[str, ...]] = {
    "sgd": ("momentum_buffer",),
    "momentum": ("momentum_buffer",),
    "nesterov": ("momentum_buffer",),
    "adagrad": ("sum",),
    "adadelta": ("square_avg", "acc_delta"),
    "rmsprop": ("square_avg", "momentum_buffer"),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}
"""Optimizer -> the names of its state per parameter in torch."""

_COUNTS_STEPS = ("adagrad", "adadelta", "rmsprop", "adam", "adamw")
"""Optimizers that count their steps in torch's state."""


class StackedOptimizer:
    """One optimizer rule over the stacked parameters of several lanes.

    ``lanes``: each lane's torch optimizer, its parameters in the order of ``parameters``, and its
    hyperparameters. All lanes must have the same rule.
    """

    def __init__(
        self,
        lanes: Sequence[tuple[Optimizer, Sequence[Tensor], OptimizerConfig]],
        parameters: Sequence[Tensor],
    ) -> None:
        self._lanes = lanes
        self._parameters = parameters
        configs = [config for _, _, config in lanes]
        self._rule: OptimizerName = configs[0].optimizer
        like = parameters[0]
        self._lr = torch.tensor([config.lr for config in configs], dtype=like.dtype, device=like.device)
        settings = [optimizers.hyperparameters(config) for config in configs]
        self._momentum, self._beta1, self._beta2, self._rho, self._epsilon, self._decay = (
            self._of_lanes([getattr(lane, name) for lane in settings])
            for name in ("momentum", "beta1", "beta2", "rho", "epsilon", "weight_decay")
        )
        # Double precision, since torch computes its bias corrections in Python.
        self._betas = torch.tensor(
            [[lane.beta1, lane.beta2] for lane in settings], dtype=torch.float64, device=like.device
        ).T
        self._corrections: Sequence[Tensor] = ()
        self._keeps_momentum = [lane.momentum > 0 for lane in settings]
        self._steps = torch.tensor(
            [_steps_done(*lane[:2]) for lane in lanes], dtype=torch.float64, device=like.device
        )
        self._state = {
            name: [
                torch.stack([_buffer(optimizer, settings[index], name) for optimizer, settings, _ in lanes])
                for index in range(len(parameters))
            ]
            for name in _BUFFERS[self._rule]
        }

    def set_learning_rates(self, rates: Tensor) -> None:
        """Set the learning rates of the next updates, one per lane."""
        self._lr = rates

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the stacked parameters in place, without waiting for the device."""
        self._steps += 1
        if self._rule in ("adam", "adamw"):
            self._corrections = (1 - self._betas**self._steps).to(self._parameters[0].dtype).unbind()
        for index, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            state = {name: buffers[index] for name, buffers in self._state.items()}
            lr = _wide(self._lr, parameter)
            decays = isinstance(self._decay, Tensor) or self._decay > 0
            if decays and self._rule == "adamw":
                parameter.mul_(1 - lr * _wide(self._decay, parameter))
            elif decays:
                gradient = gradient + _wide(self._decay, parameter) * parameter
            parameter.sub_(lr * self._direction(gradient, state))

    @torch.no_grad()
    def give_back(self) -> None:
        """Write the state into the lanes' optimizers. If memory runs out, nothing is written."""
        steps = self._steps.tolist()
        kept: defaultdict[tuple[str, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        new: list[tuple[dict[str, Tensor], str, Tensor]] = []
        for name, buffers in self._state.items():
            for index, buffer in enumerate(buffers):
                for lane, ((optimizer, own, _), value) in enumerate(
                    zip(self._lanes, buffer.unbind(), strict=True)
                ):
                    if name == "momentum_buffer" and not self._keeps_momentum[lane]:
                        continue  # torch has no buffer for momentum 0
                    state = optimizer.state[own[index]]
                    if (before := state.get(name)) is None:
                        new.append((state, name, value.clone()))
                    else:
                        kept[name, index].append((before, value))
        for pairs in kept.values():  # one call for all lanes, as in stack._give_back
            own_buffers, values = zip(*pairs, strict=True)
            torch._foreach_copy_(own_buffers, values)
        for state, name, value in new:
            state[name] = value
        if self._rule in _COUNTS_STEPS:
            for (optimizer, own, _), step in zip(self._lanes, steps, strict=True):
                for parameter in own:
                    optimizer.state[parameter]["step"] = torch.tensor(step)

    def _of_lanes(self, values: Sequence[float]) -> float | Tensor:
        """Return a number if all lanes have the same, which is faster, else one value per lane."""
        if len(set(values)) == 1:
            return values[0]
        like = self._parameters[0]
        return torch.tensor(values, dtype=like.dtype, device=like.device)

    def _direction(self, gradient: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Return the update before the multiplication by the learning rate."""
        momentum, rho, epsilon = (
            _wide(value, gradient) for value in (self._momentum, self._rho, self._epsilon)
        )
        match self._rule:
            case "sgd" | "momentum":
                return state["momentum_buffer"].mul_(momentum).add_(gradient)
            case "nesterov":
                return gradient + momentum * state["momentum_buffer"].mul_(momentum).add_(gradient)
            case "adagrad":
                squares = state["sum"].addcmul_(gradient, gradient)
                return gradient / (squares.sqrt() + epsilon)
            case "adadelta":
                squares = _average_square(state["square_avg"], gradient, rho)
                delta = (state["acc_delta"] + epsilon).sqrt() / (squares + epsilon).sqrt() * gradient
                _average_square(state["acc_delta"], delta, rho)
                return delta
            case "rmsprop":
                squares = _average_square(state["square_avg"], gradient, rho)
                scaled = gradient / (squares.sqrt() + epsilon)
                return state["momentum_buffer"].mul_(momentum).add_(scaled)
            case _:
                mean = state["exp_avg"].lerp_(gradient, 1 - _wide(self._beta1, gradient))
                squares = _average_square(state["exp_avg_sq"], gradient, _wide(self._beta2, gradient))
                first, second = (_wide(correction, gradient) for correction in self._corrections)
                return mean / (squares.sqrt() / second.sqrt() + epsilon) / first


V = TypeVar("V", float, Tensor, float | Tensor)


def _wide(values: V, like: Tensor) -> V:
    """Shape one value per lane to multiply ``like`` (lanes x ...). Return a number unchanged."""
    return values.view(-1, *[1] * (like.ndim - 1)) if isinstance(values, Tensor) else values


def _average_square(average: Tensor, values: Tensor, decay: float | Tensor) -> Tensor:
    """Update a running average of squares in place."""
    if isinstance(decay, Tensor):
        return average.mul_(decay).addcmul_(values * (1 - decay), values)
    return average.mul_(decay).addcmul_(values, values, value=1 - decay)


def _buffer(optimizer: Optimizer, parameter: Tensor, name: str) -> Tensor:
    found = optimizer.state[parameter].get(name) if parameter in optimizer.state else None
    return torch.zeros_like(parameter) if found is None else found


def _steps_done(optimizer: Optimizer, parameters: Sequence[Tensor]) -> float:
    state = optimizer.state.get(parameters[0], {})
    return float(state.get("step", 0.0))
