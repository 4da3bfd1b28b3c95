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

_NEIGHBOURS = 5
"""Channels in local response normalisation, as in AlexNet (Krizhevsky et al. 2012)."""


class WeightNormalized(nn.Module):
    """A layer whose weight is ``gain`` times the direction of its parameter ``weight``.

    This is weight normalisation (Salimans and Kingma 2016, arXiv:1602.07868). torch's parametrization creates
    a new class per module, so that two models could not be stacked.
    """

    weight: Tensor
    """outputs x ..."""

    gain: Tensor
    """One entry per output; initially the norm of its weights."""

    def reset_gain(self) -> None:
        """Set ``gain`` so that the effective weight equals ``weight``."""
        self.gain = nn.Parameter(torch.linalg.vector_norm(self.weight.detach().flatten(1), dim=1))

    def effective_weight(self) -> Tensor:
        """Return the weight that the layer applies, with the shape of ``weight``."""
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
    """``nn.Conv2d`` with weight normalisation, padded to keep the input's height and width."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        nn.Conv2d.__init__(self, inputs, outputs, kernel, padding=kernel // 2)
        self.reset_gain()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self._conv_forward(inputs, self.effective_weight(), self.bias)
        return outputs


def linear(inputs: int, outputs: int, normalization: Normalization, *, groups: int) -> list[nn.Module]:
    """Return a linear layer and its normalisation: n x inputs to n x outputs."""
    match normalization:
        case "batch":
            # Batch normalisation cancels a bias, so the bias's gradient would only be rounding errors.
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
            raise ValueError("normalization: hidden units have no neighbours, got 'local_response'")


def convolution(
    inputs: int, outputs: int, kernel: int, normalization: Normalization, *, groups: int
) -> list[nn.Module]:
    """Return a convolution that keeps the image's size, and its normalisation.

    Layer normalisation is over all channels and pixels of an image.
    """
    if normalization == "weight":
        return [WeightNormConv2d(inputs, outputs, kernel)]
    bias = normalization != "batch"  # as in `linear`
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
