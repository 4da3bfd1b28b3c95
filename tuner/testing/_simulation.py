"""The simulation of a scheduler: ``simulate`` drives it through a ``Scenario``, which gives a ``Run``."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

from tuner.objective import Objective
from tuner.schedulers import Action, Decision, Scheduler, SchedulerSpec
from tuner.searchers import Ending
from tuner.testing._types import Mode


@dataclass(frozen=True)
class Scenario:
    """A small cluster and all that happens to its trials; nothing else is random in a simulation.

    ``scale``: values are multiplied by it (0: all are equal). ``levels``: values take so many, so that trials
    tie (``None``: any number). ``gap``: a trial reports each 1 to ``gap`` iterations. ``ends_early``,
    ``fails``, ``loses_worker``: the shares of trials that end by themselves, that fail, whose worker dies up
    to three times. ``keeps_checkpoints``: a trial goes on from its last report, otherwise it starts over.
    ``closes_late``: the end of the suggestions shows only when one more is asked for. ``gives_up_after``:
    so many endings end the sweep.
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
    gives_up_after: int | None = None

    @property
    def calm(self) -> bool:
        """Whether every trial would come to the maximum if nobody stopped it."""
        return self.ends_early == self.fails == self.loses_worker == 0 and self.gives_up_after is None

    @property
    def objective(self) -> Objective:
        return Objective(metric="loss", mode=self.mode)

    def mirrored(self) -> Scenario:
        """The same with all values negated and the other mode."""
        return replace(self, mode="max" if self.mode == "min" else "min", sign=-self.sign)


@dataclass(frozen=True, slots=True)
class Event:
    """A call of the scheduler and its answers; ``resume`` and ``drop`` without an answer are left out.

    ``running``: the trials that ran when the call was made; ``closed``: whether ``close`` had been called.
    """

    call: Literal["add", "report", "end", "close", "resume", "drop"]
    trial: int | None = None
    resource: int = 0
    value: float = 0.0
    ending: Ending | None = None
    answers: tuple[Decision, ...] = ()
    running: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Run:
    """What came of a scenario. ``waiting``: trials that were left paused when nothing happened any more."""

    spec: SchedulerSpec
    scenario: Scenario
    events: list[Event]
    waiting: list[int]

    def calls(self, call: str) -> list[Event]:
        """The events of one kind, in order."""
        return [event for event in self.events if event.call == call]

    @property
    def decisions(self) -> list[Decision]:
        """Every answer, in order."""
        return [decision for event in self.events for decision in event.answers]

    @property
    def reached(self) -> dict[int, int]:
        """Trial -> the iterations it did."""
        return {event.trial: event.resource for event in self.calls("report") if event.trial is not None}


def simulate(spec: SchedulerSpec, scenario: Scenario) -> Run:
    """Drive a new scheduler through ``scenario`` as the engine would."""
    scheduler = spec.build(objective=scenario.objective, iterations=scenario.iterations)
    cluster = _Cluster(scheduler, scenario)
    while cluster.step():
        pass
    return Run(spec, scenario, cluster.events, cluster.unfinished)


class _Life:
    """What a trial would do if nobody stopped it, as a function of scenario and number alone."""

    def __init__(self, scenario: Scenario, trial: int) -> None:
        rng = random.Random(f"{scenario.seed}/{trial}")
        self._scenario = scenario
        self._first, self._last, self._pace = rng.random(), rng.random(), rng.uniform(1, 30)
        self.gap = rng.randint(1, scenario.gap)
        self.ends_at, self.fails_at, self.dies_at = (
            rng.randint(1, scenario.iterations) if rng.random() < share else math.inf
            for share in (scenario.ends_early, scenario.fails, scenario.loses_worker)
        )
        self.deaths_left = rng.randint(1, 3)

    def value(self, iteration: int) -> float:
        value = self._last + (self._first - self._last) * math.exp(-iteration / self._pace)
        levels = self._scenario.levels
        return (
            self._scenario.sign * self._scenario.scale * (value if levels is None else round(value * levels))
        )


