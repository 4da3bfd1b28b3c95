"""``TrainRequest``: how far a trial may train; ``TrainTask``: one that is under way in a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT

from tuner.errors import TrialError
from tuner.objective import Objective

HALTED = "__halted__"
"""In a result after which the trial waits, so that a checkpoint taken now is of that result."""


@dataclass(frozen=True)
class TrainRequest:
    """How far a trial may train before it must be told to go on.

    ``until``: the iteration at which the scheduler decides next (``None``: at each). ``better_than``: it
    waits after a better value than this, or ``or_equal``, so that a checkpoint of it can be taken.
    ``seconds``: after so long it hands over what it has, and trains on. ``save_after``: after so many seconds
    it waits to be saved (``None``: it need not be).
    """

    until: int | None
    seconds: float
    better_than: float | None
    or_equal: bool = False
    save_after: float | None = None

    def is_over(self, result: dict[str, Any], objective: Objective) -> bool:
        """Whether a trial waits after this result."""
        if result.get("done") or RESULT_DUPLICATE in result or result.get(SHOULD_CHECKPOINT):
            return True
        if self.until is None or result["training_iteration"] >= self.until:
            return True
        value = result[objective.metric]
        is_equal = self.or_equal and value == self.better_than
        return is_equal or objective.better(value, than=self.better_than)


@dataclass
class TrainTask:
    """One trial's request under way, or halted at its end: ``answer`` is set while someone waits for it."""

    request: TrainRequest
    began: float
    answer: asyncio.Future[list[dict[str, Any]]] | None
    results: list[dict[str, Any]] = field(default_factory=list)
    error: TrialError | None = None
    halted: bool = False

    @property
    def due(self) -> float:
        """When it hands over the results that it has, on the monotonic clock."""
        return self.began + self.request.seconds

    def is_to_be_saved(self, now: float) -> bool:
        """Whether it is time for a checkpoint."""
        after = self.request.save_after
        return after is not None and now >= self.began + after

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
