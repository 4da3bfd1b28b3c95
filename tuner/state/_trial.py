"""``TrialState``: what is known of a trial while its sweep runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

from tuner.objective import Ending

_ENDED = get_args(Ending)


@dataclass(eq=False)
class TrialState:
    """One trial of a running sweep."""

    number: int
    config: dict[str, Any]
    """That it has at present."""
    seed: int
    state: str = "pending"
    """``pending``, ``running``, ``paused``, or how it ended."""
    ending: Ending | None = None
    """Decided, and about to happen."""
    repeats: bool = False
    """Its last result is one that it had reported before: it started over, or from an earlier checkpoint."""
    is_unsaved: bool = False
    """It was lost as it was paused, maybe before there was a checkpoint."""
    pauses_again: bool = False
    """It trains up to where it was paused, for the checkpoint that others wait for."""
    iteration: int = 0
    seconds: float = 0.0
    """Of training, by its last result."""
    resource: float = 0.0
    """What the scheduler measures it by."""
    last: float | None = None
    last_values: tuple[float, ...] = ()
    """Of all objectives."""
    best: float | None = None
    best_iteration: int = 0
    best_config: dict[str, Any] = field(default_factory=dict)
    """That it had at its best."""
    worker_losses: int = 0
    """Since its last progress."""
    times_too_many: int = 0
    """For the memory of its worker's device."""

    @property
    def has_ended(self) -> bool:
        """Whether it has left for good."""
        return self.state in _ENDED
