"""``WorkerTimes``: what time tells of the trials on their workers: who is over his time, who has gone silent.

A worker whose trials report nothing for too long hangs in one of them. Which one it is, the worker itself
says, unless it cannot even do that; the other trials of the process are innocent.
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
"""A worker (its handle) and a lane of it."""

_SECONDS_TO_SAY = 2.0
"""A worker that has not said by then in which trial it is says nothing any more."""


@dataclass
class _Seen:
    """A worker: its trials by lane, when it was last heard of, and the question that it was asked since."""

    heard: float
    trials: dict[int, int] = field(default_factory=dict)
    question: ray.ObjectRef | None = None
    asked: float = 0.0


class WorkerTimes:
    """Times of trials on workers. ``clock`` gives seconds."""

    def __init__(self, budget: Budget, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.gpu_seconds = 0.0
        self.is_needed = budget.trial_seconds is not None or budget.silence is not None
        self._budget = budget
        self._clock = clock
        self._last = clock()
        self._spent: dict[int, float] = defaultdict(float)  # by trial, on earlier workers
        self._since: dict[int, float] = {}
        self._places: dict[int, Place] = {}
        self._workers: dict[Any, _Seen] = {}

    def tick(self, gpus: float) -> None:
        """So many GPUs were held by trials since the last time."""
        now = self._clock()
        self.gpu_seconds += gpus * (now - self._last)
        self._last = now

    def see(self, places: Mapping[int, Place]) -> None:
        """Take note of which trials are on which workers now."""
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
        """A trial has reported."""
        if trial in self._places:
            seen = self._workers[self._places[trial][0]]
            seen.heard, seen.question = self._clock(), None

    def overdue(self) -> list[int]:
        """The trials whose time on workers is up."""
        limit, now = self._budget.trial_seconds, self._clock()
        if limit is None:
            return []
        return [trial for trial, since in self._since.items() if self._spent[trial] + now - since >= limit]

    def silent(self) -> list[tuple[Any, set[int]]]:
        """The workers that hang, each with the trials that it hangs in, as far as it can say; each once."""
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
            elif now - seen.asked >= _SECONDS_TO_SAY:
                hanging.append((worker, set()))
        for worker, _ in hanging:  # it will be ended, and those of its trials that are left are not to blame
            self._workers[worker].heard, self._workers[worker].question = now, None
        return hanging


def _answer(question: ray.ObjectRef) -> list[int] | None:
    try:
        lanes: list[int] = ray.get(question, timeout=0)
    except (GetTimeoutError, RayError):
        return None
    return lanes
