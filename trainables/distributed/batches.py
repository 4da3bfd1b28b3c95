"""``SharedForward``: a network's outputs for a whole batch, of which each process computes its own rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from trainables.distributed.group import Group
from trainables.distributed.normalization import WholeBatchNorm
from trainables.layers.dropout import Dropout


class SharedForward:
    """Maps the rows of a whole batch to the outputs of all its rows, which every process gets.

    All processes call it with the same rows. The loss of the outputs is then the loss of the whole batch,
    whatever it computes, and its gradient flows back through this process's own rows. Gradients are scaled so
    that their mean over the processes is the gradient of the whole batch.

    - ``forward``: the network, or a form of it that averages gradients over the processes.
    - ``network``: the network.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], network: nn.Module, group: Group) -> None:
        self._forward = forward
        self._group = group
        self._dropouts = [module for module in network.modules() if isinstance(module, Dropout)]
        self._norms = [module for module in network.modules() if isinstance(module, WholeBatchNorm)]
        # Buffers of other modules may change with the rows. Those of rank 0 count, as in a checkpoint.
        self._buffers = [
            (module, name)
            for module in network.modules()
            if not isinstance(module, (Dropout, WholeBatchNorm))
            for name, _ in module.named_buffers(recurse=False)
        ]

    def __call__(self, inputs: Tensor) -> Tensor:
        counts = self._group.counts(len(inputs))
        before, own = sum(counts[: self._group.rank]), counts[self._group.rank]
        # A model need not accept a batch of no rows. A process without rows computes one that does not count.
        rows = inputs[before : before + own] if own else inputs[:1]
        for dropout in self._dropouts:
            dropout.position = before, len(rows)
        for norm in self._norms:
            norm.is_counted = own > 0
        for module, name in self._buffers:
            _copy_from_first(getattr(module, name))
        own_outputs = self._forward(rows)
        outputs: Tensor = _Gathered.apply(own_outputs, counts, self._group.rank)  # type: ignore[no-untyped-call]
        return outputs


def _copy_from_first(buffer: Tensor) -> None:
    """Give a buffer the values of rank 0."""
    sent = buffer.contiguous()
    distributed.broadcast(sent, src=0)
    # An expanded tensor cannot be written to, but it never changes either.
    if sent is not buffer and not torch.equal(sent, buffer):
        buffer.copy_(sent)


class _Gathered(torch.autograd.Function):
    """The rows of all processes, in order. ``counts``: rows of each process."""

    @staticmethod
    def forward(context: Any, own: Tensor, counts: Sequence[int], rank: int) -> Tensor:
        context.counts, context.rank, context.shape = counts, rank, own.shape
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: counts[rank]] = own[: counts[rank]]
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        before, own = sum(context.counts[: context.rank]), context.counts[context.rank]
        gradient = gradients[0].new_zeros(context.shape)
        gradient[:own] = gradients[0][before : before + own] * len(context.counts)
        return gradient, None, None
