"""Why models cannot be trained as one: their code cannot be vectorised, or the device's memory is short."""

from __future__ import annotations

import torch

_SAID = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # Said where there is no room for a library's handle. A lone training shows it if it had another cause.
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""What torch passes on of the allocations that it does not make itself, as plain RuntimeErrors."""


class CannotStack(Exception):
    """These models cannot be trained as one; the text says why. No learner was changed."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether it was raised because the device's memory is short, by torch or by a library below it."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
