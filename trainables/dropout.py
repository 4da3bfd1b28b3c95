"""Dropout whose noise is a function of key and position: the same on every device and in a stack.

torch's own draws from a global generator: what a trial gets then depends on who drew before it, and a
stack of models draws other numbers than each model alone.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Dropout(nn.Module):
    """Inverted dropout with probability ``p`` in [0, 1); ``key`` picks the noise, anew for each batch.

    Both are buffers, so that in a stack of models each has its own; neither is part of the state dict.
    """

    key: Tensor
    p: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("key", torch.zeros((), dtype=torch.int32), persistent=False)
        self.register_buffer("p", torch.tensor(p, dtype=torch.float64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return drop(inputs, self.key, self.p) if self.training else inputs


def drop(inputs: Tensor, key: Tensor, p: Tensor) -> Tensor:
    """Inputs n x ... after dropout; with a key and a p per lane, inputs lanes x n x ..., each as if alone."""
    lanes, shape = key.shape, inputs.shape[key.ndim :]
    key, p = (tensor.view(*lanes, *(1 for _ in shape)) for tensor in (key, p))
    kept = _noise(key, shape, inputs.device) >= (p * 2**24).to(torch.int32)
    return inputs * kept * (1 / (1 - p)).to(inputs.dtype)


def replace_dropout(network: nn.Module) -> nn.Module:
    """Put our dropout in the place of every ``nn.Dropout``; the network itself, or what took its place."""
    if type(network) is nn.Dropout:
        return Dropout(network.p)
    for name, child in network.named_children():
        setattr(network, name, replace_dropout(child))
    return network


def dropouts(network: nn.Module) -> list[tuple[str, Dropout]]:
    """The dropout modules of a network with their names, in order."""
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Dropout)]


def keys(seed: int, *, first_batch: int, batches: int, layers: int) -> NDArray[np.int32]:
    """The keys of an epoch, batches x layers: functions of the trial's seed and the number of the batch."""
    batch = np.arange(first_batch, first_batch + batches, dtype=np.uint64)[:, None]
    layer = np.arange(layers, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):
        mixed = (
            np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + batch * np.uint64(0xBF58476D1CE4E5B9) + layer
        )
        # The finaliser of SplitMix64 (Steele et al. 2014).
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)


def _noise(key: Tensor, shape: Iterable[int], device: torch.device) -> Tensor:
    """Uniform whole numbers in [0, 2**24), as int32: a hash (lowbias32, Wellons 2018) of position and key.

    ``key`` has as many dimensions as the result, all of length 1 but for those of the lanes.
    """
    shape = tuple(shape)
    count = int(np.prod(shape))
    # Wraps round at 2**31, as the hash wants; the shifts bring in zeros because of the masks.
    mixed = torch.arange(count, dtype=torch.int32, device=device).reshape(shape) * -1640531535 + key
    mixed = (mixed ^ ((mixed >> 16) & 0xFFFF)) * 0x7FEB352D
    mixed = (mixed ^ ((mixed >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return ((mixed ^ ((mixed >> 16) & 0xFFFF)) >> 8) & 0xFFFFFF
