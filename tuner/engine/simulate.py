"""``simulate``: a sweep on a cluster that is not there, on a virtual clock.

The searcher and the scheduler are the very objects that a real sweep runs; what the trials report comes from
learning curves. Nothing here needs Ray.
"""

from __future__ import annotations

import heapq
import math
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from tuner.engine.cluster import WORKER_LOSSES
from tuner.engine.curves import Costs, Curves, LearningCurve
from tuner.objective import ITERATIONS, SECONDS, Ending
from tuner.schedulers import Action, Decision
from tuner.searchers import start
from tuner.space import Config
from tuner.sweep import Sweep


@dataclass(frozen=True)
class Simulation:
    """What came of it. ``seconds``: wall time; ``worker_seconds``: those that workers were held by trials.

    ``best``: the best value of a trial that did not fail. ``incumbents``: (seconds, iterations done by all
    trials, value) each time the best improved. ``waiting``: trials that never end.
    """

    seconds: float
    worker_seconds: float
    iterations: int
    best: float | None
    incumbents: list[tuple[float, int, float]]
    endings: Counter[Ending]
    iterations_of: list[int]
    waiting: list[int]

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
    if run.spent:
        run.stop_all()
    return run.result()


@dataclass
class _Trial:
    number: int
    config: Config
    curve: LearningCurve
    state: str = "running"  # paused, dropped (and about to end), or ended
    done: int = 0  # iterations that it has reported
    behind: int = 0  # of those, the ones that it has to do again
    since: float = 0.0
    best: float | None = None
    last: float | None = None
    upto: int = 0
    began: float = 0.0  # when its worker would have begun, had it done all iterations without a break
    losses: int = 0
    losses_in_a_row: int = 0  # since its last progress

    @property
    def following(self) -> int:
        """The iteration of its next report."""
        return self.done + self.curve.every


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
    events: list[tuple[float, int, int, str]] = field(default_factory=list)  # time, order, trial, what
    incumbents: list[tuple[float, int, float]] = field(default_factory=list)
    endings: Counter[Ending] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        sweep = self.sweep
        self.now = self.costs.start
        self.searcher = start(sweep.searcher, sweep.space, objective=sweep.objective, seed=sweep.seed)
        self.scheduler = sweep.scheduler.build(
            objective=sweep.objective,
            iterations=sweep.scheduler.most(sweep.budget.iterations),
            seed=sweep.seed,
        )
        self.limit = sweep.budget.iterations or sys.maxsize
        self.deadline = sweep.budget.seconds or math.inf
        self.by_seconds = sweep.scheduler.resource == SECONDS
        self.order = count()
        self.closed = False
        self.spent = False  # a budget of the sweep is used up
        self.best: float | None = None

    def expect(self, at: float, trial: _Trial, what: str) -> None:
        heapq.heappush(self.events, (at, next(self.order), trial.number, what))

    def fill(self) -> None:
        """Give the free workers to trials: paused ones that may go on come before new ones."""
        self.drop()
        while self.free > 0 and not self.spent:
            was_closed = self.closed
            resumed = self.scheduler.resume()
            trial = self.resumed(resumed) if resumed is not None else self.new()
            if trial is None:
                self.drop()
                if self.closed is was_closed:
                    break
                continue  # now that none comes any more, a paused one may go on
            self.free -= 1
            trial.state, trial.since = "running", self.now
            self.go_on(trial, at=self.now + self.costs.trial)

    def drop(self) -> None:
        for decision in self.scheduler.drop():
            trial = self.paused(decision)
            trial.state = "dropped"
            if self.costs.drop > 0:
                self.expect(self.now + self.costs.drop, trial, "dropped")
            else:
                self.end(trial, "stopped")

    def paused(self, decision: Decision) -> _Trial:
        """The trial that is resumed or dropped. Raises ValueError when it is not there to be."""
        trial = self.trials[decision.trial]
        if trial.state != "paused":
            what = f"trial {decision.trial} cannot {decision.action}, since it is {trial.state}"
            raise ValueError(f"{type(self.scheduler).__name__}: {what}, not paused")
        return trial

    def new(self) -> _Trial | None:
        if self.closed:
            return None
        number = len(self.trials)
        config = self.searcher.suggest(number)
        if config is not None:
            rng = np.random.default_rng([self.sweep.seed, number, 1])
            curve = self.curves(config, number)
            if rng.random() < self.costs.failures:
                curve = replace(curve, fails_at=int(rng.integers(1, len(curve.values) + 1)))
            self.trials.append(_Trial(number, config, curve))
            self.scheduler.add(number)
        if config is None or (self.sweep.trials is not None and number + 1 >= self.sweep.trials):
            self.close()
        return self.trials[number] if config is not None else None

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.scheduler.close()

    def resumed(self, decision: Decision) -> _Trial:
        """The trial of a decision; one that goes on from another's weights goes on along that one's curve.

        More exactly along the values of its new configuration, as if it had had it from the beginning.
        """
        trial = self.paused(decision)
        if not self.costs.checkpoints:
            trial.behind = trial.done
        if decision.source is not None:
            source = self.trials[decision.source]
            rng = np.random.default_rng([self.sweep.seed, trial.number, trial.done, 2])
            space = self.sweep.space
            trial.config = self.sweep.scheduler.reconfigured(source.config, decision, space=space, rng=rng)
            values = list(self.curves(trial.config, source.number).values)
            own = len(trial.curve.values)
            values += values[-1:] * (own - len(values))
            trial.curve = replace(trial.curve, values=values[:own])
        return trial

    def go_on(self, trial: _Trial, *, at: float) -> None:
        """Let a trial train, from the time ``at``, to where it is decided on, fails, dies or is through."""
        curve = trial.curve
        decides_at = None if self.by_seconds else self.scheduler.decides_at(trial.number)
        wanted = max(trial.following, min(decides_at or trial.following, self.limit))
        trial.upto = math.ceil(wanted / curve.every) * curve.every
        trial.began = at - (trial.done - trial.behind) * curve.seconds
        breaks = [curve.fails_at or math.inf, len(curve.values), *curve.losses[trial.losses :][:1]]
        self.expect(trial.began + min(trial.upto, *breaks) * curve.seconds, trial, "arrives")

    def advance(self) -> None:
        """Let the next thing happen, or the end of the sweep's budget."""
        at, _, number, what = heapq.heappop(self.events)
        trial = self.trials[number]
        if self.spent and what != "arrives":
            return
        if what == "arrives":
            self.arrive(trial, at)
        elif trial.state == what:  # dropped and now gone, or paused without a checkpoint
            self.now = at
            self.end(trial, "stopped" if what == "dropped" else "failed")

    def arrive(self, trial: _Trial, at: float) -> None:
        """A trial has come to where it was headed."""
        curve = trial.curve
        while trial.done < trial.upto:
            following = trial.following
            moment = trial.began + following * curve.seconds
            if min(moment, at) > self.deadline:  # of the others, some may have results before it
                self.spend(self.deadline)
                return None
            if following >= min(curve.losses[trial.losses :], default=math.inf):
                return self.lose(trial, at=at)
            if following >= (curve.fails_at or math.inf):
                return self.leave(trial, "failed", at=at)
            if following > len(curve.values):
                return self.leave(trial, "completed", at=at)
            action = self.report(trial, moment)
            if self.iterations >= (self.sweep.budget.total_iterations or sys.maxsize):
                self.spend(at)
                return self.events.clear()
            if action is Action.PAUSE:
                return self.pause(trial, at=at)
            if action is not Action.CONTINUE:
                return self.leave(trial, "stopped" if action is Action.STOP else "completed", at=at)
        if self.spent:
            return None
        if trial.following > len(curve.values) and trial.done == len(curve.values):
            return self.leave(trial, "completed", at=at)
        self.now = at
        return self.go_on(trial, at=at)

    def spend(self, at: float) -> None:
        """The sweep's budget is used up: nobody goes on."""
        self.now, self.spent = at, True

    def lose(self, trial: _Trial, *, at: float) -> None:
        """A trial's worker has died; it goes on in its place."""
        self.now = at
        trial.losses += 1
        trial.losses_in_a_row += 1
        if trial.losses_in_a_row == WORKER_LOSSES:
            return self.leave(trial, "failed", at=at)
        trial.behind = 0 if self.costs.checkpoints else trial.done
        return self.go_on(trial, at=at + self.costs.trial)

    def report(self, trial: _Trial, moment: float) -> Action:
        trial.behind = trial.losses_in_a_row = 0
        self.iterations += trial.curve.every
        trial.done += trial.curve.every
        value = trial.curve.values[trial.done - 1]
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
        if self.costs.lost_pauses > 0:
            rng = np.random.default_rng([self.sweep.seed, trial.number, trial.done, 3])
            if rng.random() < self.costs.lost_pauses:
                self.expect(at + self.costs.drop, trial, "paused")

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
        self.scheduler.end(trial.number, ending)
        self.searcher.finish(trial.number, ending, None if ending == "failed" else trial.last)
        if ending == "failed" and trial.best == self.best:
            sound = [t.best for t in self.trials if t.state != "failed" and t.best is not None]
            self.best = self.sweep.objective.best(sound) if sound else None

    def stop_all(self) -> None:
        """End whoever is left when a budget is used up."""
        self.close()
        for trial in self.trials:
            if trial.state == "running":
                self.leave(trial, "stopped", at=self.now)
            elif trial.state in ("paused", "dropped"):
                self.end(trial, "stopped")

    def result(self) -> Simulation:
        return Simulation(
            seconds=self.now,
            worker_seconds=self.worker_seconds,
            iterations=self.iterations,
            best=self.best,
            incumbents=self.incumbents,
            endings=self.endings,
            iterations_of=[trial.done for trial in self.trials],
            waiting=[
                trial.number for trial in self.trials if trial.state in ("running", "paused", "dropped")
            ],
        )
