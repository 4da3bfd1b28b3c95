"""``Devices``: which device a trial of this process gets, and the rows that lie on it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import ray
import torch
from torch import Tensor

from trainables.data.datasets import Part

_SHARE_FOR_DATA = 0.5
"""Of the memory of a device that is free, and of the process's own part of it; the rest is for models."""


class Devices:
    """The devices of a process, with one copy per device of the rows of its trials, which only read them."""

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[Part, dict[torch.device, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
        self._is_gpu_ready = False

    def granted(self, resources: Any) -> torch.device:
        """The device of a trial with these resources (Ray's; ``None``: this process's own).

        The first time that it is a GPU, the process gets ready to use it.
        """
        if resources is not None:
            gpus = resources.required_resources.get("GPU", 0)
        else:
            gpus = len(ray.get_gpu_ids()) if ray.is_initialized() else 0
        if gpus > 0 and not torch.cuda.is_available():
            raise RuntimeError(
                f"resources.gpu: the trial was granted a GPU, but this PyTorch ({torch.__version__}) "
                "sees none; install a build with CUDA on every node, or set gpu to 0"
            )
        if gpus > 0:
            self._prepare_gpu()
        return torch.device("cuda" if gpus > 0 else "cpu")

    def rows(self, part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
        """The rows on the device if they fit there, else on the CPU, from where each batch is copied."""
        copies = self._rows.setdefault(part, {})
        if device not in copies:
            place = device if self._fits(part, device) else torch.device("cpu")
            copies[device] = (
                torch.tensor(part.features, device=place),
                torch.tensor(part.targets, device=place),
            )
        return copies[device]

    def _prepare_gpu(self) -> None:
        """Limit the process to its part of the GPU, and make results on it a function of config and seed.

        Only the first call does so: a model may then set other flags.
        """
        if self._is_gpu_ready:
            return
        self._is_gpu_ready = True
        # A process that takes more than its part would leave its neighbours without memory.
        if (part := _granted_part()) < 1:
            torch.cuda.set_per_process_memory_fraction(part)
        # By default convolutions round their inputs to 10 bits, and add up their gradients in any order.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True

    def _fits(self, part: Part, device: torch.device) -> bool:
        """Whether the rows leave the device room for models, the process's other rows being there."""
        own = memory_share(device)
        if own is None:
            return True
        free, _ = torch.cuda.mem_get_info(device)
        there = [rows for copies in self._rows.values() for rows in copies.get(device, ())]
        held = sum(rows.nbytes for rows in there if rows.device.type == device.type)
        size = part.features.nbytes + part.targets.nbytes
        # Processes that share the device and load at the same time all see the same free memory.
        return size <= _SHARE_FOR_DATA * free and held + size <= _SHARE_FOR_DATA * own


def memory_share(device: torch.device) -> float | None:
    """Bytes of an accelerator that this process may count on, where several share it; ``None`` on the CPU."""
    if device.type != "cuda":
        return None
    _, total = torch.cuda.mem_get_info(device)
    return total * _granted_part()


def _granted_part() -> float:
    """The part of its GPU that Ray has granted this process; outside an actor, and of several GPUs, all."""
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return 1.0
    return min(1.0, float(context.get_assigned_resources().get("GPU", 1.0)))
