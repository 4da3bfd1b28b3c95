"""``GlobalRandomness``: the generators that a process has once, seeded for each trial and kept apart.

Those of Python, NumPy and PyTorch. What a trial draws from them depends on its seed alone, not on the trials
that ran in its process before, or run there in turns with it.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np


class GlobalRandomness:
    """Whose stream the generators draw from. Trials are known by their lanes."""

    def __init__(self) -> None:
        self._seed: int | None = None  # of the trial at work, for torch when it is imported
        self._owner: int | None = None
        self._states: dict[int, Any] = {}  # of the others
        _AfterImport.of("torch", lambda torch: self._seed is not None and torch.manual_seed(self._seed))

    def begin(self, lane: int, seed: int, *, iteration: int = 0) -> None:
        """Seed for a trial that begins, or continues from a checkpoint of this iteration."""
        self.enter(lane)
        words = np.random.SeedSequence([seed, iteration]).generate_state(1) if iteration else [seed]
        self._seed = int(words[0]) % 2**32
        random.seed(self._seed)
        np.random.seed(self._seed)
        if (torch := sys.modules.get("torch")) is not None:
            torch.manual_seed(self._seed)

    def enter(self, lane: int) -> None:
        """Let a trial draw from its own stream."""
        if self._owner == lane:
            return
        if self._owner is not None:
            self._states[self._owner] = _states()
        self._owner = lane
        if (states := self._states.pop(lane, None)) is not None:
            _set(states)

    def end(self, lane: int) -> None:
        """Forget a trial."""
        self._states.pop(lane, None)
        if self._owner == lane:
            self._owner = None


def _states() -> dict[str, Any]:
    states = {"python": random.getstate(), "numpy": np.random.get_state()}
    if (torch := sys.modules.get("torch")) is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def _set(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in states:
        torch.set_rng_state(states["torch"])
    if torch is not None and "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


class _AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module right after its import."""

    def __init__(self, name: str, then: Callable[[Any], Any]) -> None:
        self._name = name
        self._then = then

    @classmethod
    def of(cls, name: str, then: Callable[[Any], Any]) -> None:
        """Look out for a module that is not imported yet."""
        if name not in sys.modules:
            sys.meta_path.insert(0, cls(name, then))

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute, then = spec.loader.exec_module, self._then

            def exec_module(module: ModuleType) -> None:
                execute(module)
                then(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
