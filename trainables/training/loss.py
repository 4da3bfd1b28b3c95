"""The loss that training minimises: the model's loss with label smoothing and mixup.

The code handles one model (outputs n x k, targets n, a scalar loss), or a stack, with leading lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

from trainables.configs import TrainingConfig

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs n x k, targets n) -> mean over the rows, a scalar."""


class TrainingLoss:
    """``loss`` with the label smoothing of ``configs``, one per lane or a single one."""

    def __init__(self, loss: Loss, configs: Sequence[TrainingConfig], *, stacked: bool, like: Tensor) -> None:
        self._loss = loss
        self._stacked = stacked
        self._smoothing: float | Tensor = configs[0].label_smoothing
        if any(config.label_smoothing != self._smoothing for config in configs):
            smoothing = [config.label_smoothing for config in configs]
            self._smoothing = torch.tensor(smoothing, dtype=like.dtype, device=like.device)

    def __call__(self, outputs: Tensor, targets: Tensor, share: Tensor | None) -> Tensor:
        """Return the loss, one per lane. ``share``: weight of the row itself; the rest is the next row's."""
        loss = self._unmixed_loss(outputs, targets)
        if share is None:
            return loss
        return share * loss + (1 - share) * self._unmixed_loss(outputs, targets.roll(-1, dims=-1))

    def _unmixed_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if isinstance(self._smoothing, Tensor):
            exact = losses(self._loss, outputs, targets)
            even = -functional.log_softmax(outputs, dim=-1).mean(dim=(-2, -1))
            return (1 - self._smoothing) * exact + self._smoothing * even
        if self._smoothing > 0:
            return _cross_entropy(outputs, targets, self._smoothing)
        return losses(self._loss, outputs, targets) if self._stacked else self._loss(outputs, targets)


def refuse_smoothing(loss: Loss, config: TrainingConfig) -> None:
    """Raise ValueError if the config smooths labels and the loss has none."""
    if loss is not functional.cross_entropy:
        config.refuse_label_smoothing()


def losses(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of each lane: outputs lanes x n x k, targets lanes x n."""
    if loss is functional.cross_entropy:
        return _cross_entropy(outputs, targets, 0.0)
    return vmap(loss, randomness="error")(outputs, targets)


def _cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    if outputs.ndim == 2:
        return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)
    # vmap splits cross-entropy into small steps, and imports torch's compiler for that. With the classes
    # in the middle, torch works along the rows, which is several times faster for few classes.
    each = functional.cross_entropy(
        outputs.transpose(1, 2), targets, reduction="none", label_smoothing=smoothing
    )
    return each.mean(dim=1)
