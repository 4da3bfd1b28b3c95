"""``MLP``: a feed-forward network for tabular data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.base import TorchTrainable
from trainables.recipe import MLPConfig

if TYPE_CHECKING:
    from torch import nn


class MLP(TorchTrainable):
    """``depth`` hidden layers of ``hidden`` units each, dropout after every activation."""

    Config = MLPConfig

    def model(self, config: MLPConfig) -> nn.Module:
        from torch import nn

        from trainables.activations import ACTIVATIONS

        layers: list[nn.Module] = []
        width = self.dataset.features
        for _ in range(config.depth):
            layers += [nn.Linear(width, config.hidden), ACTIVATIONS[config.activation]()]
            if config.dropout > 0:
                layers.append(nn.Dropout(config.dropout))
            width = config.hidden
        return nn.Sequential(*layers, nn.Linear(width, self.dataset.outputs))
