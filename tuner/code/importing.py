"""``importing``: pauses the garbage collector during large imports."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pause the garbage collector during large imports.

    It finds no garbage there, but visits every new object repeatedly. This takes a third of the time of
    ``import torch``.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
