"""What a worker does about its process: crashes, the accelerator, the memory."""

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

from tuner.errors import TrialError

# What errors other than torch's own say when the device's memory is full: those of CUDA and its libraries.
# A library for whose handle there is no room says that it is not initialized.
_FULL = ("out of memory", "_STATUS_ALLOC_FAILED", "_STATUS_NOT_INITIALIZED")

_LONGEST_TEXT = 20_000
"""Characters of an error."""

# Freed memory that a process keeps, since the next iteration wants it again: asking the system for it each
# time takes a sixth of the time of small models.
_BYTES_TO_KEEP = 256 * 2**20
_LARGEST_KEPT = 32 * 2**20


class Exited(TrialError):
    """The trial has called ``sys.exit`` without an error code."""


class DeviceFull(TrialError):
    """The device's memory did not suffice for a trial.

    ``lanes``: how many trials at once it holds in the process; ``None``: not even this one alone.
    """

    lanes: int | None = None


def count_held(outcomes: Sequence[object], *, of: int) -> None:
    """Say how many trials the device holds where its memory did not suffice for all of a round.

    That is the others of the ``of`` trials, but at least half of all, which is what is tried next.
    """
    full = [each for each in outcomes if isinstance(each, DeviceFull)]
    if full and of > 1:
        for error in full:
            error.lanes = max(of - len(full), of // 2)


def device_is_lost() -> bool:
    """Whether an error of CUDA (an assertion in a kernel, say) makes all that follow in this process fail."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def free_gpu_memory() -> None:
    """Give back what nothing uses any more of the GPU's memory, if CUDA is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def keep_freed_memory() -> None:
    """Tell the C library; there is nothing to tell to any but glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(trim_threshold, _BYTES_TO_KEEP)
        mallopt(mmap_threshold, _LARGEST_KEPT)


@contextlib.contextmanager
def crashes_explained(*, on: str | None = None) -> Iterator[None]:
    """Turn what a trainable raises into a TrialError with its traceback, our and Ray's frames left out.

    Any exception is turned, so that it ends this trial only: SystemExit and KeyboardInterrupt too. One of the
    user's own class could not be unpickled where that class cannot be imported. What the failed calls held is
    free afterwards. Raises DeviceFull where the device's memory did not suffice, Exited for an exit in good
    order, and a TrialError as it is. ``on``: the node, where the error is to name it.
    """
    try:
        yield
    except TrialError:
        raise
    except BaseException as error:
        kind = DeviceFull if _is_full(error) else Exited if _is_good_exit(error) else TrialError
        explained = traceback.TracebackException.from_exception(error)
        for part in _chain(explained):
            part.stack = traceback.StackSummary.from_list(
                [frame for frame in part.stack if not frame.filename.startswith(_OUR_FRAMES)]
            )
        for each in _chain(error):
            traceback.clear_frames(each.__traceback__)  # a trial's memory must not wait for who reads of it
        where = "" if on is None else f" (on the node {on})"
        raise kind(_readable("".join(explained.format()).rstrip()) + where) from None


def _readable(text: str) -> str:
    """Text that can be stored and printed anywhere; the middle of a very long one is left out."""
    text = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(text) <= _LONGEST_TEXT:
        return text
    begin, end = text[: _LONGEST_TEXT // 4], text[-_LONGEST_TEXT * 3 // 4 :]
    return f"{begin}\n... {len(text) - len(begin) - len(end):,} characters left out ...\n{end}"


def _is_good_exit(error: BaseException) -> bool:
    return isinstance(error, SystemExit) and error.code in (None, 0)


E = TypeVar("E", BaseException, traceback.TracebackException)


def _chain(error: E | None) -> Iterator[E]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full(error: BaseException) -> bool:
    """Whether it says that the device's memory is full: not the machine's."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _FULL)


_OUR_FRAMES = (
    os.path.dirname(os.path.abspath(__file__)),
    os.path.dirname(os.path.abspath(ray.__file__)),
    os.path.dirname(os.path.abspath(asyncio.__file__)),
)
