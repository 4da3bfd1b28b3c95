"""The rules of a running sweep, without Ray, clock or disk, and their replay from a journal."""

from tuner.state._replay import Pending, replay
from tuner.state._state import (
    WORKER_LOSSES,
    Conclude,
    Grant,
    Instruction,
    Release,
    Save,
    SweepState,
    trial_seed,
)
from tuner.state._trial import TrialState

__all__ = [
    "WORKER_LOSSES",
    "Conclude",
    "Grant",
    "Instruction",
    "Pending",
    "Release",
    "Save",
    "SweepState",
    "TrialState",
    "replay",
    "trial_seed",
]
