"""``Devices``: the device of a process's trials, and the rows stored on it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import ray
import torch
from torch import Tensor

from trainables.data.datasets import Part

_SHARE_FOR_DATA = 0.5
"""Rows take at most this share of a device's free memory, and of the process's part. Models need the rest."""


class Devices:
    """The devices of a process. Its trials share one copy of their rows per device, which is read-only."""

    def __init__(self) -> None:
        self._rows: WeakKeyDictionary[Part, dict[torch.device, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
        self._is_gpu_ready = False

    def granted(self, resources: Any) -> torch.device:
        """Return the device of a trial with these resources (Ray's; ``None``: this process's own).

        The first call that returns a GPU prepares the process for it. Raises RuntimeError when Ray granted a
        GPU and PyTorch finds none.
        """
        if resources is not None:
            gpus = resources.required_resources.get("GPU", 0)
        else:
            gpus = len(ray.get_gpu_ids()) if ray.is_initialized() else 0
        if gpus > 0 and not torch.cuda.is_available():
            raise RuntimeError(
                f"resources.gpu: the trial was granted a GPU, but this PyTorch ({torch.__version__}) "
                "finds none; install a build with CUDA on every node, or set gpu to 0"
            )
        if gpus > 0:
            self._prepare_gpu()
        return torch.device("cuda" if gpus > 0 else "cpu")

    def rows(self, part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the rows on the device if they fit there, else on the CPU for a copy batch by batch."""
        copies = self._rows.setdefault(part, {})
        if device not in copies:
            place = device if self._fits(part, device) else torch.device("cpu")
            copies[device] = (
                torch.tensor(part.features, device=place),
                torch.tensor(part.targets, device=place),
            )
        return copies[device]

    def _prepare_gpu(self) -> None:
        """Limit the process to its part of the GPU, and make results on it deterministic.

        Only the first call has an effect, so a model may set other flags later.
        """
        if self._is_gpu_ready:
            return
        self._is_gpu_ready = True
        # A process that exceeds its part would leave its neighbours without memory.
        if (part := _granted_part()) < 1:
            torch.cuda.set_per_process_memory_fraction(part)
        # By default convolutions round their inputs to 10 bits, and sum gradients in an arbitrary order.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True

    def _fits(self, part: Part, device: torch.device) -> bool:
        """Return whether the rows leave room for models on the device, besides the rows already there."""
        own = memory_share(device)
        if own is None:
            return True
        free, _ = torch.cuda.mem_get_info(device)
        there = [rows for copies in self._rows.values() for rows in copies.get(device, ())]
        held = sum(rows.nbytes for rows in there if rows.device.type == device.type)
        size = part.features.nbytes + part.targets.nbytes
        # Processes that load at the same time see the same free memory, so each also respects its own part.
        return size <= _SHARE_FOR_DATA * free and held + size <= _SHARE_FOR_DATA * own


def memory_share(device: torch.device) -> float | None:
    """Return the bytes of an accelerator that this process may use, or ``None`` on the CPU."""
    if device.type != "cuda":
        return None
    _, total = torch.cuda.mem_get_info(device)
    return total * _granted_part()


def _granted_part() -> float:
    """Return the part of a GPU that Ray granted this process: 1 outside an actor or for several GPUs."""
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return 1.0
    return min(1.0, float(context.get_assigned_resources().get("GPU", 1.0)))
