"""``simulate``: run a scheduler through a ``Scenario`` on a simulated cluster and record a ``Run``.

The simulated cluster is that of ``tuner.simulation``, which also forecasts sweeps.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import PrivateAttr

from tuner import simulation as cluster
from tuner.objective import Budget, Ending, Objective
from tuner.schedulers import Action, Decision, Scheduler, SchedulerSpec
from tuner.searchers import Searcher, SearcherSpec
from tuner.simulation.curves import Costs, LearningCurve
from tuner.space import Config, Float, SearchSpace
from tuner.sweep import Sweep
from tuner.testing._types import Mode
from tuner.trainable import TrainableSpec


@dataclass(frozen=True)
class Scenario:
    """A small cluster and the fates of its trials. It determines a simulation completely.

    An iteration of a trial takes 0.5 to 1.5 seconds.
    """

    trials: int
    slots: int
    """Trials that run at the same time."""

    iterations: int
    mode: Mode = "min"
    seed: int = 0
    sign: int = 1
    scale: float = 1.0
    """Factor of all values; 0 makes them equal."""

    levels: int | None = None
    """Factor of values that are then rounded to whole numbers, so that trials tie; ``None``: no rounding."""

    gap: int = 1
    """A trial reports every 1 to ``gap`` iterations."""

    ends_early: float = 0.0
    """Share of trials that end before the maximum."""

    fails: float = 0.0
    """Share of trials that fail."""

    loses_worker: float = 0.0
    """Share of trials whose worker dies, up to three times."""

    keeps_checkpoints: bool = True
    """Whether a trial resumes from its last report. Otherwise it starts from the beginning."""

    closes_late: bool = False
    """Whether the searcher announces its end only when one more trial is requested."""

    seconds: float | None = None
    """Time limit of the sweep; ``None``: no limit."""

    @property
    def calm(self) -> bool:
        """Whether every trial would reach the maximum without early stopping."""
        return self.ends_early == self.fails == self.loses_worker == 0 and self.seconds is None

    @property
    def objective(self) -> Objective:
        return Objective(metric="loss", mode=self.mode)

    def mirrored(self) -> Scenario:
        """Return the same scenario with negated values and the opposite mode."""
        return replace(self, mode="max" if self.mode == "min" else "min", sign=-self.sign)


@dataclass(frozen=True, slots=True)
class SchedulerCall:
    """One call of the scheduler. Calls of ``resume`` and ``drop`` without an answer are left out."""

    call: Literal["add", "report", "end", "close", "resume", "drop"]
    trial: int | None = None
    resource: float = 0
    value: float = 0.0
    ending: Ending = "completed"
    answers: tuple[Decision, ...] = ()
    running: int = 0
    """Trials that were running when the call was made."""

    closed: bool = False
    """Whether ``close`` had been called."""


@dataclass(frozen=True)
class Run:
    """The outcome of a scenario."""

    spec: SchedulerSpec
    scenario: Scenario
    events: list[SchedulerCall]
    waiting: list[int]
    """Trials still paused when nothing more could happen."""

    def calls(self, call: str) -> list[SchedulerCall]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event.call == call]

    @property
    def decisions(self) -> list[Decision]:
        """Every answer, in order."""
        return [decision for event in self.events for decision in event.answers]

    @property
    def reached(self) -> dict[int, float]:
        """Trial -> the last iteration that it reported."""
        return {event.trial: event.resource for event in self.calls("report") if event.trial is not None}


def simulate(spec: SchedulerSpec, scenario: Scenario) -> Run:
    """Run a new scheduler through ``scenario``."""
    recorded = _Recorded(of=spec)
    done = cluster.simulate(
        Sweep(
            trainable=TrainableSpec(kind="nothing"),
            space=SearchSpace({"x": Float(0.0, 1.0)}),
            objective=scenario.objective,
            budget=Budget(iterations=scenario.iterations, seconds=scenario.seconds),
            searcher=_Numbered(trials=scenario.trials, closes_late=scenario.closes_late),
            scheduler=recorded,
            seed=scenario.seed,
        ),
        lambda config, trial: _life(scenario, trial),
        workers=scenario.slots,
        costs=Costs(
            drop=2.0 if scenario.fails else 0.0,
            lost_pauses=scenario.fails / 20,
            checkpoints=scenario.keeps_checkpoints,
        ),
    )
    return Run(spec, scenario, recorded.events, done.waiting)


def _life(scenario: Scenario, trial: int) -> LearningCurve:
    """Return the curve of a trial without early stopping, as a function of scenario and number alone."""
    rng = random.Random(f"{scenario.seed}/{trial}")
    first, last, pace = rng.random(), rng.random(), rng.uniform(1, 30)
    gap = rng.randint(1, scenario.gap)
    ends_at, fails_at, dies_at = (
        rng.randint(1, scenario.iterations) if rng.random() < share else None
        for share in (scenario.ends_early, scenario.fails, scenario.loses_worker)
    )
    whole = scenario.iterations + gap if ends_at is None else ends_at
    values = [last + (first - last) * math.exp(-iteration / pace) for iteration in range(1, whole + 1)]
    if scenario.levels is not None:
        values = [round(value * scenario.levels) for value in values]
    return LearningCurve(
        [scenario.sign * scenario.scale * value for value in values],
        seconds=rng.uniform(0.5, 1.5),
        every=gap,
        fails_at=fails_at,
        losses=() if dies_at is None else (dies_at,) * rng.randint(1, 3),
    )


class _Numbered(SearcherSpec):
    """Suggests ``trials`` equal configurations. With ``closes_late`` its size promises one more."""

    trials: int
    closes_late: bool

    exhaustive: ClassVar[bool] = True

    def size(self, space: SearchSpace) -> int:
        return self.trials + self.closes_late

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _NumberedSearcher(self.trials)


class _NumberedSearcher(Searcher):
    def __init__(self, trials: int) -> None:
        self._trials = trials

    def suggest(self, trial: int) -> Config | None:
        return {"x": 0.5} if trial < self._trials else None


class _Recorded(SchedulerSpec):
    """The settings of another scheduler. Records the scheduler's calls and answers in ``events``."""

    of: SchedulerSpec
    _events: list[SchedulerCall] = PrivateAttr(default_factory=list)

    @property
    def events(self) -> list[SchedulerCall]:
        return self._events

    def most(self, iterations: int | None) -> int | None:
        return self.of.most(iterations)

    def reconfigured(
        self, config: Config, decision: Decision, *, space: SearchSpace, rng: np.random.Generator
    ) -> Config:
        return self.of.reconfigured(config, decision, space=space, rng=rng)

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        scheduler = self.of.build(objective=objective, iterations=iterations, seed=seed)
        return _Recorder(scheduler, self._events)


