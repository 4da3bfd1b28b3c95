"""Initial weights of a network, by the distribution's name and the gain of the next activation."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trainables.configs import Initialization, TrainingConfig
from trainables.layers.activations import ACTIVATIONS, GAINS
from trainables.layers.normalization import NORMALIZATIONS, WeightNormalized

_WEIGHTED = (nn.Linear, nn.modules.conv._ConvNd)


@torch.no_grad()
def initialize(network: nn.Module, config: TrainingConfig) -> None:
    """Redraw the weights of all linear and convolutional layers, and set their biases, as ``config`` says.

    Draws from torch's global generator. ``default`` leaves every layer unchanged.
    """
    if config.initialization == "default":
        return
    for layer, gain in _layers(network):
        draw(layer.weight, config.initialization, gain=gain, scale=config.init_scale)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, config.init_bias)
        if isinstance(layer, WeightNormalized):
            layer.reset_gain()


def draw(weight: Tensor, name: Initialization, *, gain: float, scale: float) -> None:
    """Fill ``weight`` (outputs x inputs x ...) in place.

    - Xavier: standard deviation ``gain * sqrt(2 / (fan_in + fan_out))`` (Glorot and Bengio 2010).
    - He: standard deviation ``gain / sqrt(fan_in)`` (He et al. 2015, arXiv:1502.01852).
    - Orthogonal: orthogonal rows or columns of length ``gain`` (Saxe et al. 2014, arXiv:1312.6120).
    - Normal and uniform: ``scale`` is the standard deviation, or the half-width.
    """
    outputs, inputs = weight.shape[:2]
    pixels = weight[0, 0].numel()
    xavier = gain * math.sqrt(2 / ((inputs + outputs) * pixels))
    he = gain / math.sqrt(inputs * pixels)
    match name:
        case "normal":
            nn.init.normal_(weight, std=scale)
        case "uniform":
            nn.init.uniform_(weight, -scale, scale)
        case "xavier_normal":
            nn.init.normal_(weight, std=xavier)
        case "xavier_uniform":
            _uniform(weight, xavier)
        case "he_normal":
            nn.init.normal_(weight, std=he)
        case "he_uniform":
            _uniform(weight, he)
        case "orthogonal":
            nn.init.orthogonal_(weight, gain=gain)


def _uniform(weight: Tensor, deviation: float) -> None:
    bound = math.sqrt(3) * deviation
    nn.init.uniform_(weight, -bound, bound)


def _layers(network: nn.Module) -> Iterator[tuple[nn.Linear | nn.modules.conv._ConvNd, float]]:
    """Yield each layer with weights, and the gain of the activation behind it; 1 if none follows."""
    kinds = {kind: name for name, kind in ACTIVATIONS.items()}
    leaves = [module for module in network.modules() if not list(module.children())]
    for index, layer in enumerate(leaves):
        if not isinstance(layer, _WEIGHTED):
            continue
        following = [type(leaf) for leaf in leaves[index + 1 :] if not isinstance(leaf, NORMALIZATIONS)]
        name = kinds.get(following[0]) if following else None
        yield layer, 1.0 if name is None else GAINS[name]
