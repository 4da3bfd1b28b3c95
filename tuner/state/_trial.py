"""``TrialState``: the state of one trial of a running sweep."""

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
    """Its current configuration."""
    seed: int
    state: str = "pending"
    """``pending``, ``running``, ``paused``, or how it ended."""
    ending: Ending | None = None
    """The end that was decided but may not have happened yet."""
    repeats: bool = False
    """Whether its last result repeats an earlier one, after a restart from an old checkpoint or from none."""
    is_unsaved: bool = False
    """Whether it was lost during its pause, so that its last result may have no checkpoint."""
    pauses_again: bool = False
    """Whether it repeats its training up to its pause, since others wait for that checkpoint."""
    iteration: int = 0
    seconds: float = 0.0
    """Training time, as of its last result."""
    resource: float = 0.0
    """The resource it has used, in the scheduler's unit."""
    last: float | None = None
    """The first objective's value in the last result."""
    last_values: tuple[float, ...] = ()
    """The values of all objectives in the last result."""
    best: float | None = None
    best_iteration: int = 0
    best_config: dict[str, Any] = field(default_factory=dict)
    """Its configuration at its best value."""
    worker_losses: int = 0
    """The number of deaths of its worker since its last progress."""
    times_too_many: int = 0
    """How many times its worker's device had too little memory for all its trials."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended and will not run again."""
        return self.state in _ENDED
