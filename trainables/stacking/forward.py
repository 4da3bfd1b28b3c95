"""The forward pass of a stack of models: layer by layer for known layers, else through ``vmap``.

``vmap`` is correct for every model that it accepts, but slower. It adds milliseconds of bookkeeping per pass.
On a CPU it doubles the time of a linear layer, and adds up to a fifth to a convolutional network. This module
needs torch, but no Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from trainables.layers.activations import ACTIVATIONS
from trainables.layers.dropout import Dropout, drop

Tensors = Mapping[str, Tensor]
"""Parameters or buffers by name, each lanes x its own shape."""

Forward = Callable[[Tensors, Tensors, Tensor], Tensor]
"""(parameters, buffers, inputs) -> outputs, lanes x n x ..."""

_ELEMENTWISE = frozenset((*ACTIVATIONS.values(), nn.Identity))
"""Layers that treat every number alike, and so those of all lanes."""

_POOLINGS = frozenset((nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d))
"""Layers that treat every channel alike, so that lanes can become further channels."""


def forward(model: nn.Module, *, shared_inputs: bool = False) -> Forward:
    """Return the stacked forward pass of ``model``. It does not use the model's own parameters and buffers.

    Inputs are lanes x n x ..., or with ``shared_inputs`` n x ... for all lanes.
    """
    # A tensor shared by several layers has one name, that of the first layer.
    names = {id(each): name for name, each in (*model.named_parameters(), *model.named_buffers())}
    layers = [
        (
            layer,
            {own: names[id(parameter)] for own, parameter in layer.named_parameters()},
            {own: names[id(buffer)] for own, buffer in layer.named_buffers()},
        )
        for layer in _layers(model)
    ]

    def run(parameters: Tensors, buffers: Tensors, inputs: Tensor) -> Tensor:
        stacked = not shared_inputs
        for layer, parameter_names, buffer_names in layers:
            kind = type(layer)
            if kind in _ELEMENTWISE or (kind is Dropout and not layer.training):
                inputs = layer(inputs)
                continue
            own = (
                {name: parameters[whole] for name, whole in parameter_names.items()},
                {name: buffers[whole] for name, whole in buffer_names.items()},
            )
            if not stacked and not any(own):
                inputs = layer(inputs)  # the same for all lanes
                continue
            outputs = _directly(layer, *own, inputs, stacked=stacked)
            inputs = _vmap(layer, stacked=stacked)(*own, inputs) if outputs is None else outputs
            stacked = True
        return inputs

    return run


def _layers(module: nn.Module) -> list[nn.Module]:
    """Return the modules in running order. A module that runs twice is listed twice."""
    if type(module) is not nn.Sequential:
        return [module]
    return [layer for child in module for layer in _layers(child)]


def _vmap(module: nn.Module, *, stacked: bool) -> Callable[..., Tensor]:
    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(module, (parameters, buffers), (inputs,))
        return outputs

    return vmap(one, in_dims=(0, 0, 0 if stacked else None), randomness="error")


def _directly(
    layer: nn.Module, parameters: Tensors, buffers: Tensors, inputs: Tensor, *, stacked: bool
) -> Tensor | None:
    """Return the outputs of a layer whose stacked form is known, or ``None`` for any other layer."""
    kind = type(layer)
    if kind is nn.Linear:
        return _linear(inputs, stacked=stacked, **parameters)
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and inputs.ndim == 4 + stacked:
        return _convolution(layer, inputs, stacked=stacked, **parameters)
    if not stacked:
        return None
    if kind is Dropout:
        return drop(inputs, **buffers)
    if kind in _POOLINGS and inputs.ndim == 5 and not getattr(layer, "return_indices", False):
        return _lanes_apart(layer(_lanes_as_channels(inputs)), len(inputs))
    if type(layer) is nn.BatchNorm1d or type(layer) is nn.BatchNorm2d:
        return _batch_norm(layer, parameters, buffers, inputs)
    # Dimensions counted from the end could reach the lanes, where the layer alone would raise an error.
    if type(layer) is nn.Flatten and layer.start_dim >= 0:
        return inputs.flatten(layer.start_dim + 1, layer.end_dim + (layer.end_dim >= 0))
    if type(layer) is nn.Unflatten and isinstance(layer.dim, int) and layer.dim >= 0:
        return torch.unflatten(inputs, layer.dim + 1, layer.unflattened_size)
    return None


def _lanes_as_channels(inputs: Tensor) -> Tensor:
    """View lanes x n x channels x ... as n x (lanes * channels) x ...; no copy after ``_lanes_apart``."""
    return inputs.transpose(0, 1).flatten(1, 2)


def _lanes_apart(outputs: Tensor, lanes: int) -> Tensor:
    """View n x (lanes * channels) x ... as lanes x n x channels x ..., without a copy."""
    return outputs.view(len(outputs), lanes, -1, *outputs.shape[2:]).transpose(0, 1)


def _convolution(
    layer: nn.Conv2d, inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, stacked: bool
) -> Tensor:
    """Run one convolution whose groups are the lanes, as ``vmap`` does."""
    lanes = len(weight)
    if not stacked and layer.groups > 1:
        inputs, stacked = inputs.expand(lanes, *inputs.shape), True
    outputs = functional.conv2d(
        _lanes_as_channels(inputs) if stacked else inputs,
        weight.flatten(0, 1),
        None if bias is None else bias.flatten(),
        layer.stride,
        layer.padding,
        layer.dilation,
        lanes * layer.groups if stacked else 1,  # shared inputs: the lanes' weights are further filters
    )
    return _lanes_apart(outputs, lanes)


def _batch_norm(
    layer: nn.BatchNorm1d | nn.BatchNorm2d, parameters: Tensors, buffers: Tensors, inputs: Tensor
) -> Tensor | None:
    """Run batch normalisation with running statistics and a fixed momentum. Return ``None`` for any other."""
    dimensions = (5,) if type(layer) is nn.BatchNorm2d else (3, 4)
    if not layer.track_running_stats or layer.momentum is None or inputs.ndim not in dimensions:
        return None
    if layer.training:
        buffers["num_batches_tracked"].add_(1)
    flat_tensors = {name: tensor.view(-1) for name, tensor in (*parameters.items(), *buffers.items())}
    outputs = functional.batch_norm(
        _lanes_as_channels(inputs),
        flat_tensors["running_mean"],  # updated in place
        flat_tensors["running_var"],
        flat_tensors.get("weight"),
        flat_tensors.get("bias"),
        layer.training,
        layer.momentum,
        layer.eps,
    )
    return _lanes_apart(outputs, len(inputs))


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, stacked: bool) -> Tensor:
    if not stacked:
        inputs = inputs.expand(len(weight), *inputs.shape)
    outputs: Tensor = _Linear.apply(inputs.flatten(1, -2), weight, bias)  # type: ignore[no-untyped-call]
    return outputs.view(*inputs.shape[:-1], weight.shape[1])


class _Linear(torch.autograd.Function):
    """Inputs lanes x n x d, weight lanes x k x d, bias lanes x k (or ``None``) to outputs lanes x n x k.

    The product includes the bias, and a product gives the bias's gradient. autograd would sum that gradient
    over rows far apart in memory, which takes longer than the rest of the layer.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        if bias is None:
            return torch.bmm(inputs, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight.transpose(1, 2))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        inputs, weight = ctx.saved_tensors
        wants_inputs, wants_weight, wants_bias = ctx.needs_input_grad
        ones = gradient.new_ones(1, 1, 1).expand(len(gradient), 1, gradient.shape[1])
        return (
            torch.bmm(gradient, weight) if wants_inputs else None,
            torch.bmm(gradient.transpose(1, 2), inputs) if wants_weight else None,
            torch.bmm(ones, gradient).squeeze(1) if wants_bias else None,
        )
