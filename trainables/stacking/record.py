"""``StackingRecord``: what a process has found out about its models, so that it does not try again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class StackingRecord:
    """Findings about kinds of learners and their models, by (parts of) their signatures."""

    unstackable: dict[Hashable, str] = field(default_factory=dict)
    """Kinds of learners that turned out not to be vectorisable, and why."""

    harmless: set[Hashable] = field(default_factory=set)
    """Models whose forward pass was found to leave nothing behind."""

    held: dict[Hashable, int] = field(default_factory=dict)
    """By kind, how many at once the device's memory held, where it has once not held all."""
