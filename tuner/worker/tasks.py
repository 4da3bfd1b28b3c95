"""``TrainRequest``: how far a trial may train. ``TrainTask``: a request in progress in a worker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from ray.tune.result import RESULT_DUPLICATE, SHOULD_CHECKPOINT

from tuner.errors import TrialError
from tuner.objective import Objective

SECONDS_TO_STOP = 5.0
"""A stopped function must report again within this time to end. Otherwise its process is replaced."""

HALTED = "__halted__"
"""Marks a result after which the trial waits, so that a checkpoint taken now belongs to this result."""


QUESTION = "__question__"
"""The key of a result that is no result: the trial waits for the value of a hyperparameter that it names."""


class Question(TrialError):
    """The trial needs the value of a hyperparameter before it can train. It does not fail."""

    def __init__(self, name: str, dimension: dict[str, Any]) -> None:
        super().__init__(name)
        self.asked = {"name": name, "dimension": dimension}


@dataclass(frozen=True)
class Answer:
    """The driver's answer to a ``Question``."""

    value: Any
    error: str | None
    """Why there is no value."""


@dataclass(frozen=True)
class TrainRequest:
    """How far a trial may train before it must wait for the driver."""

    until: int | None
    """The iteration of the scheduler's next decision; ``None`` means every iteration."""
    seconds: float
    """The time after which the trial delivers its results and continues to train."""
    better_than: float | None
    """The trial waits after a better value than this one, so that it can be saved there."""
    or_equal: bool = False
    """Whether it also waits after a value equal to ``better_than``."""
    save_after: float | None = None
    """The number of seconds after which the trial waits to be saved; ``None`` means never."""
    answer: Answer | None = None
    """The answer to the trial's question, if it has asked one."""

    def is_over(self, result: dict[str, Any], objective: Objective) -> bool:
        """Return whether the trial waits after this result."""
        if (
            QUESTION in result
            or result.get("done")
            or RESULT_DUPLICATE in result
            or result.get(SHOULD_CHECKPOINT)
        ):
            return True
        if self.until is None or result["training_iteration"] >= self.until:
            return True
        value = result[objective.metric]
        is_equal = self.or_equal and value == self.better_than
        return is_equal or objective.better(value, than=self.better_than)


@dataclass
class TrainTask:
    """A trial's training request in progress."""

    request: TrainRequest
    began: float
    """The start of the request on the monotonic clock."""
    answer: asyncio.Future[list[dict[str, Any]]] | None
    """The driver's pending call; ``None`` if there is none."""
    results: list[dict[str, Any]] = field(default_factory=list)
    """Results that were not delivered yet."""
    error: TrialError | None = None
    halted: bool = False
    """Whether the trial waits at the end of the request."""

    @property
    def due(self) -> float:
        """The time to deliver the results so far, on the monotonic clock."""
        return self.began + self.request.seconds

    def is_to_be_saved(self, now: float) -> bool:
        """Return whether it is time for a checkpoint."""
        after = self.request.save_after
        return after is not None and now >= self.began + after

    def hand_over(self) -> None:
        """Answer the pending call with the results so far. An error is delivered after all results."""
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
