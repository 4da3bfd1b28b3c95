"""``MLP``: a feed-forward network for tabular data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.configs import MLPConfig
from trainables.torch import TorchTrainable

if TYPE_CHECKING:
    from torch import nn


class MLP(TorchTrainable):
    """``depth`` hidden layers of ``hidden`` units, each linear, normalised, activated, with dropout."""

    Config = MLPConfig

    def model(self, config: MLPConfig) -> nn.Module:
        from torch import nn

        from trainables.layers import normalization
        from trainables.layers.activations import ACTIVATIONS

        if config.normalization == "batch" and config.depth > 0:
            self._refuse_single_row_batches(config.batch_size)
        layers: list[nn.Module] = []
        width = self.dataset.features
        for _ in range(config.depth):
            layers += normalization.linear(width, config.hidden, config.normalization, groups=config.groups)
            layers.append(ACTIVATIONS[config.activation]())
            if config.dropout > 0:
                layers.append(nn.Dropout(config.dropout))
            width = config.hidden
        return nn.Sequential(*layers, nn.Linear(width, self.dataset.outputs))

    def _refuse_single_row_batches(self, batch_size: int) -> None:
        rows = len(self.dataset.training)
        if batch_size == 1 or rows % batch_size == 1:
            raise ValueError(
                "batch_size: batch normalization needs at least two rows in every batch, "
                f"got {rows} training rows in batches of {batch_size}"
            )
