"""``Stretch``: how far a trial may train; ``Errand``: one that is under way in a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tuner.errors import TrialError


@dataclass(frozen=True)
class Stretch:
    """How far a trial may train before it must be told to go on.

    ``until``: the iteration at which the scheduler decides next (``None``: at each). ``better_than``: it
    waits after a better value than this, or ``or_equal``, so that a checkpoint of it can be taken.
    ``seconds``: after so long it hands over what it has, and trains on.
    """

    until: int | None
    seconds: float
    better_than: float | None
    or_equal: bool = False


@dataclass
class Errand:
    """One trial's stretch under way, or halted at its end: ``answer`` is set while someone waits for it."""

    stretch: Stretch
    began: float
    answer: asyncio.Future[list[dict[str, Any]]] | None
    results: list[dict[str, Any]] = field(default_factory=list)
    error: TrialError | None = None
    halted: bool = False

    @property
    def due(self) -> float:
        """When it hands over the results that it has, on the monotonic clock."""
        return self.began + self.stretch.seconds

    def hand_over(self) -> None:
        """Answer with the results so far; the error, if there is one, comes after them."""
        if self.answer is None:
            return
        if self.results:
            self.answer.set_result(self.results)
            self.results = []
        elif self.error is not None:
            self.answer.set_exception(self.error)
        else:
            return
        self.answer = None
