"""Types that searches and simulations share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from tuner.objective import Ending

Mode = Literal["min", "max"]
Fate = tuple[Ending, Sequence[float]]
"""What becomes of a trial: how it ends, and what it reports before."""
