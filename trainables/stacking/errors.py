"""Reasons why models cannot train as one: code that cannot be vectorised, or too little device memory."""

from __future__ import annotations

import torch

_SAID = (
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # Raised if a library's handle does not fit. Another cause reappears when the model trains alone.
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
)
"""Texts of plain RuntimeErrors in which torch reports failed allocations of other libraries."""


class CannotStack(Exception):
    """These models cannot train as one. The text says why. No learner was changed."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether torch or a library below it raised ``error`` because the device's memory is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)
