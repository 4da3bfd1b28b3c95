"""Dropout whose noise is a function of key and position: equal on every device, in a stack and alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.layers.counter_random import bits, key_from, wide

_NEXT_USE = 0x4F1BBCDD
"""Change of the key between uses. It is far from the small multiples of the hash's factor for positions."""


class Dropout(nn.Module):
    """Inverted dropout with probability ``p`` in [0, 1). ``key`` selects the noise of a batch.

    A module that is used several times in a pass drops other units each time. ``key`` and ``p`` are buffers,
    so that each lane of a stack has its own. They are not part of the state dict.
    """

    key: Tensor
    p: Tensor
    position: tuple[int, int] | None = None
    """If the rows are a part of a batch: the number of rows before them, and their own number."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int32), persistent=False)
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs
        key = self.key
        if self.position is not None:
            before, rows = self.position
            key = key_from(key, before * (inputs.numel() // rows))
        outputs = drop(inputs, key, self.p)
        self.key.add_(_NEXT_USE)
        return outputs


def drop(inputs: Tensor, key: Tensor, p: Tensor) -> Tensor:
    """Apply dropout to inputs n x ..., or to lanes x n x ... with one key and one ``p`` per lane."""
    shape = inputs.shape[key.ndim :]
    p = wide(p, len(shape))
    kept = bits(key, shape, inputs.device) >= (p * 2**24).to(torch.int32)
    return inputs * kept * (1 / (1 - p)).to(inputs.dtype)


def replace_dropout(network: nn.Module) -> nn.Module:
    """Replace every ``nn.Dropout`` with ours, in place. Return the network, or its replacement."""
    if type(network) is nn.Dropout:
        return Dropout(network.p)
    for name, child in list(network._modules.items()):  # a dropout used in two places becomes two modules
        if child is not None:
            setattr(network, name, replace_dropout(child))
    return network


def dropouts(network: nn.Module) -> list[tuple[str, Dropout]]:
    """Return the dropout modules of a network with their names, in order."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Dropout)]
