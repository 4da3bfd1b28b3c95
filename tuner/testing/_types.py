"""Types shared by searches and simulations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tuner.objective import Ending

Mode = Literal["min", "max"]
Fate = tuple[Ending, Sequence[float]]
"""The outcome of a trial: how it ends, and the values that it reports before."""
