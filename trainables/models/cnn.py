"""``CNN``: a small convolutional network for images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainables.configs import CNNConfig
from trainables.data.sources import Source
from trainables.torch import TorchTrainable

if TYPE_CHECKING:
    from torch import nn

_SMALLEST_POOLED = 4
"""Smaller sides are not halved: batch normalisation of a batch with one row needs several pixels."""


class CNN(TorchTrainable):
    """``blocks`` of convolution, normalisation, activation and pooling, then dropout and a linear layer.

    Images are height x width, or channels x height x width. Each block doubles the channels and halves both
    sides, rounded down. A block does not pool if a side is below 4 pixels.
    """

    Config = CNNConfig

    @classmethod
    def data(cls, settings: Any) -> Source:
        """Return the rows that ``settings`` describe. Raises ValueError if they are not images."""
        return images(super().data(settings), settings)

    def model(self, config: CNNConfig) -> nn.Module:
        from torch import nn

        from trainables.layers import normalization
        from trainables.layers.activations import ACTIVATIONS

        pooling = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[config.pooling]
        *colours, height, width = self.dataset.shape
        channels = colours[0] if colours else 1
        # The network reshapes flat rows itself, so that an exported model accepts rows of the data set.
        layers: list[nn.Module] = [nn.Unflatten(1, (channels, height, width))]
        for block in range(config.blocks):
            wanted = config.channels * 2**block
            layers += normalization.convolution(
                channels, wanted, config.kernel, config.normalization, groups=config.groups
            )
            layers.append(ACTIVATIONS[config.activation]())
            if min(height, width) >= _SMALLEST_POOLED:
                layers.append(pooling(2))
                height, width = height // 2, width // 2
            channels = wanted
        layers.append(nn.Flatten())
        if config.dropout > 0:
            layers.append(nn.Dropout(config.dropout))
        return nn.Sequential(*layers, nn.Linear(channels * height * width, self.dataset.outputs))


def images(rows: Any, settings: Any) -> Source:
    """Return the rows. Raises ValueError if they are not images."""
    source: Source = rows
    if len(source.table.shape) not in (2, 3):
        key, name = ("path", settings.path) if settings.dataset is None else ("dataset", settings.dataset)
        raise ValueError(f"{key}: '{name}' must be images, got rows of shape {source.table.shape}")
    return source
