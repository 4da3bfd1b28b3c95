"""``Transformer``: a small encoder over a row's features as tokens, or over the steps of a sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainables.configs import TransformerConfig
from trainables.torch import TorchTrainable

if TYPE_CHECKING:
    from torch import nn


class Transformer(TorchTrainable):
    """``depth`` blocks of attention and feed-forward network, then a linear layer on the mean token.

    Rows of shape ``(length, numbers)`` are sequences with one token per step. In any other row each feature
    is a token (Gorishniy et al. 2021, arXiv:2106.11959).
    """

    Config = TransformerConfig

    def model(self, config: TransformerConfig) -> nn.Module:
        from torch import nn

        from trainables.layers import encoder
        from trainables.layers.activations import ACTIVATIONS

        shape = self.dataset.shape
        tokens: nn.Module
        if len(shape) == 2 and math.prod(shape) == self.dataset.features:
            tokens = encoder.StepTokens(*shape, width=config.width)
        else:
            tokens = encoder.FeatureTokens(self.dataset.features, width=config.width)
        blocks = [
            encoder.Block(
                config.width,
                heads=config.heads,
                hidden=config.expansion * config.width,
                activation=ACTIVATIONS[config.activation],
                dropout=config.dropout,
            )
            for _ in range(config.depth)
        ]
        return nn.Sequential(
            tokens,
            *blocks,
            nn.LayerNorm(config.width),
            encoder.MeanToken(),
            nn.Linear(config.width, self.dataset.outputs),
        )
