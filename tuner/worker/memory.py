"""Whether the trials of a worker give their memory back.

What they leave behind adds up: the worker grows again and again, until it fills the machine. A library that
a trial is the first to import, or a cache that fills, makes it grow, too, but not for ever.
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

# Growth is counted in steps of this part of what falls to the process, but at least so many bytes; at the
# third it is judged. So a worker that keeps less than 9 % of its share, or 288 MiB, is left alone.
_STEP = 1 / 32
_LEAST_STEP = 96 * 2**20
_GROWTHS = 3

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class MemoryLeak:
    """What trials have left behind in a worker, of the memory of its machine or of its GPUs, in bytes.

    ``before``: held when the first of them had ended; ``after``: held now, without any; ``share``: that falls
    to the worker.
    """

    memory: Literal["machine", "gpu"]
    before: int
    after: int
    share: int


@dataclass(frozen=True)
class WorkerHealth:
    """What a worker has to say of itself as one of its trials ends; one in good order says nothing.

    ``fit``: for other trials. If it is, it has grown, and as long as trials are open it cannot be told what
    of that is theirs; it had better get no others until they have ended.
    """

    fit: bool
    leak: MemoryLeak | None = None


class MemoryMeter:
    """How one kind of memory that a process holds develops from trial to trial. All in bytes.

    It is read as a trial ends, when ``others`` are still open. What these hold is not known, so only that is
    growth which exceeds all that was held before with as many; and only without any it is judged.
    """

    def __init__(self, step: float) -> None:
        self.before = 0
        self._step = step
        self._growths = 0
        self._most = -1  # others that were open at once
        self._limit = 0.0  # what exceeds it, when all that can be freed is, has grown
        self._alarm = 0.0  # the same, when it may not be

    @property
    def is_doubtful(self) -> bool:
        """Whether it has grown so often that it has to be judged."""
        return self._growths >= _GROWTHS

    def expects(self, held: int, *, others: int) -> bool:
        """Whether so much was to be expected; else what can be freed has to be, and then ``judge``."""
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
        """Whether trials have left memory behind, if so much is held now, and was before it was freed."""
        if self._most < 0:
            self._most, self.before, self._limit = others, held, held + self._step
        elif held > self._limit:
            self._growths += 1
            self._limit = held + self._step
        # Memory that the C library or the garbage collector keeps is kept again next time.
        self._alarm = max(self._limit, unfreed + self._step)
        if others > 0 or not self.is_doubtful:
            return False
        if held > self.before + self._step:
            return True
        self.before, self._growths = min(self.before, held), 0
        return False


class Memory:
    """Looks after the memory of this process, a worker, each time that one of its trials has ended."""

    def __init__(self) -> None:
        self._machine_share, self._gpu_part = _fair_share()
        self._machine = MemoryMeter(_step(self._machine_share))
        self._gpus: MemoryMeter | None = None  # there is none before CUDA is in use
        self._leaked = False  # and has said so; trials may still be under way to it

    def condition(self, *, others: int) -> WorkerHealth | None:
        """What is to be said of the process while so many other trials are open; a leak is told once."""
        if self._leaked:
            return WorkerHealth(fit=False)
        leak = self._look("machine", self._machine, _held_of_machine, self._machine_share, others)
        doubtful = self._machine.is_doubtful
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            share = self._gpu_part * _total_of_gpus(torch)
            self._gpus = self._gpus or MemoryMeter(_step(share))
            leak = leak or self._look("gpu", self._gpus, lambda: _held_of_gpus(torch), share, others)
            doubtful = doubtful or self._gpus.is_doubtful
        self._leaked = leak is not None
        return WorkerHealth(not self._leaked, leak) if self._leaked or doubtful else None

    def _look(
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
    """Give all that nobody uses any more back to the system. Takes milliseconds, so not after each trial."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


def _held_of_machine() -> int:
    """The memory of this process alone: not what it has mapped of files and of Ray's object store.

    0 where the system does not say it as Linux does.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            _, resident, shared, *_ = map(int, file.read().split())
    except FileNotFoundError:
        return 0
    return (resident - shared) * _PAGE


def _held_of_gpus(torch: Any) -> int:
    """What PyTorch's tensors hold of all GPUs of this process."""
    return sum(torch.cuda.memory_allocated(device) for device in range(torch.cuda.device_count()))


def _total_of_gpus(torch: Any) -> int:
    devices = range(torch.cuda.device_count())
    return sum(torch.cuda.get_device_properties(device).total_memory for device in devices)


def _fair_share() -> tuple[float, float]:
    """What falls to this process: bytes of its machine's memory, and its part of each of its GPUs.

    Of the memory it is as much as of the machine's CPUs or GPUs; all of it, if it holds none of these.
    Outside Ray, and where Ray counts no memory, there is no limit.
    """
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return math.inf, 1.0
    [node] = [each["Resources"] for each in ray.nodes() if each["NodeID"] == context.get_node_id()]
    given = context.get_assigned_resources()
    part = max((given.get(kind, 0) / node[kind] for kind in ("CPU", "GPU") if node.get(kind)), default=0)
    return node.get("memory", math.inf) * min(1.0, part or 1.0), min(1.0, given.get("GPU", 1.0))
