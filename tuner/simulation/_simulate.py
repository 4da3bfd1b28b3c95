"""``simulate``: drive a sweep's state with a virtual clock. Trials report the values of learning curves."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from tuner.journal.events import Action, Decision, Ended, Lost, Reconfigured, Result, Started, Suggested
from tuner.objective import ITERATIONS, SECONDS, Ending
from tuner.simulation.curves import Costs, Curves, LearningCurve
from tuner.state import SweepState, TrialState
from tuner.sweep import Sweep


@dataclass(frozen=True)
class Simulation:
    """The outcome of a simulated sweep."""

    seconds: float
    """Wall time."""
    worker_seconds: float
    """Time during which trials held workers, summed over workers."""
    iterations: int
    best: float | None
    """The best value among trials that did not fail."""
    incumbents: list[tuple[float, int, float]]
    """(seconds, iterations done by all trials, value) each time the best value improved."""
    endings: Counter[str]
    iterations_of: list[int]
    """Iterations of each trial."""
    waiting: list[int]
    """Trials that never ended."""
    decided: list[Suggested | Decision | Reconfigured]
    """Suggestions and decisions as a journal would hold them, in order."""

    def iterations_until(self, value: float, *, better_is_higher: bool) -> int | None:
        """Return the iterations done when the best value reached ``value``; ``None`` if it never did."""
        for _, iterations, best in self.incumbents:
            if (best >= value) if better_is_higher else (best <= value):
                return iterations
        return None


def simulate(sweep: Sweep, curves: Curves, *, workers: int, costs: Costs | None = None) -> Simulation:
    """Run a sweep on a number of workers that hold one trial each.

    Two budgets are ignored: ``silence``, because no simulated trial hangs, and ``concurrent``, which
    ``workers`` replaces. Raises ValueError unless trials are measured by iterations or seconds.
    """
    if sweep.scheduler.resource not in (ITERATIONS, SECONDS):
        raise ValueError(
            "scheduler.resource: must be iterations or seconds to be simulated, "
            f"got '{sweep.scheduler.resource}'"
        )
    run = _Run(sweep, curves, workers, costs or Costs())
    run.fill()
    while run.events:
        run.advance()
        run.fill()
    run.stop_all()
    return run.result()


@dataclass
class _Trial:
    """The simulation's data about a trial, in addition to its state."""

    state: TrialState
    curve: LearningCurve
    iterations_to_repeat: int = 0
    """Number of its iterations that it must repeat."""
    is_dropped: bool = False
    """Whether it is paused and about to end."""
    worker_since: float = 0.0
    """When it got its worker."""
    seconds_before: float = 0.0
    """Seconds that it held workers before."""
    began: float = 0.0
    """When it would have started if it had trained all its iterations without a break."""
    target: int = 0
    """The iteration at which the simulation looks at it next."""
    losses: int = 0
    """How many times its worker has died."""

    @property
    def number(self) -> int:
        return self.state.number

    @property
    def next_report(self) -> int:
        """Return the iteration of its next report.

        With another trial's checkpoint, its current iteration may lie between two of its reports.
        """
        return (self.state.iteration // self.curve.every + 1) * self.curve.every


class _Run:
    def __init__(self, sweep: Sweep, curves: Curves, workers: int, costs: Costs) -> None:
        self.state = SweepState.begin(sweep)
        self.sweep = sweep
        self.curves = curves
        self.costs = costs
        self.free = workers
        self.now = costs.start
        self.worker_seconds = 0.0
        self.gpu_seconds = 0.0
        self.trials: list[_Trial] = []
        self.events: list[tuple[float, int, int, str]] = []  # time, order, trial, event
        self.idle: list[_Trial] = []  # on a worker, but the budget has no iteration left for them at present
        self.incumbents: list[tuple[float, int, float]] = []
        self.best: float | None = None
        self.cutoff: tuple[float, str] | None = None  # when a time budget was used up, and which one
        self.decided: list[Suggested | Decision | Reconfigured] = []
        self.order = count()

    def expect(self, at: float, trial: _Trial, what: str) -> None:
        heapq.heappush(self.events, (at, next(self.order), trial.number, what))

    def fill(self) -> None:
        """Give free workers to trials. Resumable trials come before new ones."""
        if self.state.reason is not None or self.cutoff is not None:
            return
        self.drop()
        while self.free > 0 and self.state.reason is None:
            was_closed = self.state.is_closed
            trial = self.next_trial()
            if trial is None:
                self.drop()
                if self.state.is_closed is was_closed:
                    break
                continue  # no trial will be added, so a paused one may resume now
            self.free -= 1
            trial.worker_since = self.now
            self.start(trial, at=self.now + self.costs.trial)

    def next_trial(self) -> _Trial | None:
        """Return the trial that takes a free worker."""
        if (decision := self.state.resume()) is not None:
            self.decided.append(decision)
            return self.resumed_trial(decision)
        if (suggested := self.state.suggest()) is not None:
            self.decided.append(suggested)
            return self.new_trial(suggested)
        return None

    def new_trial(self, suggested: Suggested) -> _Trial:
        rng = np.random.default_rng([self.sweep.seed, suggested.trial, 1])
        curve = self.curves(suggested.config, suggested.trial)
        if rng.random() < self.costs.failures:
            curve = replace(curve, fails_at=int(rng.integers(1, len(curve.values) + 1)))
        self.trials.append(_Trial(self.state.trials[suggested.trial], curve))
        return self.trials[-1]

    def resumed_trial(self, decision: Decision) -> _Trial:
        """Return the trial of a decision to resume.

        A trial that copies a source gets the curve that the source would have with the trial's new
        configuration.
        """
        trial = self.trials[decision.trial]
        if decision.source is not None:
            config = self.state.reconfigured(decision)
            iteration = self.state.trials[decision.source].iteration
            event = Reconfigured(trial.number, decision.source, iteration, config)
            self.state.apply(event)
            self.decided.append(event)
            trial.curve = trial.curve.continued(self.curves(config, decision.source))
        if not self.costs.checkpoints:
            trial.iterations_to_repeat = trial.state.iteration
        return trial

    def drop(self) -> None:
        for decision in self.state.drop():
            self.decided.append(decision)
            trial = self.trials[decision.trial]
            trial.is_dropped = True
            if self.costs.drop > 0:
                self.expect(self.now + self.costs.drop, trial, "dropped")
            else:
                self.end(trial, "stopped")

    def start(self, trial: _Trial, *, at: float) -> None:
        """Start a trial on its worker at the time ``at``."""
        self.state.apply(Started(trial.number))
        self.train(trial, at=at)

    def train(self, trial: _Trial, *, at: float) -> None:
        """Schedule a trial's next event, from the time ``at``.

        The event is a decision, a failure, the loss of its worker or its end.
        """
        grant, curve = self.state.grant(trial.number), trial.curve
        if grant is None:
            self.idle.append(trial)
            return
        # Trials measured by seconds may be decided on at each result.
        limit = min(grant.until or trial.next_report, self.sweep.budget.iterations or math.inf)
        trial.target = math.ceil(max(trial.next_report, limit) / curve.every) * curve.every
        trial.began = at - (trial.state.iteration - trial.iterations_to_repeat) * curve.seconds
        interruptions = [curve.fails_at or math.inf, len(curve.values), *curve.losses[trial.losses :][:1]]
        arrival = trial.began + min(trial.target, *interruptions) * curve.seconds
        self.expect(max(at, min(arrival, self.time_is_up(trial))), trial, "arrives")

    def time_is_up(self, trial: _Trial) -> float:
        """Return when a running trial exceeds ``budget.trial_seconds``."""
        return trial.worker_since + (self.sweep.budget.trial_seconds or math.inf) - trial.seconds_before

    def advance(self) -> None:
        """Process the next event, or the end of the sweep's budget."""
        at, _, number, what = heapq.heappop(self.events)
        trial = self.trials[number]
        if what == "arrives":
            self.arrive(trial, at, self.cutoff or self.deadline())
        elif self.cutoff is not None:
            return
        elif trial.state.state == "paused" and (trial.is_dropped or what == "paused"):
            self.now = at
            self.end(trial, "stopped" if what == "dropped" else "failed")
        idle, self.idle = self.idle, []
        for waiting in idle:
            if waiting.state.state == "running":
                self.train(waiting, at=self.now)

    def deadline(self) -> tuple[float, str]:
        """Return when a time budget is used up, if the workers stay as they are, and which one."""
        ends = [(self.sweep.budget.seconds or math.inf, "seconds")]
        running = [trial for trial in self.trials if trial.state.state == "running"]
        if self.sweep.budget.gpu_seconds is not None and running and (gpus := sum(map(self.gpus, running))):
            used = sum(self.gpus(trial) * (self.now - trial.worker_since) for trial in running)
            left = self.sweep.budget.gpu_seconds - self.gpu_seconds - used
            ends.append((self.now + left / gpus, "gpu_seconds"))
        return min(ends)

    def gpus(self, trial: _Trial) -> float:
        """Return the number of GPUs of all processes of a trial."""
        own = self.sweep.resources.of(trial.state.config)
        return own.gpu * own.processes

    def arrive(self, trial: _Trial, at: float, deadline: tuple[float, str]) -> None:
        """Process a trial's results up to the time ``at`` and act on the decisions."""
        curve = trial.curve
        while trial.state.iteration < trial.target:
            next_report = trial.next_report
            moment = trial.began + next_report * curve.seconds
            if min(moment, at) > deadline[0]:  # other trials may have earlier results
                self.now, self.cutoff = deadline[0], deadline
                return None
            if moment > self.time_is_up(trial):
                return self.leave(trial, "stopped", at=at)
            if next_report >= min(curve.losses[trial.losses :], default=math.inf):
                return self.lose(trial, at=at)
            if next_report >= (curve.fails_at or math.inf):
                return self.leave(trial, "failed", at=at)
            if next_report > len(curve.values):
                return self.leave(trial, "completed", at=at)
            action = self.report(trial, moment)
            if self.state.reason is not None:
                self.now = at
                return self.events.clear()
            if action is Action.PAUSE:
                return self.pause(trial, at=at)
            if action is not Action.CONTINUE:
                return self.leave(trial, "stopped" if action is Action.STOP else "completed", at=at)
        if self.cutoff is not None:
            return None
        if trial.state.iteration == len(curve.values):
            return self.leave(trial, "completed", at=at)
        self.now = at
        return self.train(trial, at=at)

    def lose(self, trial: _Trial, *, at: float) -> None:
        """Handle a dead worker. The trial restarts in place, unless it has no starts left."""
        self.now = at
        trial.losses += 1
        if self.state.starts_left(trial.number) == 0:
            return self.leave(trial, "failed", at=at)
        self.state.apply(Lost(trial.number, "its worker died"))
        trial.iterations_to_repeat = 0 if self.costs.checkpoints else trial.state.iteration
        return self.start(trial, at=at + self.costs.trial)

    def report(self, trial: _Trial, moment: float) -> Action:
        """Give the trial's next result to the state and return the scheduler's action."""
        trial.iterations_to_repeat = 0
        iteration = trial.next_report
        values = trial.curve.at(iteration)
        instructions = self.state.apply(
            Result(
                trial.number,
                iteration=iteration,
                value=values[0],
                seconds=iteration * trial.curve.seconds,
                metrics={},
                values=values if len(values) > 1 else (),
            )
        )
        best = self.state.incumbent.best if self.state.incumbent else None
        if best is not None and self.sweep.objective.better(best, than=self.best):
            self.best = best
            self.incumbents.append((moment, self.state.iterations, best))
        [decision] = [each for each in instructions if isinstance(each, Decision)]
        if decision.is_notable:
            self.decided.append(decision)
        return decision.action

    def pause(self, trial: _Trial, *, at: float) -> None:
        self.free_worker(trial, at=at)
        if self.costs.lost_pauses > 0:
            rng = np.random.default_rng([self.sweep.seed, trial.number, trial.state.iteration, 3])
            if rng.random() < self.costs.lost_pauses:
                self.expect(at + self.costs.drop, trial, "paused")

    def leave(self, trial: _Trial, ending: Ending, *, at: float) -> None:
        """End a running trial and free its worker."""
        self.free_worker(trial, at=at)
        self.end(trial, ending)

    def free_worker(self, trial: _Trial, *, at: float) -> None:
        self.now = at
        self.worker_seconds += at - trial.worker_since
        self.gpu_seconds += self.gpus(trial) * (at - trial.worker_since)
        trial.seconds_before += at - trial.worker_since
        self.free += 1

    def end(self, trial: _Trial, ending: Ending) -> None:
        self.state.apply(Ended(trial.number, ending))
        if ending == "failed":
            self.best = self.state.incumbent.best if self.state.incumbent else None

    def stop_all(self) -> None:
        """End the remaining trials if a budget is used up."""
        if self.cutoff is not None:
            self.state.give_up(self.cutoff[1])
        if self.state.reason is None:
            return
        for trial in self.trials:
            if trial.state.state == "running":
                self.leave(trial, "stopped", at=self.now)
            elif not trial.state.has_ended:
                self.end(trial, "stopped")

    def result(self) -> Simulation:
        states = [trial.state for trial in self.trials]
        return Simulation(
            seconds=self.now,
            worker_seconds=self.worker_seconds,
            iterations=self.state.iterations,
            best=self.final_best(),
            incumbents=self.incumbents,
            endings=Counter(state.state for state in states if state.has_ended),
            iterations_of=[state.iteration for state in states],
            waiting=[state.number for state in states if not state.has_ended],
            decided=self.decided,
        )

    def final_best(self) -> float | None:
        """Return the best value as a report gives it. With several objectives, last values count."""
        objective = self.sweep.objective
        if not objective.others:
            return self.best
        sound = [
            each.state for each in self.trials if each.state.state != "failed" and each.state.last_values
        ]
        return objective.best([state.last_values[0] for state in sound]) if sound else None
