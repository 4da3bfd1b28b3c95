"""Normalisation of a layer's outputs or weights, by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.configs import Normalization

NORMALIZATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
)

# AlexNet's (Krizhevsky et al. 2012): over so many neighbouring channels.
_NEIGHBOURS = 5


class WeightNormalized(nn.Module):
    """A layer whose weight is ``gain`` times the direction of its parameter (Salimans and Kingma 2016).

    arXiv:1602.07868. ``weight`` is outputs x ..., ``gain`` has one entry per output, at first the length of
    that output's weights. torch's parametrization gives each module a class of its own, so that no two
    models would be of one kind.
    """

    weight: Tensor
    gain: Tensor

    def reset_gain(self) -> None:
        """Let the effective weight be what ``weight`` holds."""
        self.gain = nn.Parameter(torch.linalg.vector_norm(self.weight.detach().flatten(1), dim=1))

    def effective_weight(self) -> Tensor:
        """The weight that the layer applies, of the shape of ``weight``."""
        lengths = torch.linalg.vector_norm(self.weight.flatten(1), dim=1)
        share = self.gain / lengths
        weight: Tensor = self.weight * share.view(-1, *(1,) * (self.weight.ndim - 1))
        return weight


class WeightNormLinear(WeightNormalized, nn.Linear):
    """``nn.Linear`` with weight normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        nn.Linear.__init__(self, inputs, outputs)
        self.reset_gain()

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.linear(inputs, self.effective_weight(), self.bias)


class WeightNormConv2d(WeightNormalized, nn.Conv2d):
    """``nn.Conv2d`` with weight normalisation, padded to the size of its input."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        nn.Conv2d.__init__(self, inputs, outputs, kernel, padding=kernel // 2)
        self.reset_gain()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self._conv_forward(inputs, self.effective_weight(), self.bias)
        return outputs


def linear(inputs: int, outputs: int, normalization: Normalization, *, groups: int) -> list[nn.Module]:
    """A linear layer and what normalises it: n x inputs to n x outputs."""
    match normalization:
        case "batch":
            # Normalisation subtracts what a bias adds: its gradient would be rounding errors.
            return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs)]
        case "layer":
            return [nn.Linear(inputs, outputs), nn.LayerNorm(outputs)]
        case "group":
            return [nn.Linear(inputs, outputs), nn.GroupNorm(groups, outputs)]
        case "weight":
            return [WeightNormLinear(inputs, outputs)]
        case "none":
            return [nn.Linear(inputs, outputs)]
        case "local_response":
            raise ValueError("normalization: units have no neighbours, got 'local_response'")


def convolution(
    inputs: int, outputs: int, kernel: int, normalization: Normalization, *, groups: int
) -> list[nn.Module]:
    """A convolution that keeps the image's size, and what normalises it.

    Layer normalisation is over the channels and pixels of an image together.
    """
    if normalization == "weight":
        return [WeightNormConv2d(inputs, outputs, kernel)]
    bias = normalization != "batch"  # as above
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    match normalization:
        case "batch":
            return [layer, nn.BatchNorm2d(outputs)]
        case "layer":
            return [layer, nn.GroupNorm(1, outputs)]
        case "group":
            return [layer, nn.GroupNorm(groups, outputs)]
        case "local_response":
            return [layer, nn.LocalResponseNorm(_NEIGHBOURS)]
        case _:
            return [layer]
