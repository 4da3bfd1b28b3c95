"""Batch normalisation whose mean and variance are those of the whole batch, on any device.

torch's ``SyncBatchNorm`` works on GPUs only.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

_CONVERTED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class WholeBatchNorm(_BatchNorm):
    """``nn.BatchNorm1d`` and its relatives over the rows of all processes."""

    is_counted = True
    """Whether this process's rows are part of the batch."""

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training and self.running_mean is not None:
            return functional.batch_norm(
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
        wide = _wide(inputs)
        channels = inputs.shape[1]
        axes = [0, *range(2, inputs.ndim)]
        own_mean = wide.mean(dim=axes)
        own_squares = (wide - _along(own_mean, wide)).square_().sum(dim=axes)
        own_count = own_mean.new_full((1,), inputs.numel() // channels)
        own = torch.cat([own_mean, own_squares, own_count]) * is_counted
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        statistics = torch.stack(parts)
        means, squares = statistics[:, :channels], statistics[:, channels:-1]
        counts = statistics[:, -1:]
        # The statistics of each part, combined as in Chan et al. 1983.
        count = counts.sum()
        if inputs.numel() == channels:  # only then the whole batch may have a single value
            _refuse_single_value(count)
        mean = (counts * means).sum(dim=0) / count
        variance = (squares + counts * (means - mean).square()).sum(dim=0) / count
        context.save_for_backward(inputs, weight, mean, variance, count)
        context.is_counted, context.has_bias, context.eps = is_counted, bias is not None, eps
        context.mark_non_differentiable(mean, variance, count)
        outputs = functional.batch_norm(wide, mean, variance, weight, bias, eps=eps)
        return outputs.to(inputs.dtype), mean, variance, count

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mean, variance, count = context.saved_tensors
        wide, gradient = _wide(inputs), _wide(gradients[0])
        given = torch.ones_like(mean) if weight is None else weight
        # With fixed statistics, the gradients of weight and bias are the sums that we need.
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, wide, given, mean, variance, None, None, False, context.eps, [False, True, True]
        )
        totals = torch.stack([of_weight, of_bias])
        distributed.all_reduce(totals)
        product, total = totals / count
        scale = (variance + context.eps).rsqrt()
        # given * scale * (gradient - total - normalized * product), as a linear function of two tensors
        slope = given * scale * scale * product
        offset = slope * mean - given * scale * total
        of_inputs = torch.addcmul(_along(offset, wide), gradient, _along(given * scale, wide))
        of_inputs = of_inputs.addcmul_(wide, _along(slope, wide), value=-1)
        if not context.is_counted:
            of_inputs.zero_()
        return (
            of_inputs.to(inputs.dtype),
            None if weight is None else of_weight,
            of_bias if context.has_bias else None,
            None,
            None,
        )


def _wide(values: Tensor) -> Tensor:
    """Return the values in the type of the statistics, which is float32 for shorter types."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _along(values: Tensor, inputs: Tensor) -> Tensor:
    """Return one value per channel in a shape that fits n x channels x ..."""
    return values.view(1, -1, *(1,) * (inputs.ndim - 2))


def _refuse_single_value(count: Tensor) -> None:
    if count.item() == 1:
        raise ValueError("batch_size: batch normalization needs at least two values per channel, got one")
