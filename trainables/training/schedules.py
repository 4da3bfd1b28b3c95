"""Learning-rate schedules: the learning rate of an update as a function of where the training stands."""

from __future__ import annotations

import math

from trainables.configs import TrainingConfig


def learning_rate(config: TrainingConfig, *, update: int, updates: int, reduction: float) -> float:
    """The learning rate of an update, both counted from 0 over the whole training.

    ``updates``: how many an epoch has. ``reduction``: what reduce-on-plateau has come down to, at most 1.
    It rises from update to update in the warm-up, and then falls from epoch to epoch.
    """
    rising = 1.0
    if config.warmup > 0:
        rising = min(1.0, (update + 1) / (config.warmup * updates))
    return config.lr * rising * _decay(config, max(0.0, update // updates - config.warmup), reduction)


def is_warming(config: TrainingConfig, *, epoch: int) -> bool:
    """Whether the learning rate differs from update to update within the epoch, counted from 0."""
    return epoch < config.warmup


def _decay(config: TrainingConfig, epochs: float, reduction: float) -> float:
    """What the schedule multiplies by, so many epochs after the warm-up."""
    share = epochs / config.decay_epochs
    match config.schedule:
        case "constant":
            return 1.0
        case "step":
            return math.pow(config.decay_factor, math.floor(share))
        case "exponential":
            return math.pow(config.decay_factor, share)
        case "inverse_time":
            return 1 / (1 + share)
        case "cosine":  # Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts
            height = (1 + math.cos(math.pi * min(1.0, share))) / 2
            return config.min_lr_ratio + (1 - config.min_lr_ratio) * height
        case "plateau":
            return reduction
