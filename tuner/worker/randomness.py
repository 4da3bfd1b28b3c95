"""``GlobalRandomness``: gives each trial its own stream of the global random generators.

These are the generators of Python, NumPy and PyTorch. A trial's draws depend only on its seed, not on
earlier trials of the process or on trials that alternate with it.
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
    """The global generators' state of each trial, by the trial's lane."""

    def __init__(self) -> None:
        self._seed: int | None = None  # the active trial's seed, in case it imports torch
        self._owner: int | None = None
        self._states: dict[int, Any] = {}  # the states of the inactive trials
        _AfterImport.of("torch", lambda torch: self._seed is not None and torch.manual_seed(self._seed))

    def begin(self, lane: int, seed: int, *, iteration: int = 0) -> None:
        """Seed the generators for a trial that begins or continues from a checkpoint of ``iteration``."""
        self.enter(lane)
        words = np.random.SeedSequence([seed, iteration]).generate_state(1) if iteration else [seed]
        self._seed = int(words[0]) % 2**32
        random.seed(self._seed)
        np.random.seed(self._seed)
        if (torch := sys.modules.get("torch")) is not None:
            torch.manual_seed(self._seed)

    def enter(self, lane: int) -> None:
        """Switch the generators to a trial's stream."""
        if self._owner == lane:
            return
        if self._owner is not None:
            self._states[self._owner] = _states()
        self._owner = lane
        if (states := self._states.pop(lane, None)) is not None:
            _set_states(states)

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


def _set_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in states:
        torch.set_rng_state(states["torch"])
    if torch is not None and "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


class _AfterImport(importlib.abc.MetaPathFinder):
    """An import hook that calls a function with a module right after its import."""

    def __init__(self, name: str, then: Callable[[Any], Any]) -> None:
        self._name = name
        self._then = then

    @classmethod
    def of(cls, name: str, then: Callable[[Any], Any]) -> None:
        """Install the hook, unless the module is already imported."""
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
