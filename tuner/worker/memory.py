"""Find out whether the trials of a worker leak memory.

Leaked memory adds up, so the worker grows until it fills the machine. A first import of a library and a
filling cache also make the worker grow, but only for a while.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import ray

# A step is 1/32 of the process's share, at least 96 MiB. After three steps we look for a leak. A worker that
# leaks less than 9 % of its share, or less than 288 MiB, is therefore tolerated.
_STEP = 1 / 32
_LEAST_STEP = 96 * 2**20
_GROWTHS = 3

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MemoryLeak:
    """Memory of a machine or its GPUs that the trials of a worker did not free. All sizes are in bytes."""

    memory: Literal["machine", "gpu"]
    before: int
    """The memory that the worker held between its first trials."""
    after: int
    """The memory that it holds now, without a trial."""
    share: int
    """The memory that it may use."""


@dataclass(frozen=True)
class WorkerHealth:
    """A worker's report when one of its trials ends. A healthy worker sends none."""

    fit: bool
    """Whether the worker can run other trials. A fit worker reports if it has grown. Open trials may hold the
    memory, so it should get no new trials until they have ended."""
    leak: MemoryLeak | None = None


class MemoryMeter:
    """Tracks one kind of a process's memory from trial to trial, in bytes.

    It is read when a trial ends, while ``others`` may still be open and hold an unknown amount. A reading
    therefore counts as growth only if it exceeds all earlier ones with as many open trials. We look for a
    leak only when no trial is open.
    """

    def __init__(self, step: float) -> None:
        self.before = 0
        self._step = step
        self._growths = 0
        self._most = -1  # the most other trials that were open at a reading
        self._limit = 0.0  # a reading above it, after memory was freed, is growth
        self._alarm = 0.0  # a reading above it requires that memory is freed and read again

    @property
    def is_doubtful(self) -> bool:
        """Whether it has grown enough times to look for a leak."""
        return self._growths >= _GROWTHS

    def expects(self, held: int, *, others: int) -> bool:
        """Return whether a reading is normal. If not, free unused memory and call ``judge``."""
        if self._most < 0 or (self.is_doubtful and others == 0):
            return False
        if others > self._most:
            self._most = others
            self._limit = max(self._limit, held + self._step)
            self._alarm = max(self._alarm, self._limit)
        if others == 0:
            self.before = min(self.before, held)
        return held <= self._alarm

    def judge(self, held: int, *, others: int, unfreed: int) -> bool:
        """Return whether trials leaked memory.

        ``unfreed`` is the reading before unused memory was freed, and ``held`` the reading after that.
        """
        if self._most < 0:
            self._most, self.before, self._limit = others, held, held + self._step
        elif held > self._limit:
            self._growths += 1
            self._limit = held + self._step
        # The C library and the garbage collector will hold as much unused memory at the next reading.
        self._alarm = max(self._limit, unfreed + self._step)
        if others > 0 or not self.is_doubtful:
            return False
        if held > self.before + self._step:
            return True
        self.before, self._growths = min(self.before, held), 0
        return False


class Memory:
    """Checks the memory of this worker process whenever one of its trials has ended."""

    def __init__(self) -> None:
        self._machine_share, self._gpu_part = _fair_share()
        self._machine = MemoryMeter(_step(self._machine_share))
        self._gpus: MemoryMeter | None = None  # created when CUDA is in use
        self._has_leaked = False  # a leak was reported; the driver may have sent more trials meanwhile

    def condition(self, *, others: int) -> WorkerHealth | None:
        """Return the health of the process; ``None`` if it is good. A leak is reported once.

        ``others`` is the number of open trials.
        """
        if self._has_leaked:
            return WorkerHealth(fit=False)
        leak = self._find_leak("machine", self._machine, _machine_memory, self._machine_share, others)
        doubtful = self._machine.is_doubtful
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            share = self._gpu_part * _total_gpu_memory(torch)
            self._gpus = self._gpus or MemoryMeter(_step(share))
            leak = leak or self._find_leak("gpu", self._gpus, lambda: _gpu_memory(torch), share, others)
            doubtful = doubtful or self._gpus.is_doubtful
        self._has_leaked = leak is not None
        return WorkerHealth(not self._has_leaked, leak) if self._has_leaked or doubtful else None

    def _find_leak(
        self,
        memory: Literal["machine", "gpu"],
        meter: MemoryMeter,
        read: Callable[[], int],
        share: float,
        others: int,
    ) -> MemoryLeak | None:
        unfreed = read()
        if meter.expects(unfreed, others=others):
            return None
        _free()
        held = read()
        if not meter.judge(held, others=others, unfreed=unfreed):
            return None
        return MemoryLeak(memory, before=meter.before, after=held, share=round(share))


def _step(share: float) -> float:
    return max(_LEAST_STEP, _STEP * share)


def _free() -> None:
    """Return unused memory to the system. This takes milliseconds, so do not call it after each trial."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc has it
    if trim is not None:
        trim(0)


def _machine_memory() -> int:
    """Return the private memory of this process, without mapped files and Ray's object store.

    Returns 0 on a system without Linux's ``/proc``.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except FileNotFoundError:
        return 0
    return (resident - shared) * _PAGE


def _gpu_memory(torch: Any) -> int:
    """Return the memory of PyTorch's tensors on all GPUs of this process."""
    return sum(torch.cuda.memory_allocated(device) for device in range(torch.cuda.device_count()))


def _total_gpu_memory(torch: Any) -> int:
    devices = range(torch.cuda.device_count())
    return sum(torch.cuda.get_device_properties(device).total_memory for device in devices)


def _fair_share() -> tuple[float, float]:
    """Return this process's share: bytes of its machine's memory, and the fraction of each of its GPUs.

    Its fraction of the memory equals its fraction of the machine's CPUs or GPUs, whichever is larger. A
    process without either has a share of all the memory. The share is infinite outside Ray, and if Ray does
    not know the machine's memory.
    """
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return math.inf, 1.0
    [node] = [each["Resources"] for each in ray.nodes() if each["NodeID"] == context.get_node_id()]
    given = context.get_assigned_resources()
    part = max((given.get(kind, 0) / node[kind] for kind in ("CPU", "GPU") if node.get(kind)), default=0)
    return node.get("memory", math.inf) * min(1.0, part or 1.0), min(1.0, given.get("GPU", 1.0))