class _Recorder(Scheduler):
    def __init__(self, scheduler: Scheduler, events: list[SchedulerCall]) -> None:
        self._scheduler = scheduler
        self._events = events
        self._running: set[int] = set()
        self._is_closed = False

    def _note(self, **what: Any) -> None:
        self._events.append(SchedulerCall(**what, running=len(self._running), closed=self._is_closed))

    def add(self, trial: int) -> None:
        self._note(call="add", trial=trial)
        self._scheduler.add(trial)
        self._running.add(trial)

    def report(self, trial: int, resource: float, value: float) -> Decision:
        decision = self._scheduler.report(trial, resource, value)
        self._note(call="report", trial=trial, resource=resource, value=value, answers=(decision,))
        if decision.action is Action.PAUSE:
            self._running.discard(trial)
        return decision

    def decides_at(self, trial: int) -> int | None:
        return self._scheduler.decides_at(trial)

    def end(self, trial: int, ending: Ending) -> None:
        self._running.discard(trial)
        self._note(call="end", trial=trial, ending=ending)
        self._scheduler.end(trial, ending)

    def close(self) -> None:
        self._note(call="close")
        self._scheduler.close()
        self._is_closed = True

    def resume(self) -> Decision | None:
        decision = self._scheduler.resume()
        if decision is not None:
            self._note(call="resume", answers=(decision,))
            self._running.add(decision.trial)
        return decision

    def drop(self) -> list[Decision]:
        decisions = self._scheduler.drop()
        if decisions:
            self._note(call="drop", answers=tuple(decisions))
        return decisions
