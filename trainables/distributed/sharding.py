"""Fully sharded training (Zhao et al. 2023, arXiv:2304.11277): each process holds a part of each parameter.

The parts are torch's ``DTensor``. Needs PyTorch 2.6.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from trainables.distributed.group import Group
from trainables.training.gradients import GradientRules


def shard(network: nn.Module, group: Group) -> None:
    """Divide the network's parameters among the processes, block by block, and move them to their devices.

    The parameters of one block at a time are gathered for its forward and backward pass. A block is an entry
    of an ``nn.Sequential`` or ``nn.ModuleList``. Raises ValueError for parameters that cannot be divided.
    """
    for name, parameter in network.named_parameters():
        if parameter.ndim == 0:
            raise ValueError(
                f"strategy: fsdp cannot divide the scalar parameter '{name}'; must be ddp, got 'fsdp'"
            )
    _copy_from_first(network, group)
    mesh = init_device_mesh(group.device.type, (group.world,))
    for block in _blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def _blocks(network: nn.Module) -> list[nn.Module]:
    """Return the modules whose parameters are gathered together, without those inside others."""
    parameters = [parameter for _, parameter in network.named_parameters(remove_duplicate=False)]
    if len({*parameters}) < len(parameters):
        return []  # blocks cannot share a parameter
    if isinstance(network, (nn.Sequential, nn.ModuleList)):
        return [block for block in network if any(True for _ in block.parameters())]
    return [block for child in network.children() for block in _blocks(child)]


@torch.no_grad()
def _copy_from_first(network: nn.Module, group: Group) -> None:
    """Give all processes the parameters of rank 0, as ``DistributedDataParallel`` does."""
    for parameter in network.parameters():
        sent = parameter.to(group.device)  # one at a time, since the device need not hold them all
        distributed.broadcast(sent, src=0)
        parameter.copy_(sent)


class ShardedRules(GradientRules):
    """``GradientRules`` for gradients of which each process holds a part."""

    @torch.no_grad()
    def apply(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Change the gradients in place, and return them."""
        own = [_own(gradient) for gradient in gradients]
        changed = super().apply([_own(parameter) for parameter in parameters], own)
        for gradient, new in zip(own, changed, strict=True):
            gradient.copy_(new)
        return list(gradients)

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Return the Euclidean norm of all gradients of all processes together."""
        own = super().norm([_own(gradient) for gradient in gradients])
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        total: Tensor = torch.linalg.vector_norm(torch.stack(parts))
        return total


def _own(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
