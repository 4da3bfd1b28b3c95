"""Train with a schedule of hyperparameters, such as population-based training finds."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from tuner.errors import Problem
from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.space import Config, SearchSpace
from tuner.spec import Count, Spec, did_you_mean


class Change(Spec):
    """A change of hyperparameters while a trial runs."""

    at: Count = Field(description="resource from which the new values apply")
    set: dict[str, Any] = Field(min_length=1, description="hyperparameters with their new values")

    def __hash__(self) -> int:
        return hash((self.at, repr(self.set)))


class Replay(SchedulerSpec):
    """Train with a schedule of hyperparameters, such as the best one of population-based training.

    See Jaderberg et al. 2017, arXiv:1711.09846, section 4.4. ``tuner report DIR --replay`` writes the
    schedule of a sweep's best trial. No trial is compared or stopped.
    """

    kind: Literal["replay"] = "replay"
    changes: tuple[Change, ...] = Field(
        default=(),
        description="the schedule: a list of {at: resource, set: {hyperparameter: value}} with strictly "
        "rising 'at'",
    )

    pauses: ClassVar[bool] = True
    compares: ClassVar[bool] = False
    reconfigures: ClassVar[bool] = True

    @field_validator("changes")
    @classmethod
    def _rises(cls, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        times = [change.at for change in changes]
        if times != sorted(set(times)):
            raise ValueError(f"must have strictly rising 'at', got {times}")
        return changes

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        most = self.most(iterations)
        too_late = [change.at for change in self.changes if most is not None and change.at >= most]
        if too_late:
            limit = "budget.iterations" if most == iterations else "maximum"
            problems.append(Problem("changes", f"must come before {limit} ({most}), got at={too_late[0]}"))
        return problems

    def space_problems(self, space: SearchSpace) -> list[Problem]:
        return [
            Problem("changes", f"the space has no hyperparameter '{name}'{did_you_mean(name, space.names)}")
            for name in dict.fromkeys(name for change in self.changes for name in change.set)
            if name not in space.names
        ]

    def new_values(self) -> list[tuple[str, Any]]:
        return [item for change in self.changes for item in change.set.items()]

    def reconfigured(
        self, config: Config, decision: Decision, *, space: SearchSpace, rng: np.random.Generator
    ) -> Config:
        due = [change.set for change in self.changes if change.at <= decision.resource]
        changed = {name: value for change in due for name, value in change.items()}
        return space.restored({**config, **changed})

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        return _ReplayScheduler([change.at for change in self.changes], iterations)


class _ReplayScheduler(Scheduler):
    def __init__(self, times: list[int], maximum: int | None) -> None:
        self._times = times
        self._maximum = maximum
        self._passed: dict[int, int] = {}  # trial -> number of changes it has passed
        self._waiting: dict[int, Decision] = {}

    def add(self, trial: int) -> None:
        self._passed[trial] = 0

    def report(self, trial: int, resource: float, value: float) -> Decision:
        if self._maximum is not None and resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value)
        passed = sum(time <= resource for time in self._times)
        if passed <= self._passed[trial]:
            return Decision(trial, Action.CONTINUE, resource, value)
        self._passed[trial] = passed
        what = "its hyperparameters change"
        decision = Decision(trial, Action.RESUME, resource, value, reason=what, source=trial)
        self._waiting[trial] = decision
        return Decision(trial, Action.PAUSE, resource, value)

    def decides_at(self, trial: int) -> int:
        ahead = self._times[self._passed[trial] :]
        return ahead[0] if ahead else self._maximum or sys.maxsize

    def end(self, trial: int, ending: Ending) -> None:
        self._waiting.pop(trial, None)

    def resume(self) -> Decision | None:
        if not self._waiting:
            return None
        return self._waiting.pop(min(self._waiting))
