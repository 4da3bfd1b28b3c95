"""``WorkerTimes``: finds trials that exceed their time limit or have stopped reporting.

If no trial of a worker reports for too long, one trial hangs, and the worker can usually name it. The other
trials in its process did nothing wrong.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from tuner.objective import Budget

Place = tuple[Any, int]
"""A worker's handle and the number of a lane."""

_SECONDS_TO_ANSWER = 2.0
"""The time that a worker has to name the trial that it is running."""


@dataclass
class _Seen:
    """A worker with open trials."""

    heard: float
    """The time of the last result of any of its trials."""
    trials: dict[int, int] = field(default_factory=dict)
    """Its trials by lane."""
    question: ray.ObjectRef | None = None
    """The pending call that asks which trials it is running."""
    asked: float = 0.0
    """The time of that call."""


class WorkerTimes:
    """Measures how long trials run on workers, and how long workers are silent. ``clock`` returns seconds."""

    def __init__(self, budget: Budget, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.gpu_seconds = 0.0
        self.is_needed = budget.trial_seconds is not None or budget.silence is not None
        self._budget = budget
        self._clock = clock
        self._last = clock()
        self._spent: dict[int, float] = defaultdict(float)  # each trial's time on earlier workers
        self._since: dict[int, float] = {}
        self._places: dict[int, Place] = {}
        self._workers: dict[Any, _Seen] = {}

    def tick(self, gpus: float) -> None:
        """Add the GPU time since the last call, during which trials held ``gpus`` GPUs."""
        now = self._clock()
        self.gpu_seconds += gpus * (now - self._last)
        self._last = now

    def see(self, places: Mapping[int, Place]) -> None:
        """Record which trials are on which workers now."""
        now = self._clock()
        for trial in [trial for trial, place in self._places.items() if places.get(trial) != place]:
            worker, lane = self._places.pop(trial)
            self._spent[trial] += now - self._since.pop(trial)
            del self._workers[worker].trials[lane]
            if not self._workers[worker].trials:
                del self._workers[worker]
        for trial in places.keys() - self._places.keys():
            worker, lane = self._places[trial] = places[trial]
            self._since[trial] = now
            self._workers.setdefault(worker, _Seen(now)).trials[lane] = trial
            self.heard(trial)

    def heard(self, trial: int) -> None:
        """Record that a trial reported a result."""
        if trial in self._places:
            seen = self._workers[self._places[trial][0]]
            seen.heard, seen.question = self._clock(), None

    def overdue(self) -> list[int]:
        """Return the trials that have reached ``budget.trial_seconds``."""
        limit, now = self._budget.trial_seconds, self._clock()
        if limit is None:
            return []
        return [trial for trial, since in self._since.items() if self._spent[trial] + now - since >= limit]

    def silent(self) -> list[tuple[Any, set[int]]]:
        """Return the workers that hang, each with the trials to blame.

        The set of trials is empty if the worker cannot name them. Each worker is returned once.
        """
        limit, now = self._budget.silence, self._clock()
        hanging: list[tuple[Any, set[int]]] = []
        for worker, seen in self._workers.items():
            if limit is None or now - seen.heard < limit:
                continue
            if len(seen.trials) == 1:
                hanging.append((worker, set(seen.trials.values())))
            elif seen.question is None:
                seen.question, seen.asked = worker.actor.at_work.remote(), now
            elif (lanes := _answer(seen.question)) is not None:
                hanging.append((worker, {seen.trials[lane] for lane in lanes if lane in seen.trials}))
            elif now - seen.asked >= _SECONDS_TO_ANSWER:
                hanging.append((worker, set()))
        for worker, _ in hanging:  # the caller ends the worker, so do not report it again
            self._workers[worker].heard, self._workers[worker].question = now, None
        return hanging


def _answer(question: ray.ObjectRef) -> list[int] | None:
    try:
        lanes: list[int] = ray.get(question, timeout=0)
    except (GetTimeoutError, RayError):
        return None
    return lanes
