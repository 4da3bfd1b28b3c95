"""Random numbers as functions of a key and a position, equal on every device, in a stack and alone.

torch draws from a global generator. A trial's numbers would then depend on the draws of other trials, and a
stack of models would draw other numbers than each model alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_STEP = -1640531535
"""Difference of the hash's inputs at neighbouring positions."""


def keys(
    seed: int, *, first_batch: int, batches: int, layers: int, first_layer: int = 0
) -> NDArray[np.int32]:
    """Return the random keys of an epoch as int32, batches x layers.

    A key is a function of the trial's seed, the batch and the layer. A layer is one use of random numbers
    within a batch.
    """
    batch = np.arange(first_batch, first_batch + batches, dtype=np.uint64)[:, None]
    layer = np.arange(first_layer, first_layer + layers, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):
        mixed = (
            np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + batch * np.uint64(0xBF58476D1CE4E5B9) + layer
        )
        # The finaliser of SplitMix64 (Steele et al. 2014).
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.int32)


def bits(key: Tensor, shape: Iterable[int], device: torch.device) -> Tensor:
    """Return uniform whole numbers in [0, 2**24) as int32.

    They are a hash of position and key (lowbias32, Wellons 2018). A scalar ``key`` gives ``shape``. One key
    per lane gives lanes x ``shape``, each lane as if alone.
    """
    shape = tuple(shape)
    count = math.prod(shape)
    # Overflow wraps around, as the hash needs. The masks make the shifts insert zeros.
    mixed = torch.arange(count, dtype=torch.int32, device=device).reshape(shape) * _STEP
    mixed = mixed + wide(key, len(shape))
    mixed = (mixed ^ ((mixed >> 16) & 0xFFFF)) * 0x7FEB352D
    mixed = (mixed ^ ((mixed >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return ((mixed ^ ((mixed >> 16) & 0xFFFF)) >> 8) & 0xFFFFFF


def key_from(key: Tensor, first: int) -> Tensor:
    """Return the key with which ``bits`` begins at position ``first`` of the numbers of ``key``."""
    step = (first * _STEP + 2**31) % 2**32 - 2**31  # as int32, which wraps around
    return key + step


def uniform(key: Tensor, shape: Iterable[int], *, like: Tensor) -> Tensor:
    """Return uniform numbers in [0, 1), with the type and device of ``like``."""
    return bits(key, shape, like.device).to(like.dtype) / 2**24


def normal(key: Tensor, other: Tensor, shape: Iterable[int], *, like: Tensor) -> Tensor:
    """Return standard normal numbers from two keys (Box and Muller 1958), with the type of ``like``."""
    shape = tuple(shape)
    radius = (-2 * torch.log1p(-uniform(key, shape, like=like))).sqrt()
    return radius * torch.cos(2 * math.pi * uniform(other, shape, like=like))


def wide(values: Tensor, dimensions: int) -> Tensor:
    """Append ``dimensions`` dimensions of length 1 to a scalar or to one value per lane."""
    return values.view(*values.shape, *(1,) * dimensions)
