"""``simulate``: a sweep on a cluster that is not there, on a virtual clock.

The searcher and the scheduler are the very objects that a real sweep runs; what the trials report comes from
learning curves. Nothing here needs Ray.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from tuner.engine.curves import Costs, Curves, LearningCurve
from tuner.schedulers import ITERATIONS, SECONDS, Action, Decision
from tuner.searchers import Ending
from tuner.space import Config
from tuner.sweep import Sweep


@dataclass(frozen=True)
class Simulation:
    """What came of it. ``seconds``: wall time; ``worker_seconds``: those that workers were held by trials.

    ``best``: the best value of a trial that did not fail. ``incumbents``: (seconds, iterations done by all
    trials, value) each time the best improved. ``waiting``: trials that were left paused for ever.
    """

    seconds: float
    worker_seconds: float
    iterations: int
    best: float | None
    incumbents: list[tuple[float, int, float]]
    endings: Counter[Ending]
    iterations_of: list[int]
    waiting: int

    def iterations_until(self, value: float, *, better_is_higher: bool) -> int | None:
        """How many iterations had been done when the best first was as good as ``value``; ``None``: never."""
        for _, iterations, best in self.incumbents:
            if (best >= value) if better_is_higher else (best <= value):
                return iterations
        return None


def simulate(sweep: Sweep, curves: Curves, *, workers: int, costs: Costs | None = None) -> Simulation:
    """Run a sweep on ``workers`` workers of one trial each.

    The budget's trials, iterations, total_iterations and seconds hold. Trials can be measured by iterations
    or seconds; raises ValueError for anything else, of which curves say nothing.
    """
    if sweep.scheduler.resource not in (ITERATIONS, SECONDS):
        raise ValueError(f"curves say nothing of '{sweep.scheduler.resource}', which trials are measured by")
    run = _Run(sweep, curves, workers, costs or Costs())
    run.fill()
    while run.events:
        run.advance()
        run.fill()
    return run.result()


@dataclass
class _Trial:
    number: int
    config: Config
    curve: LearningCurve
    fails_at: float
    done: int = 0
    since: float = 0.0
    best: float | None = None
    last: float | None = None
    upto: int = 0
    began: float = 0.0  # when it would have begun, had it never waited
    state: str = "running"


@dataclass
class _Run:
    sweep: Sweep
    curves: Curves
    free: int
    costs: Costs
    now: float = 0.0
    iterations: int = 0
    worker_seconds: float = 0.0
    trials: list[_Trial] = field(default_factory=list)
    events: list[tuple[float, int, int]] = field(default_factory=list)  # time, order, trial
    incumbents: list[tuple[float, int, float]] = field(default_factory=list)
    endings: Counter[Ending] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        sweep = self.sweep
        self.now = self.costs.start
        self.searcher = sweep.searcher.build(sweep.space, objective=sweep.objective, seed=sweep.seed)
        self.scheduler = sweep.scheduler.build(
            objective=sweep.objective,
            iterations=sweep.scheduler.most(sweep.budget.iterations),
            seed=sweep.seed,
        )
        self.limit = sweep.budget.iterations or sys.maxsize
        self.by_seconds = sweep.scheduler.resource == SECONDS
        self.order = count()
        self.closed = False
        self.spent = False  # a budget of the sweep is used up
        self.best: float | None = None

    def fill(self) -> None:
        """Give the free workers to trials: paused ones that may go on come before new ones."""
        for decision in self.scheduler.drop():
            self.end(self.trials[decision.trial], "stopped")
        while self.free > 0 and not self.spent:
            resumed = self.scheduler.resume()
            trial = self.resumed(resumed) if resumed is not None else self.new()
            if trial is None:
                for decision in self.scheduler.drop():
                    self.end(self.trials[decision.trial], "stopped")
                return
            self.free -= 1
            trial.state, trial.since = "running", self.now
            self.go_on(trial, at=self.now + self.costs.trial)

    def new(self) -> _Trial | None:
        if self.closed:
            return None
        number = len(self.trials)
        config = self.searcher.suggest(number)
        if config is not None:
            rng = np.random.default_rng([self.sweep.seed, number, 1])
            curve = self.curves(config, number)
            fails = rng.random() < self.costs.failures
            fails_at = int(rng.integers(1, len(curve.values) + 1)) if fails else math.inf
            self.trials.append(_Trial(number, config, curve, fails_at))
            self.scheduler.add(number)
        if config is None or (self.sweep.trials is not None and number + 1 >= self.sweep.trials):
            self.closed = True
            self.scheduler.close()
        return self.trials[number] if config is not None else None

    def resumed(self, decision: Decision) -> _Trial:
        """The trial of a decision; one that goes on from another's weights goes on along that one's curve.

        More exactly along the curve of its new configuration, as if it had had it from the beginning.
        """
        trial = self.trials[decision.trial]
        if decision.source is not None:
            source = self.trials[decision.source]
            rng = np.random.default_rng([self.sweep.seed, trial.number, trial.done, 2])
            space = self.sweep.space
            trial.config = self.sweep.scheduler.reconfigured(source.config, decision, space=space, rng=rng)
            trial.curve = self.curves(trial.config, source.number)
        return trial

    def go_on(self, trial: _Trial, *, at: float) -> None:
        """Let a trial train, from the time ``at``, to where it is decided on, fails or is through."""
        decides_at = None if self.by_seconds else self.scheduler.decides_at(trial.number)
        trial.upto = min(decides_at or trial.done + 1, self.limit, len(trial.curve.values))
        trial.began = at - trial.done * trial.curve.seconds
        arrives = trial.began + min(trial.upto, trial.fails_at) * trial.curve.seconds
        heapq.heappush(self.events, (arrives, next(self.order), trial.number))

    def advance(self) -> None:
        """Let the next trial come to where it was headed, or to the end of the sweep's budget."""
        time, _, number = heapq.heappop(self.events)
        trial, deadline = self.trials[number], self.sweep.budget.seconds or math.inf
        while trial.done < trial.upto:
            moment = trial.began + (trial.done + 1) * trial.curve.seconds
            if moment > deadline:  # of the others, some may have results before it
                self.now, self.spent = deadline, True
                return None
            if trial.done + 1 == trial.fails_at:
                return self.leave(trial, "failed", at=time)
            action = self.report(trial, moment)
            if self.iterations >= (self.sweep.budget.total_iterations or sys.maxsize):
                self.now, self.spent = time, True
                return self.events.clear()
            if action is Action.PAUSE:
                return self.pause(trial, at=time)
            if action is not Action.CONTINUE:
                return self.leave(trial, "stopped" if action is Action.STOP else "completed", at=time)
        if trial.done >= min(self.limit, len(trial.curve.values)):
            return self.leave(trial, "completed", at=time)
        self.now = time
        return self.go_on(trial, at=time)

    def report(self, trial: _Trial, moment: float) -> Action:
        value = trial.curve.values[trial.done]
        trial.done += 1
        self.iterations += 1
        objective = self.sweep.objective
        if objective.better(value, than=trial.best):
            trial.best = value
        trial.last = value
        if objective.better(value, than=self.best):
            self.best = value
            self.incumbents.append((moment, self.iterations, value))
        self.searcher.report(trial.number, trial.done, value)
        resource = trial.done * trial.curve.seconds if self.by_seconds else trial.done
        action = self.scheduler.report(trial.number, resource, value).action
        if trial.done >= self.limit and action is not Action.STOP:
            return Action.COMPLETE
        return action

    def pause(self, trial: _Trial, *, at: float) -> None:
        trial.state = "paused"
        self.give_up_worker(trial, at=at)

    def leave(self, trial: _Trial, ending: Ending, *, at: float) -> None:
        """A running trial has ended."""
        self.give_up_worker(trial, at=at)
        self.end(trial, ending)

    def give_up_worker(self, trial: _Trial, *, at: float) -> None:
        self.now = at
        self.worker_seconds += at - trial.since
        self.free += 1

    def end(self, trial: _Trial, ending: Ending) -> None:
        trial.state = ending
        self.endings[ending] += 1
        self.scheduler.end(trial.number)
        self.searcher.finish(trial.number, ending, None if ending == "failed" else trial.last)
        if ending == "failed" and trial.best == self.best:
            sound = [t.best for t in self.trials if t.state != "failed" and t.best is not None]
            self.best = self.sweep.objective.best(sound) if sound else None

    def result(self) -> Simulation:
        running = [trial for trial in self.trials if trial.state == "running"]
        return Simulation(
            seconds=self.now,
            worker_seconds=self.worker_seconds + sum(self.now - trial.since for trial in running),
            iterations=self.iterations,
            best=self.best,
            incumbents=self.incumbents,
            endings=self.endings,
            iterations_of=[trial.done for trial in self.trials],
            waiting=sum(trial.state == "paused" for trial in self.trials),
        )
