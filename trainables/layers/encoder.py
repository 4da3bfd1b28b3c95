"""Layers of a transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) on tokens n x tokens x width.

torch's own layers draw dropout from the global generator, which does not work lane by lane in a stack.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class FeatureTokens(nn.Module):
    """One token per feature: n x d to n x d x width."""

    def __init__(self, features: int, *, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        self.scale = nn.Parameter(torch.empty(features, width).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.empty(features, width).uniform_(-bound, bound))

    def forward(self, rows: Tensor) -> Tensor:
        return rows.unsqueeze(-1) * self.scale + self.offset


class StepTokens(nn.Module):
    """One token per step of a sequence, with its position: n x (length * numbers) to n x length x width."""

    def __init__(self, length: int, numbers: int, *, width: int) -> None:
        super().__init__()
        self.length, self.numbers = length, numbers
        self.embedding = nn.Linear(numbers, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.02)

    def forward(self, rows: Tensor) -> Tensor:
        steps = rows.reshape(len(rows), self.length, self.numbers)
        tokens: Tensor = self.embedding(steps) + self.place
        return tokens


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        rows, length, width = tokens.shape
        parts = self.projection(tokens).view(rows, length, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-2, -1) / math.sqrt(width // self.heads)).softmax(dim=-1)
        mixed = (self.dropout(weights) @ values).transpose(1, 2).reshape(rows, length, width)
        outputs: Tensor = self.output(mixed)
        return outputs


class Block(nn.Module):
    """Attention and a feed-forward network. Each normalises its input and adds its output to the tokens.

    Normalisation before each part also trains without warm-up (Xiong et al. 2020, arXiv:2002.04745).
    """

    def __init__(
        self, width: int, *, heads: int, hidden: int, activation: type[nn.Module], dropout: float
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width), Attention(width, heads=heads, dropout=dropout), nn.Dropout(dropout)
        )
        self.feedforward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, hidden),
            activation(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(tokens)
        outputs: Tensor = tokens + self.feedforward(tokens)
        return outputs


class MeanToken(nn.Module):
    """The mean over tokens: n x tokens x width to n x width."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(dim=-2)
