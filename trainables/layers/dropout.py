"""Dropout whose noise is a function of key and position: the same on every device and in a stack."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.layers.counter_random import bits, wide

# Far from what the position in the noise is multiplied by, and from its first multiples.
_NEXT_USE = 0x4F1BBCDD


class Dropout(nn.Module):
    """Inverted dropout with probability ``p`` in [0, 1); ``key`` picks the noise, anew for each batch.

    A module that is used several times in a pass drops other units each time.
    Both are buffers, so that in a stack of models each has its own; neither is part of the state dict.
    """

    key: Tensor
    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int32), persistent=False)
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return inputs
        outputs = drop(inputs, self.key, self.p)
        self.key.add_(_NEXT_USE)
        return outputs


def drop(inputs: Tensor, key: Tensor, p: Tensor) -> Tensor:
    """Inputs n x ... after dropout; with a key and a p per lane, inputs lanes x n x ..., each as if alone."""
    shape = inputs.shape[key.ndim :]
    p = wide(p, len(shape))
    kept = bits(key, shape, inputs.device) >= (p * 2**24).to(torch.int32)
    return inputs * kept * (1 / (1 - p)).to(inputs.dtype)


def replace_dropout(network: nn.Module) -> nn.Module:
    """Put our dropout in the place of every ``nn.Dropout``; the network itself, or what took its place."""
    if type(network) is nn.Dropout:
        return Dropout(network.p)
    for name, child in list(network._modules.items()):  # a dropout that is there twice becomes two
        if child is not None:
            setattr(network, name, replace_dropout(child))
    return network


def dropouts(network: nn.Module) -> list[tuple[str, Dropout]]:
    """The dropout modules of a network with their names, in order."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Dropout)]
