"""``StackingRecord``: what a process has learned about stacking its models, so that it does not retry."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class StackingRecord:
    """Findings about kinds of learners and their models, by full or partial signatures."""

    unstackable: dict[Hashable, str] = field(default_factory=dict)
    """Kinds of learners that cannot be vectorised, and why."""

    harmless: set[Hashable] = field(default_factory=set)
    """Models whose forward pass changes nothing but their buffers, in place."""

    held: dict[Hashable, int] = field(default_factory=dict)
    """Kind -> number of learners that the device's memory can train at once, after it was once too small."""
