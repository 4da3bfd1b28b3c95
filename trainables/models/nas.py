"""``NasMLP`` and ``NasCNN``: networks whose layers are a hyperparameter, for architecture search.

``trainables.configs.architecture`` defines how an architecture is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.configs import (
    ArchitectureLayer,
    ConvolutionLayer,
    DenseLayer,
    DropoutLayer,
    MaxPoolingLayer,
    NasCNNConfig,
    NasMLPConfig,
    PoolingLayer,
)
from trainables.configs.architecture import read
from trainables.data.sources import Source
from trainables.models.cnn import images
from trainables.torch import TorchTrainable

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]
"""Channels, height and width."""


class NasMLP(TorchTrainable):
    """The layers of ``architecture``, then a linear layer."""

    Config = NasMLPConfig

    def model(self, config: NasMLPConfig) -> nn.Module:
        from torch import nn

        from trainables.layers.skip_connections import with_skips

        widths = [self.dataset.features]  # the input's width, then each layer's output
        layers: list[nn.Module] = []
        skips: list[dict[int, nn.Module]] = []
        for layer in read(config.architecture, config.kinds):
            skips.append({source: _match_width(widths[source], widths[-1]) for source in layer.skip})
            module, width = _dense(layer, widths[-1])
            layers.append(module)
            widths.append(width)
        return nn.Sequential(with_skips(layers, skips), nn.Linear(widths[-1], self.dataset.outputs))


class NasCNN(TorchTrainable):
    """The layers of ``architecture`` on images, then a linear layer.

    Images are height x width, or channels x height x width.
    """

    Config = NasCNNConfig

    @classmethod
    def data(cls, settings: Any) -> Source:
        """Return the rows that ``settings`` describe. Raises ValueError if they are not images."""
        return images(super().data(settings), settings)

    def model(self, config: NasCNNConfig) -> nn.Module:
        from torch import nn

        from trainables.layers.skip_connections import with_skips

        *colours, height, width = self.dataset.shape
        shapes: list[Shape] = [(colours[0] if colours else 1, height, width)]
        layers: list[nn.Module] = []
        skips: list[dict[int, nn.Module]] = []
        for layer in read(config.architecture, config.kinds):
            skips.append({source: _match_shape(shapes[source], shapes[-1]) for source in layer.skip})
            module, shape = _convolutional(layer, shapes[-1])
            layers.append(module)
            shapes.append(shape)
        channels, height, width = shapes[-1]
        return nn.Sequential(
            # The network reshapes flat rows itself, so that an exported model accepts rows of the data set.
            nn.Unflatten(1, shapes[0]),
            with_skips(layers, skips),
            nn.Flatten(),
            nn.Linear(channels * height * width, self.dataset.outputs),
        )


def _dense(layer: ArchitectureLayer, width: int) -> tuple[nn.Module, int]:
    """Return the module for a layer with input ``width``, and the width of its output."""
    from torch import nn

    from trainables.layers.activations import ACTIVATIONS

    if isinstance(layer, DropoutLayer):
        return nn.Dropout(layer.p), width
    assert isinstance(layer, DenseLayer)
    return nn.Sequential(nn.Linear(width, layer.width), ACTIVATIONS[layer.activation]()), layer.width


def _convolutional(layer: ArchitectureLayer, shape: Shape) -> tuple[nn.Module, Shape]:
    """Return the module for a layer whose input is an image of ``shape``, and the shape of its output."""
    from torch import nn

    from trainables.layers.activations import ACTIVATIONS

    channels, *sides = shape
    if isinstance(layer, DropoutLayer):
        return nn.Dropout(layer.p), shape
    if isinstance(layer, PoolingLayer):
        pooling = nn.MaxPool2d if isinstance(layer, MaxPoolingLayer) else nn.AvgPool2d
        height, width = (-(-side // layer.size) for side in sides)
        return pooling(layer.size, ceil_mode=True), (channels, height, width)
    assert isinstance(layer, ConvolutionLayer)
    convolution = nn.Conv2d(
        channels, layer.filters, layer.kernel, stride=layer.stride, padding=layer.kernel // 2
    )
    height, width = (-(-side // layer.stride) for side in sides)
    return nn.Sequential(convolution, ACTIVATIONS[layer.activation]()), (layer.filters, height, width)


def _match_width(own: int, wanted: int) -> nn.Module:
    from torch import nn

    return nn.Identity() if own == wanted else nn.Linear(own, wanted, bias=False)


def _match_shape(own: Shape, wanted: Shape) -> nn.Module:
    """Return a projection between image shapes: average pooling, then a mixture of the channels."""
    from torch import nn

    parts: list[nn.Module] = []
    if own[1:] != wanted[1:]:
        parts.append(nn.AdaptiveAvgPool2d(wanted[1:]))
    if own[0] != wanted[0]:
        parts.append(nn.Conv2d(own[0], wanted[0], 1, bias=False))
    return nn.Sequential(*parts)
