"""The progress of a training: the learning rate of each update, and early stopping."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from trainables.configs import TrainingConfig

_PLATEAU_CHANGE = 1e-4
"""Smallest relative decrease that counts as an improvement, as in torch's ReduceLROnPlateau."""


def learning_rate(config: TrainingConfig, *, update: int, updates: int, reduction: float) -> float:
    """Return the learning rate of update number ``update``, counted from 0 over the whole training.

    It increases with each update of the warm-up, and then changes with each epoch.

    - ``updates``: number of updates per epoch
    - ``reduction``: the factor of reduce-on-plateau, at most 1
    """
    warmup_factor = 1.0
    if config.warmup > 0:
        warmup_factor = min(1.0, (update + 1) / (config.warmup * updates))
    return config.lr * warmup_factor * _decay(config, max(0.0, update // updates - config.warmup), reduction)


def is_warming(config: TrainingConfig, *, epoch: int) -> bool:
    """Return whether the learning rate changes between updates of the epoch, counted from 0."""
    return epoch < config.warmup


def _decay(config: TrainingConfig, epochs: float, reduction: float) -> float:
    """Return the schedule's factor of the learning rate, ``epochs`` after the warm-up."""
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


@dataclass
class TrainingProgress:
    """The state of reduce-on-plateau and of early stopping."""

    reduction: float = 1.0
    """Factor of the learning rate."""

    plateau_best: float = math.inf
    """Lowest validation loss that counted as an improvement, for reduce-on-plateau."""

    plateau_waited: int = 0
    """Epochs since then, or since the last reduction."""

    stopping_best: float = math.inf
    """Lowest validation loss that counted as an improvement, for early stopping."""

    stopping_waited: int = 0
    """Epochs since then."""

    def observe(self, val_loss: float, config: TrainingConfig) -> bool:
        """Record an epoch's validation loss. Return whether the trial ends. A nan is no improvement."""
        if config.schedule == "plateau":
            self._observe_plateau(val_loss, config)
        if config.patience is None:
            return False
        if val_loss < self.stopping_best - config.min_change:
            self.stopping_best, self.stopping_waited = val_loss, 0
        else:
            self.stopping_waited += 1
        return self.stopping_waited >= config.patience

    def state_dict(self) -> dict[str, float | int]:
        """Return the numbers from which ``load_state_dict`` continues."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        """Continue from a saved state."""
        for name, value in state.items():
            setattr(self, name, value)

    def _observe_plateau(self, val_loss: float, config: TrainingConfig) -> None:
        if val_loss < self.plateau_best * (1 - _PLATEAU_CHANGE):
            self.plateau_best, self.plateau_waited = val_loss, 0
        else:
            self.plateau_waited += 1
        if self.plateau_waited > config.plateau_patience:
            self.plateau_waited = 0
            self.reduction = max(self.reduction * config.decay_factor, config.min_lr_ratio)
