"""``Group``: the connected processes of one trial."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from trainables.distributed.ranks import Ranks

_TIMEOUT = timedelta(minutes=10)
"""The longest wait for another process. Reading data and building models may take different times."""


@dataclass(frozen=True)
class Group:
    """The processes of a trial, connected by the default process group of ``torch.distributed``."""

    rank: int
    world: int
    device: torch.device
    """The device of this process."""

    is_own: bool
    """Whether ``join`` created the process group. A model's own set-up may have created it before."""

    def leave(self) -> None:
        """Disconnect this process, so that its next trial can join another group."""
        if self.is_own and distributed.is_initialized():
            distributed.destroy_process_group()

    def counts(self, rows: int) -> list[int]:
        """Return each process's number of rows in a batch. They differ by at most one."""
        return [rows // self.world + (rank < rows % self.world) for rank in range(self.world)]


def join(ranks: Ranks, device: torch.device) -> Group:
    """Connect this process with the others of its trial. Returns when all have joined.

    ``device``: ``cuda`` without an index, or the CPU. Raises ValueError when a process group exists that has
    other ranks.
    """
    device = _own_device(device, ranks.local_rank)
    is_own = not distributed.is_initialized()
    if is_own:
        on_gpu = device.type == "cuda"
        distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method="env://",
            rank=ranks.rank,
            world_size=ranks.world,
            timeout=_TIMEOUT,
            device_id=device if on_gpu else None,
        )
    found = distributed.get_rank(), distributed.get_world_size()
    if found != (ranks.rank, ranks.world):
        raise ValueError(
            "WORLD_SIZE: differs from the existing process group; must be the same, "
            f"got rank {ranks.rank} of {ranks.world}, and rank {found[0]} of {found[1]} in the group"
        )
    return Group(ranks.rank, ranks.world, device, is_own)


def _own_device(device: torch.device, local_rank: int) -> torch.device:
    """Return this process's GPU: the only one that it sees, or the one with its local rank."""
    if device.type != "cuda":
        return device
    visible = torch.cuda.device_count()
    if visible > 1 and local_rank >= visible:
        raise ValueError(
            f"LOCAL_RANK: must be below the number of GPUs that the process sees, {visible}, got {local_rank}"
        )
    device = torch.device("cuda", local_rank if visible > 1 else 0)
    torch.cuda.set_device(device)
    return device
