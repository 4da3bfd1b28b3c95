"""The global random states of a process: Python's, NumPy's, and PyTorch's if it is imported."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def global_randomness(seed: int) -> Iterator[None]:
    """Seed the global random states, and restore them afterwards."""
    torch = sys.modules.get("torch")
    states = random.getstate(), np.random.get_state(), torch and torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if torch:
            torch.set_rng_state(states[2])


def global_states() -> dict[str, str]:
    """Return the global random states by library, in a form that can be compared."""
    torch = sys.modules.get("torch")
    return {
        "random": repr(random.getstate()),
        "numpy": repr([np.asarray(part).tolist() for part in np.random.get_state()]),
        **({"torch": repr(torch.get_rng_state().tolist())} if torch else {}),
    }
