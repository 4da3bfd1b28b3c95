"""Augmentation: random changes of each batch of training rows.

All random draws are functions of the trial's seed and the batch's number. The code handles one trial, or
several lanes. With lanes, every tensor has a leading dimension for them. Each lane is treated as if alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainables.configs import ImageConfig, TrainingConfig
from trainables.layers import counter_random
from trainables.layers.counter_random import uniform, wide

_FIRST_LAYER = 2**20
"""The first layer of ``counter_random.keys`` for augmentation, after all layers that dropout uses."""

_NOISE, _NOISE_TOO, _FLIP, _ROTATION, _DOWN, _RIGHT, _CUT_ROW, _CUT_COLUMN = range(8)


class Augmentation:
    """The augmentation of one epoch, for the trials of ``configs`` and ``seeds``.

    - ``epochs``: each trial's epoch, from 0.
    - ``batches``: batches per epoch.
    - ``shape``: of one row: height x width, with or without leading channels; a flat row has no image.
    - ``like``: a tensor with the type and device of the features.
    """

    def __init__(
        self,
        configs: Sequence[TrainingConfig],
        *,
        seeds: Sequence[int],
        epochs: Sequence[int],
        batches: int,
        shape: Sequence[int],
        stacked: bool,
        like: Tensor,
    ) -> None:
        self._configs = configs
        self._stacked = stacked
        self._like = like
        *channels, height, width = (1, *shape)[-3:] if len(shape) > 1 else (1, 1, 1)
        self._shape = math.prod(channels), height, width
        self._noise = self._values("noise")
        self._shift, self._flip, self._rotation, self._cutout = (
            self._values(name) for name in ("shift", "flip", "rotation", "cutout")
        )
        moves = [values for values in (self._shift, self._flip, self._rotation) if values is not None]
        self._moved = torch.stack(moves).sum(dim=0) > 0 if moves else None
        self._shares = None
        if any(config.mixup for config in configs):
            shares = [
                _shares(config.mixup, seed=seed, epoch=epoch, batches=batches)
                for config, seed, epoch in zip(configs, seeds, epochs, strict=True)
            ]
            self._shares = torch.tensor(np.stack(shares, axis=1), dtype=like.dtype, device=like.device)
        keys = [
            counter_random.keys(
                seed, first_batch=epoch * batches, batches=batches, first_layer=_FIRST_LAYER, layers=8
            )
            for seed, epoch in zip(seeds, epochs, strict=True)
        ]
        # batches x uses x lanes
        self._keys = torch.from_numpy(np.stack(keys, axis=2)).to(like.device)

    def share(self, batch: int) -> Tensor | None:
        """Return the weight of each row itself in mixup, a scalar or one per lane; ``None`` without mixup."""
        if self._shares is None:
            return None
        return self._shares[batch] if self._stacked else self._shares[batch, 0]

    def __call__(self, inputs: Tensor, batch: int) -> Tensor:
        """Return the augmented rows of a batch (counted from 0): n x ..., or lanes x n x ..."""
        keys = self._keys[batch] if self._stacked else self._keys[batch, :, 0]
        lanes = keys.ndim - 1
        if self._moved is not None or self._cutout is not None:
            images = inputs.reshape(*inputs.shape[: lanes + 1], *self._shape)
            if self._moved is not None:
                images = self._move(images, keys, self._moved)
            if self._cutout is not None:
                images = self._cut(images, keys, self._cutout)
            inputs = images.reshape(inputs.shape)
        if self._noise is not None:
            shape = inputs.shape[lanes:]
            noise = counter_random.normal(keys[_NOISE], keys[_NOISE_TOO], shape, like=inputs)
            inputs = inputs + wide(self._noise, len(shape)) * noise
        share = self.share(batch)
        if share is not None:
            share = wide(share, inputs.ndim - lanes)
            inputs = share * inputs + (1 - share) * inputs.roll(-1, dims=lanes)
        return inputs

    def _move(self, images: Tensor, keys: Tensor, moved_lanes: Tensor) -> Tensor:
        """Mirror, rotate and shift images (... n x channels x height x width), each by its own draw."""
        lanes, rows = keys.shape[1:], images.shape[keys.ndim - 1]
        _, height, width = self._shape

        def drawn(use: int) -> Tensor:
            return uniform(keys[use], (rows,), like=images)

        zero = self._like.new_zeros((*lanes, rows))
        angle, down, right, mirror = zero, zero, zero, zero + 1
        if self._flip is not None:
            mirror = torch.where(drawn(_FLIP) < wide(self._flip, 1), -1.0, 1.0).to(zero)
        if self._rotation is not None:
            angle = (2 * drawn(_ROTATION) - 1) * wide(self._rotation, 1) * (math.pi / 180)
        if self._shift is not None:
            limit = wide(self._shift, 1)
            down, right = ((drawn(use) * (2 * limit + 1)).floor() - limit for use in (_DOWN, _RIGHT))
        # The source of each pixel, in torch's coordinates: -1 and 1 are the image's edges.
        cosine, sine = angle.cos(), angle.sin()
        right, down = right * 2 / width, down * 2 / height
        across, along = -sine * height / width, sine * width / height
        origin = torch.stack(
            [
                torch.stack(
                    [mirror * cosine, mirror * across, -mirror * (cosine * right + across * down)], -1
                ),
                torch.stack([along, cosine, -(along * right + cosine * down)], -1),
            ],
            dim=-2,
        )
        flat = images.reshape(-1, *self._shape)
        grid = functional.affine_grid(origin.reshape(-1, 2, 3), list(flat.shape), align_corners=False)
        moved = functional.grid_sample(flat, grid, align_corners=False).view(images.shape)
        return torch.where(wide(moved_lanes, images.ndim - len(lanes)), moved, images)

    def _cut(self, images: Tensor, keys: Tensor, side: Tensor) -> Tensor:
        """Set a square at a random place of each image to 0 (DeVries and Taylor 2017, arXiv:1708.04552)."""
        rows = images.shape[keys.ndim - 1]
        inside = []
        for use, length in ((_CUT_ROW, self._shape[1]), (_CUT_COLUMN, self._shape[2])):
            centre = (uniform(keys[use], (rows,), like=images) * length).floor()
            first = (centre - (wide(side, 1) / 2).floor()).unsqueeze(-1)
            place = torch.arange(length, device=images.device)
            inside.append((place >= first) & (place < first + wide(side, 2)))
        square = inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
        return images.masked_fill(square.unsqueeze(-3), 0.0)

    def _values(self, name: str) -> Tensor | None:
        """Return one hyperparameter, a scalar or one value per lane; ``None`` if it is 0 for all."""
        values = [float(getattr(config, name, 0)) for config in self._configs]
        if not any(values):
            return None
        tensor = torch.tensor(values, dtype=self._like.dtype, device=self._like.device)
        return tensor if self._stacked else tensor[0]


def augments(config: TrainingConfig) -> bool:
    """Return whether any training rows are changed."""
    images = isinstance(config, ImageConfig) and any(
        (config.shift, config.flip, config.rotation, config.cutout)
    )
    return bool(config.noise or config.mixup or images)


def _shares(alpha: float, *, seed: int, epoch: int, batches: int) -> NDArray[np.float64]:
    """Return the weight of a row itself in mixup, for each batch (Zhang et al. 2018, arXiv:1710.09412)."""
    if alpha == 0:
        return np.ones(batches)
    return np.random.default_rng([seed, epoch]).beta(alpha, alpha, size=batches)
