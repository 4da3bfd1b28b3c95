"""The random states that a process shares: of Python, NumPy, and PyTorch where it is in use."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def global_randomness(seed: int) -> Iterator[None]:
    """The global random states are seeded; afterwards they are as before."""
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


def global_states() -> list[str]:
    """The global random states, to compare; of PyTorch too where it is in use."""
    torch = sys.modules.get("torch")
    states = [repr(random.getstate()), repr([np.asarray(part).tolist() for part in np.random.get_state()])]
    return states + ([repr(torch.get_rng_state().tolist())] if torch else [])
