"""``importing`` and ``import_tune``: large imports that take less time."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_NAMED_BY_RAY_TUNE = ("pandas", "ray.data")
"""Ray Tune 2.60 imports these modules, more than half of its import time, and uses them in type annotations
and in functions that a sweep does not call."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pause the garbage collector during large imports.

    It would walk the new objects again and again, for a third of the time that torch takes to import, and
    find nothing to free.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_tune() -> None:
    """Import ``ray.tune`` without pandas and ``ray.data``; both load when something first uses them."""
    if "ray.tune" in sys.modules:
        return
    with importing():
        standing_in = [_StandIn(name) for name in _NAMED_BY_RAY_TUNE if name not in sys.modules]
        sys.modules.update({module.__name__: module for module in standing_in})
        try:
            importlib.import_module("ray.tune")
        finally:
            for module in standing_in:
                module.leave()


class _StandIn(ModuleType):
    """Takes a module's place during an import; afterwards forwards to the module, which it imports if needed.

    The modules of Ray that it was imported by keep it, and nothing else sees it.
    """

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            importer = sys._getframe(1).f_globals.get("__name__", "")
            if importer.startswith("ray."):
                if name.startswith("__"):
                    raise AttributeError(name)
                return type(name, (), {})  # for an annotation
            self.leave()
        return getattr(importlib.import_module(self.__name__), name)

    def leave(self) -> None:
        """Let the next import load the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
