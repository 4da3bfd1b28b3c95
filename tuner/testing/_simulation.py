"""Scenarios for a scheduler: ``simulate`` drives it through a ``Scenario``, which gives a ``Run``.

They run on the simulated cluster that also forecasts sweeps (``tuner.simulation``).
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
    """A small cluster and all that happens to its trials; nothing else is random in a simulation.

    ``scale``: values are multiplied by it (0: all are equal). ``levels``: values take so many, so that trials
    tie (``None``: any number). ``gap``: a trial reports each 1 to ``gap`` iterations. ``ends_early``,
    ``fails``, ``loses_worker``: the shares of trials that end by themselves, that fail, whose worker dies up
    to three times. ``keeps_checkpoints``: a trial goes on from its last report, otherwise it starts over.
    ``closes_late``: the end of the suggestions shows only when one more is asked for. ``seconds``: after so
    many the sweep ends; an iteration takes 0.5 to 1.5.
    """

    trials: int
    slots: int
    iterations: int
    mode: Mode = "min"
    seed: int = 0
    sign: int = 1
    scale: float = 1.0
    levels: int | None = None
    gap: int = 1
    ends_early: float = 0.0
    fails: float = 0.0
    loses_worker: float = 0.0
    keeps_checkpoints: bool = True
    closes_late: bool = False
    seconds: float | None = None

    @property
    def calm(self) -> bool:
        """Whether every trial would come to the maximum if nobody stopped it."""
        return self.ends_early == self.fails == self.loses_worker == 0 and self.seconds is None

    @property
    def objective(self) -> Objective:
        return Objective(metric="loss", mode=self.mode)

    def mirrored(self) -> Scenario:
        """The same with all values negated and the other mode."""
        return replace(self, mode="max" if self.mode == "min" else "min", sign=-self.sign)


@dataclass(frozen=True, slots=True)
class SchedulerCall:
    """A call of the scheduler and its answers; ``resume`` and ``drop`` without an answer are left out.

    ``running``: the trials that ran when the call was made; ``closed``: whether ``close`` had been called.
    """

    call: Literal["add", "report", "end", "close", "resume", "drop"]
    trial: int | None = None
    resource: float = 0
    value: float = 0.0
    ending: Ending = "completed"
    answers: tuple[Decision, ...] = ()
    running: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Run:
    """What came of a scenario. ``waiting``: trials that were left paused when nothing happened any more."""

    spec: SchedulerSpec
    scenario: Scenario
    events: list[SchedulerCall]
    waiting: list[int]

    def calls(self, call: str) -> list[SchedulerCall]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.call == call]

    @property
    def decisions(self) -> list[Decision]:
        """Every answer, in order."""
        return [decision for event in self.events for decision in event.answers]

    @property
    def reached(self) -> dict[int, float]:
        """Trial -> the iterations it did."""
        return {event.trial: event.resource for event in self.calls("report") if event.trial is not None}


def simulate(spec: SchedulerSpec, scenario: Scenario) -> Run:
    """Drive a new scheduler through ``scenario``."""
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
    """What a trial would do if nobody stopped it, as a function of scenario and number alone."""
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
    """So many configurations. ``closes_late``: it promises one more than it has."""

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
    """The settings of another scheduler, whose calls and answers go to ``events``."""

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
        self._closed = False

    def _note(self, **what: Any) -> None:
        self._events.append(SchedulerCall(**what, running=len(self._running), closed=self._closed))

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
        self._closed = True

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
