"""Penalties and clipping: the steps between the backward pass and the optimizer.

The code handles one model, or a stack. In a stack each tensor is lanes x its shape, and each lane is treated
as if alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.configs import TrainingConfig
from trainables.layers.counter_random import wide


class GradientRules:
    """The penalties and limits of ``configs``: one per lane, or with ``stacked=False`` a single one."""

    def __init__(self, configs: Sequence[TrainingConfig], *, stacked: bool, like: Tensor) -> None:
        def values(numbers: list[float]) -> Tensor | None:
            if not any(numbers):
                return None
            tensor = torch.tensor(numbers, dtype=like.dtype, device=like.device)
            return tensor if stacked else tensor[0]

        self._l1, self._l2 = values([c.l1 for c in configs]), values([c.l2 for c in configs])
        # 0 means no limit, which is written as infinity.
        self._value, self._norm = (
            None if limits is None else torch.where(limits == 0, torch.inf, limits)
            for limits in (
                values([c.clip_value or 0.0 for c in configs]),
                values([c.clip_norm or 0.0 for c in configs]),
            )
        )
        self._lanes = (len(configs),) if stacked else ()
        self.any = any(rule is not None for rule in (self._l1, self._l2, self._value, self._norm))

    @torch.no_grad()
    def apply(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the optimizer's gradients: those of the loss with its penalties, then clipped.

        Penalties apply to weights, which are parameters with at least two dimensions. Biases and the gains of
        normalisations have none.
        """
        gradients = [
            self._add_penalty(parameter, gradient)
            for parameter, gradient in zip(parameters, gradients, strict=True)
        ]
        if self._value is not None:
            limits = [self._wide(self._value, gradient) for gradient in gradients]
            gradients = [
                gradient.clamp(-limit, limit) for gradient, limit in zip(gradients, limits, strict=True)
            ]
        if self._norm is not None:
            # The same as torch's clip_grad_norm_, including its small constant.
            share = (self._norm / (self.norm(gradients) + 1e-6)).clamp(max=1.0)
            share = torch.where(self._norm.isinf(), 1.0, share)
            gradients = [gradient * self._wide(share, gradient) for gradient in gradients]
        return gradients

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return the Euclidean norm of all gradients together: a scalar, or one per lane."""
        norms = [torch.linalg.vector_norm(g.reshape(*self._lanes, -1), dim=-1) for g in gradients]
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        return total

    def _add_penalty(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        if parameter.ndim - len(self._lanes) < 2:
            return gradient
        if self._l1 is not None:
            gradient = gradient + self._wide(self._l1, parameter) * parameter.sign()
        if self._l2 is not None:
            gradient = gradient + self._wide(self._l2, parameter) * parameter
        return gradient

    def _wide(self, values: Tensor, like: Tensor) -> Tensor:
        return wide(values, like.ndim - values.ndim)
