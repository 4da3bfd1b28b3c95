"""Batch normalisation whose mean and variance are those of the whole batch, on any device.

torch's ``SyncBatchNorm`` works on GPUs only.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

_CONVERTED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class WholeBatchNorm(_BatchNorm):
    """``nn.BatchNorm1d`` and its relatives over the rows of all processes."""

    is_counted = True
    """Whether this process's rows are part of the batch."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return nn.functional.batch_norm(
                inputs, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        outputs, mean, variance, count = _WholeBatch.apply(  # type: ignore[no-untyped-call]
            inputs, self.weight, self.bias, self.eps, self.is_counted
        )
        if self.training and self.running_mean is not None:
            self._remember(mean, variance, count)
        whole: Tensor = outputs
        return whole

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Update the running statistics, as torch does: the running variance is unbiased."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        unbiased = variance * (count / (count - 1))
        self.running_mean.add_(share * (mean - self.running_mean).to(self.running_mean.dtype))
        self.running_var.add_(share * (unbiased - self.running_var).to(self.running_var.dtype))


def whole_batch_norms(network: nn.Module) -> list[WholeBatchNorm]:
    """Let all batch normalisations of a network use the whole batch, and return them.

    The modules stay in place, so their names, parameters, hooks and references remain valid. Raises
    ValueError for a batch normalisation of another class, which would use this process's rows only.
    """
    norms = []
    for name, module in network.named_modules():
        if not isinstance(module, _BatchNorm):
            continue
        if type(module) not in _CONVERTED:
            raise ValueError(
                f"model: batch normalization '{name}' is a {type(module).__name__}, which would use the rows "
                "of one process only; must be nn.BatchNorm1d, 2d or 3d in a trial of several processes"
            )
        module.__class__ = WholeBatchNorm
        norms.append(cast(WholeBatchNorm, module))
    return norms


class _WholeBatch(torch.autograd.Function):
    """Normalise n x channels x ... by the mean and variance of each channel over all processes.

    Each process's loss is that of the whole batch, times the number of processes. A process that is not
    counted normalises its rows, but adds nothing to the statistics and gets no gradient.
    """

    @staticmethod
    def forward(
        context: Any, inputs: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, is_counted: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        channels = inputs.shape[1]
        own_count = inputs.numel() // channels * is_counted
        axes = [0, *range(2, inputs.ndim)]
        own_mean = wide.mean(dim=axes)
        own_squares = (wide - _along(own_mean, wide)).square().sum(dim=axes)
        own = torch.cat([own_mean, own_squares, own_mean.new_full((1,), own_count)])
        if not is_counted:
            own.zero_()
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        statistics = torch.stack(parts)
        means, squares, counts = (
            statistics[:, :channels],
            statistics[:, channels : 2 * channels],
            statistics[:, -1:],
        )
        # The statistics of each part, combined as in Chan et al. 1983.
        count = counts.sum()
        if inputs.numel() == channels:  # only then the whole batch may have a single value
            _refuse_single_value(count)
        mean = (counts * means).sum(dim=0) / count
        variance = (squares + counts * (means - mean).square()).sum(dim=0) / count
        scale = (variance + eps).rsqrt()
        normalized = (wide - _along(mean, wide)) * _along(scale, wide)
        context.save_for_backward(normalized, scale, weight, count)
        context.is_counted, context.has_bias, context.dtype = is_counted, bias is not None, inputs.dtype
        context.mark_non_differentiable(mean, variance, count)
        outputs = normalized
        if weight is not None:
            outputs = outputs * _along(weight, wide)
        if bias is not None:
            outputs = outputs + _along(bias, wide)
        # A result must not be a saved tensor: without weight and bias it would be one.
        return outputs.to(inputs.dtype, copy=outputs is normalized), mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        normalized, scale, weight, count = context.saved_tensors
        gradient = gradients[0].to(normalized.dtype)
        axes = [0, *range(2, gradient.ndim)]
        own_sum, own_product = gradient.sum(dim=axes), (gradient * normalized).sum(dim=axes)
        totals = torch.stack([own_sum, own_product])
        distributed.all_reduce(totals)
        total, product = totals / count
        factor = scale if weight is None else scale * weight
        inputs = (gradient - _along(total, gradient) - normalized * _along(product, gradient)) * _along(
            factor, gradient
        )
        if not context.is_counted:
            inputs = torch.zeros_like(inputs)
        of_weight = None if weight is None else own_product.to(weight.dtype)
        of_bias = own_sum.to(normalized.dtype) if context.has_bias else None
        return inputs.to(context.dtype), of_weight, of_bias, None, None


def _along(values: Tensor, inputs: Tensor) -> Tensor:
    """Return one value per channel in a shape that fits n x channels x ..."""
    return values.view(1, -1, *(1,) * (inputs.ndim - 2))


def _refuse_single_value(count: Tensor) -> None:
    if count.item() == 1:
        raise ValueError("batch_size: batch normalization needs at least two values per channel, got one")
