"""``importing`` and ``import_tune``: make large imports faster."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_NAMED_BY_RAY_TUNE = ("pandas", "ray.data")
"""Ray Tune 2.60 imports these modules, which takes more than half of its import time. It uses them only in
type annotations and in functions that a sweep does not call."""


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Pause the garbage collector during large imports.

    It finds no garbage then, but visits every new object repeatedly. The visits take a third of the time of
    ``import torch``.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def import_tune() -> None:
    """Import ``ray.tune`` without pandas and ``ray.data``. Each is imported at its first use."""
    if "ray.tune" in sys.modules:
        return
    with importing():
        stand_ins = [_StandIn(name) for name in _NAMED_BY_RAY_TUNE if name not in sys.modules]
        sys.modules.update({module.__name__: module for module in stand_ins})
        try:
            importlib.import_module("ray.tune")
        finally:
            for module in stand_ins:
                module.leave()


class _StandIn(ModuleType):
    """Replaces a module during an import. Later it imports the real module on demand and forwards to it.

    Only the Ray modules that imported it keep a reference to it.
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