class _Cluster:
    """Slots, running and paused trials; ``step`` lets one thing happen."""

    def __init__(self, scheduler: Scheduler, scenario: Scenario) -> None:
        self.events: list[Event] = []
        self._scheduler = scheduler
        self._scenario = scenario
        self._order = random.Random(scenario.seed)
        self._lives: list[_Life] = []
        self._running: dict[int, int] = {}  # trial -> iterations since it started from scratch
        self._paused: set[int] = set()
        self._leaving: list[int] = []
        self._reported: dict[int, int] = {}
        self._losses: Counter[int] = Counter()
        self._endings = 0
        self._closed = False
        self._broken = False

    @property
    def unfinished(self) -> list[int]:
        return sorted({*self._running, *self._paused, *self._leaving})

    def step(self) -> bool:
        """Let one thing happen; whether anything did."""
        before = len(self.events)
        self._drop()
        if self._leaving and (not self._running or self._order.random() < 0.5):
            self._end(self._leaving.pop(0), "stopped")
        while len(self._running) < self._scenario.slots and self._resume():
            pass
        while len(self._running) < self._scenario.slots and not self._closed:
            self._add()
        if self._paused and self._order.random() < self._scenario.fails / 20:
            self._end(self._order.choice(sorted(self._paused)), "failed")
        elif self._running:
            self._advance(self._order.choice(sorted(self._running)))
            return not self._broken
        return len(self.events) > before and not self._broken

    def _note(self, **what: Any) -> None:
        self.events.append(Event(**what, running=len(self._running), closed=self._closed))

    def _add(self) -> None:
        trial = len(self._lives)
        if trial < self._scenario.trials:
            self._note(call="add", trial=trial)
            self._scheduler.add(trial)
            self._lives.append(_Life(self._scenario, trial))
            self._running[trial] = self._reported[trial] = 0
        none_left = trial == self._scenario.trials
        if none_left or (trial + 1 == self._scenario.trials and not self._scenario.closes_late):
            self._close()

    def _close(self) -> None:
        self._note(call="close")
        self._scheduler.close()
        self._closed = True

    def _resume(self) -> bool:
        decision = self._scheduler.resume()
        if decision is None:
            return False
        self._note(call="resume", answers=(decision,))
        if decision.trial not in self._paused:
            self._broken = True
            return False
        self._paused.remove(decision.trial)
        self._restart(decision.trial)
        return True

    def _drop(self) -> None:
        decisions = self._scheduler.drop()
        if decisions:
            self._note(call="drop", answers=tuple(decisions))
        for decision in decisions:
            if decision.trial not in self._paused:
                self._broken = True
                return
            self._paused.remove(decision.trial)
            self._leaving.append(decision.trial)

    def _restart(self, trial: int) -> None:
        self._running[trial] = self._reported[trial] if self._scenario.keeps_checkpoints else 0

    def _advance(self, trial: int) -> None:
        life = self._lives[trial]
        iteration = self._running[trial] + life.gap
        if iteration > life.dies_at and life.deaths_left > 0:
            life.deaths_left -= 1
            self._losses[trial] += 1
            if self._losses[trial] == 3:
                self._end(trial, "failed")
            else:
                self._restart(trial)
        elif iteration > life.fails_at:
            self._end(trial, "failed")
        elif iteration > life.ends_at:
            self._end(trial, "completed")
        else:
            self._running[trial] = iteration
            if iteration > self._reported[trial]:  # what is done again is not reported again
                self._report(trial, iteration, life.value(iteration))

    def _report(self, trial: int, iteration: int, value: float) -> None:
        self._reported[trial] = iteration
        decision = self._scheduler.report(trial, iteration, value)
        self._note(call="report", trial=trial, resource=iteration, value=value, answers=(decision,))
        if decision.action is Action.PAUSE:
            del self._running[trial]
            self._paused.add(trial)
        elif decision.action is not Action.CONTINUE:
            self._end(trial, "completed" if decision.action is Action.COMPLETE else "stopped")

    def _end(self, trial: int, ending: Ending) -> None:
        self._running.pop(trial, None)
        self._paused.discard(trial)
        self._note(call="end", trial=trial, ending=ending)
        self._scheduler.end(trial)
        self._endings += 1
        if self._endings == self._scenario.gives_up_after:
            if not self._closed:
                self._close()
            for left in self.unfinished:
                if left in self._leaving:
                    self._leaving.remove(left)
                self._end(left, "stopped")
