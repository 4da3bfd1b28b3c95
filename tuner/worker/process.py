"""Functions for a worker's process: explain crashes, check the accelerator, and tune memory allocation."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import TypeVar

import ray
from ray.exceptions import RayTaskError

from tuner.client import TrialFailed
from tuner.errors import TrialError

RANK_VARIABLES = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
"""Environment variables that tell ``torch.distributed`` a process's place in its group."""

# Texts of CUDA errors for full device memory. A CUDA library says "not initialized" if its handle does not
# fit into the memory.
_FULL = ("out of memory", "_STATUS_ALLOC_FAILED", "_STATUS_NOT_INITIALIZED")

_LONGEST_TEXT = 20_000
"""Longer texts of errors are cut to this number of characters."""

# A process keeps this much freed memory, since the next iteration needs it again. Otherwise small models
# spend a sixth of their time on system calls for memory.
_BYTES_TO_KEEP = 256 * 2**20
_LARGEST_KEPT = 32 * 2**20


class Exited(TrialError):
    """The trial called ``sys.exit`` without an error code."""


class DeviceFull(TrialError):
    """The device has too little memory for a trial."""

    lanes: int | None = None
    """The number of trials that fit on the device together; ``None`` if even this one alone does not fit."""


def cause_of(error: BaseException) -> BaseException:
    """Return the error that an actor raised, if Ray passed one on; else the error itself."""
    return error.cause if isinstance(error, RayTaskError) else error


def count_held(outcomes: Sequence[object], *, of: int) -> None:
    """Set ``lanes`` of each ``DeviceFull`` in a round of ``of`` trials.

    The value is the number of trials that fit, but at least half of all trials.
    """
    full = [each for each in outcomes if isinstance(each, DeviceFull)]
    if full and of > 1:
        for error in full:
            error.lanes = max(of - len(full), of // 2)


def device_is_lost() -> bool:
    """Return whether a CUDA error, such as a failed assertion, has made the GPU unusable in this process."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def free_gpu_memory() -> None:
    """Release unused GPU memory if CUDA is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Let the C library keep freed memory. This has an effect only with glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(trim_threshold, _BYTES_TO_KEEP)
        mallopt(mmap_threshold, _LARGEST_KEPT)


@contextlib.contextmanager
def crashes_explained(*, on: str | None = None) -> Iterator[None]:
    """Convert any exception of a trainable to a TrialError with its traceback, without our and Ray's frames.

    Even SystemExit and KeyboardInterrupt end only this trial. An exception of a user's class would not
    unpickle in a process that cannot import the class. Raises DeviceFull if the device's memory is full, and
    Exited after an exit without an error code. A TrialError passes unchanged. The variables of the failed
    calls are released. ``on`` is a node to name in the error.
    """
    try:
        yield
    except TrialError:
        raise
    except TrialFailed as error:
        raise TrialError(_printable(str(error))) from None
    except BaseException as error:
        kind = DeviceFull if _is_full(error) else Exited if _is_clean_exit(error) else TrialError
        explained = traceback.TracebackException.from_exception(error)
        for part in _chain(explained):
            part.stack = traceback.StackSummary.from_list(
                [frame for frame in part.stack if not frame.filename.startswith(_OUR_FRAMES)]
            )
        for each in _chain(error):
            traceback.clear_frames(each.__traceback__)  # else the error holds the trial's memory
        where = "" if on is None else f" (on node {on})"
        raise kind(_printable("".join(explained.format()).rstrip()) + where) from None


def _printable(text: str) -> str:
    """Return text that can be stored and printed anywhere. The middle of a long text is left out."""
    text = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(text) <= _LONGEST_TEXT:
        return text
    begin, end = text[: _LONGEST_TEXT // 4], text[-_LONGEST_TEXT * 3 // 4 :]
    return f"{begin}\n... {len(text) - len(begin) - len(end):,} characters left out ...\n{end}"


def _is_clean_exit(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


E = TypeVar("E", BaseException, traceback.TracebackException)


def _chain(error: E | None) -> Iterator[E]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    """Return whether an error reports that the device's memory, not the machine's, is full."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _FULL)


_OUR_FRAMES = (
    os.path.dirname(os.path.abspath(__file__)),
    os.path.dirname(os.path.abspath(ray.__file__)),
    os.path.dirname(os.path.abspath(asyncio.__file__)),
)
