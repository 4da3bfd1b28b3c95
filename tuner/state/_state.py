"""``SweepState``: the rules of a running sweep. Events go in, instructions come out.

A driver tells the state what happens and does what it answers: a cluster, a simulation, or the replay of a
journal. The same events in the same order give the same answers. Nothing here knows Ray, a clock or a disk.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tuner.journal.events import (
    Action,
    Decision,
    Ended,
    Event,
    Lost,
    Reconfigured,
    Result,
    Started,
    Suggested,
)
from tuner.objective import ITERATIONS, SECONDS, Ending
from tuner.pareto import front
from tuner.searchers import Searcher, start
from tuner.space import Config
from tuner.state._trial import TrialState
from tuner.sweep import Sweep

WORKER_LOSSES = 3
"""A trial whose worker dies this many times without progress in between fails."""

_ENDINGS: dict[Action, Ending] = {Action.STOP: "stopped", Action.COMPLETE: "completed"}


@dataclass(frozen=True)
class Save:
    """Take a checkpoint of the trial's last result."""

    trial: int


@dataclass(frozen=True)
class Conclude:
    """End the trial: its end was decided on this very result, and it was lost before that was done."""

    trial: int
    ending: Ending


@dataclass(frozen=True)
class Release:
    """Delete the trial's checkpoints, which nothing needs any more."""

    trial: int


Instruction = Save | Conclude | Release | Decision
"""What a driver is to do. It records a decision that ``is_notable`` before it follows it."""


@dataclass(frozen=True)
class Grant:
    """A trial may train up to the iteration ``until``; ``None``: each of its results may be decided on."""

    until: int | None


def trial_seed(sweep_seed: int, trial: int) -> int:
    """Return the trial's own seed, below 2**31: a pure function of the sweep's seed and its number."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0] >> 1)


class SweepState:
    """The trials of a sweep, what is decided about them, and what is left of its budget."""

    def __init__(self, sweep: Sweep, *, searcher: Searcher, total: int | None) -> None:
        self.sweep = sweep
        self.total = total  # how many trials there will be; ``None``: nobody knows
        self.trials: dict[int, TrialState] = {}
        self.reason: str | None = None  # why the sweep is over before every trial was run
        self.incumbent: TrialState | None = None  # the best so far that has not failed
        self.is_closed = False  # no new trial will come
        self.searcher = searcher
        self._scheduler = sweep.scheduler.build(
            objective=sweep.objective,
            iterations=sweep.scheduler.most(sweep.budget.iterations),
            seed=sweep.seed,
        )
        self._failures = 0
        self.iterations = 0  # of all trials; those that were repeated count once
        self._granted: dict[int, int] = {}  # running trial -> the iteration up to which it may train
        self._kept: list[TrialState] = []  # the best of those that have ended; their checkpoints stay

    @classmethod
    def begin(cls, sweep: Sweep) -> Self:
        """Return the state of a sweep without any trial yet; reads what its searcher learns from."""
        searcher = start(sweep.searcher, sweep.space, objective=sweep.objective, seed=sweep.seed)
        return cls(sweep, searcher=searcher, total=sweep.trials)

    def counts(self) -> Counter[str]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials.values())

    def apply(self, event: Event) -> list[Instruction]:
        """Take in what has happened, and return what follows from it, in order."""
        match event:
            case Started():
                self.trials[event.trial].state = "running"
            case Result():
                return self._result(event)
            case Lost():
                self._lost(event)
            case Reconfigured():
                self._reconfigured(event)
            case Ended():
                return self._ended(event)
        return []

    def suggest(self) -> Suggested | None:
        """Return a new trial for a free worker; ``None`` when there are no more, and then never again."""
        number = len(self.trials)
        if self.is_closed:
            return None
        config = self.searcher.suggest(number)
        if config is None:
            self.close()
            return None
        trial = TrialState(number, config, trial_seed(self.sweep.seed, number))
        self.trials[number] = trial
        self._scheduler.add(number)
        if self.total is not None and number + 1 >= self.total:
            self.close()
        return Suggested(number, config, trial.seed)

    def resume(self) -> Decision | None:
        """Return which paused trial takes a free worker; ``None``: none is ready."""
        decision = self._scheduler.resume()
        if decision is not None:
            trial = self._paused(decision)
            trial.state = trial.state if trial.pauses_again else "pending"
        return decision

    def drop(self) -> list[Decision]:
        """Return the paused trials that can never continue. Each comes once."""
        decisions = self._scheduler.drop()
        for decision in decisions:
            self._paused(decision)
        return decisions

    def grant(self, trial: int) -> Grant | None:
        """Return how far a trial may train before its results are needed.

        ``None``: it has to wait, since the others may use up what is left of ``budget.total_iterations``.
        """
        state = self.trials[trial]
        if state.pauses_again:
            return Grant(state.iteration)
        by_iterations = self.sweep.scheduler.resource == ITERATIONS
        until = self._scheduler.decides_at(trial) if by_iterations else None
        if self.sweep.budget.total_iterations is None:
            return Grant(until)
        self._granted.pop(trial, None)
        promised = sum(max(0, upto - self.trials[n].iteration) for n, upto in self._granted.items())
        left = self.sweep.budget.total_iterations - self.iterations - promised
        if left <= 0:
            return None
        share = max(1, left // (len(self._granted) + 1))
        self._granted[trial] = min(until or state.iteration + 1, state.iteration + share)
        return Grant(self._granted[trial])

    def reconfigured(self, decision: Decision) -> Config:
        """Return the configuration that a trial resumes with. Pure: the same each time."""
        assert decision.source is not None
        rng = np.random.default_rng([self.sweep.seed, decision.trial, int(decision.resource)])
        config = self.trials[decision.source].config
        return self.sweep.scheduler.reconfigured(config, decision, space=self.sweep.space, rng=rng)

    def time_is_up(self, trial: int) -> Decision:
        """Return the decision to stop a trial that has had its time (``budget.trial_seconds``)."""
        state = self.trials[trial]
        reason = "its time (budget.trial_seconds) is up"
        return Decision(trial, Action.STOP, state.resource, state.last, reason=reason)

    def starts_left(self, trial: int) -> int:
        """How many times a trial is still started again if its worker dies now and then at once again."""
        return WORKER_LOSSES - 1 - self.trials[trial].worker_losses

    def catch_up(self, trial: int) -> None:
        """Let a paused trial train up to its last result again, so that others can copy that checkpoint."""
        self.trials[trial].pauses_again = True

    def keeps(self, trial: int) -> bool:
        """Whether a trial's checkpoints are to stay: it has not ended, or is among the best that have."""
        state = self.trials[trial]
        return not state.has_ended or state in self._kept

    def give_up(self, reason: str) -> None:
        """End the sweep early: no new trial, and the running ones are to be stopped."""
        if self.reason is None:
            self.reason = reason
            self.close()

    def close(self) -> None:
        """Let no new trial come."""
        if not self.is_closed:
            self.is_closed = True
            self._scheduler.close()

    def _paused(self, decision: Decision) -> TrialState:
        """The trial that is resumed or dropped. Raises ValueError when it is not there to be."""
        trial = self.trials[decision.trial]
        if trial.state != "paused" and not trial.pauses_again:
            what = f"trial {decision.trial} cannot {decision.action}, since it is {trial.state}, not paused"
            raise ValueError(f"{type(self._scheduler).__name__}: {what}")
        return trial

    def _result(self, result: Result) -> list[Instruction]:
        """Take note of a result, and decide on it.

        A checkpoint is taken of the best value so far, and at the end of a trial that is the best to have
        ended. Of several objectives the last values count, so only the end does.
        """
        trial, objective = self.trials[result.trial], self.sweep.objective
        trial.repeats = result.iteration <= trial.iteration
        if trial.repeats:
            if result.iteration == trial.iteration and trial.pauses_again:
                return [self._pause_again(trial)]
            if result.iteration < trial.iteration or trial.ending is None:
                return []
            save = [Save(trial.number)] if trial in self._foremost([*self._kept, trial]) else []
            return [*save, Conclude(trial.number, trial.ending)]
        assert result.value is not None
        leads = self._is_ahead(trial, result.value, of=self.incumbent)
        self.iterations += result.iteration - trial.iteration
        if self.iterations >= (self.sweep.budget.total_iterations or sys.maxsize):
            self.give_up("total_iterations")
        trial.iteration, trial.seconds, trial.resource = (
            result.iteration,
            result.seconds,
            self._resource(result),
        )
        trial.worker_losses = 0
        trial.last, trial.last_values = result.value, result.values or (result.value,)
        if objective.better(result.value, than=trial.best):
            trial.best, trial.best_config = result.value, trial.config
            trial.best_iteration = result.iteration
        if not objective.others:
            self.searcher.report(trial.number, result.iteration, result.value)
        if leads:
            self.incumbent = trial
        # The incumbent may still fail; then the best of those that have ended must not be without.
        limit = self.sweep.budget.iterations
        is_last = result.done or (limit is not None and result.iteration >= limit)
        saves = (leads and not objective.others) or (
            is_last and trial in self._foremost([*self._kept, trial])
        )
        instructions: list[Instruction] = [Save(trial.number)] if saves else []
        return instructions if result.done else [*instructions, self._decide(trial)]

    def _resource(self, result: Result) -> float:
        """What the scheduler measures the trial by."""
        resource = self.sweep.scheduler.resource
        known: dict[str, Any] = {ITERATIONS: result.iteration, SECONDS: result.seconds}
        return float(known[resource] if resource in known else result.metrics[resource])

    def _decide(self, trial: TrialState) -> Decision:
        """What becomes of a trial after its last result."""
        several = self.sweep.scheduler.many_objectives and bool(self.sweep.objective.others)
        value: Any = trial.last_values if several else trial.last
        decision = self._scheduler.report(trial.number, trial.resource, value)
        limit = self.sweep.budget.iterations
        if limit is not None and trial.iteration >= limit and decision.action is not Action.STOP:
            # The scheduler may not know, where it measures trials by something else.
            decision = replace(decision, action=Action.COMPLETE)
        if decision.action is not Action.CONTINUE:
            self._granted.pop(trial.number, None)
        if decision.action is Action.PAUSE:
            trial.state, trial.is_unsaved = "paused", False
        trial.ending = _ENDINGS.get(decision.action, trial.ending)
        return decision

    def _pause_again(self, trial: TrialState) -> Decision:
        """Pause a trial where it was paused before."""
        trial.state, trial.pauses_again, trial.is_unsaved = "paused", False, False
        reason = "it was paused here before, and lost without a checkpoint"
        return Decision(trial.number, Action.PAUSE, trial.resource, trial.last, reason=reason)

    def _lost(self, event: Lost) -> None:
        """A trial will be started again."""
        trial = self.trials[event.trial]
        if event.lanes is None:
            trial.worker_losses += event.died
        else:
            trial.times_too_many += 1
        if trial.state == "running":
            trial.state = "pending"
        else:
            trial.is_unsaved = True

    def _reconfigured(self, event: Reconfigured) -> None:
        """A trial is about to resume from its source's last checkpoint, with another configuration."""
        trial, source = self.trials[event.trial], self.trials[event.source]
        trial.config = event.config
        trial.iteration, trial.resource, trial.last = source.iteration, source.resource, source.last

    def _ended(self, event: Ended) -> list[Instruction]:
        trial = self.trials[event.trial]
        if trial.has_ended:
            return []
        trial.state = event.state
        self._granted.pop(trial.number, None)
        self._scheduler.end(trial.number, event.state)
        if self.sweep.objective.others:
            known = event.state != "failed" and trial.last_values
            self.searcher.finish_all(trial.number, event.state, trial.last_values if known else None)
        else:
            self.searcher.finish(trial.number, event.state, None if event.state == "failed" else trial.last)
        if event.state == "failed":
            self._failed(trial)
        ended = [*self._kept, trial]
        self._kept = self._foremost(ended)
        return [Release(loser.number) for loser in ended if loser not in self._kept]

    def _failed(self, trial: TrialState) -> None:
        self._failures += 1
        limit = self.sweep.budget.failures
        if limit is not None and self._failures > limit:
            self.give_up("failures")
        if trial is self.incumbent:
            self.incumbent = None
            for other in self.trials.values():
                self.incumbent = self._better(other, self.incumbent)

    def _foremost(self, trials: Sequence[TrialState]) -> list[TrialState]:
        """The best of these; of several objectives, those that no other dominates."""
        objective = self.sweep.objective
        if objective.others:
            sound = [trial for trial in trials if trial.last_values and trial.state != "failed"]
            return [sound[i] for i in front([objective.scores(trial.last_values) for trial in sound])]
        best: TrialState | None = None
        for trial in trials:
            best = self._better(trial, best)
        return [] if best is None else [best]

    def _better(self, trial: TrialState, than: TrialState | None) -> TrialState | None:
        """``trial`` if it has not failed and is ahead, else ``than``."""
        if trial.best is None or trial.state == "failed":
            return than
        return trial if self._is_ahead(trial, trial.best, of=than) else than

    def _is_ahead(self, trial: TrialState, value: float, *, of: TrialState | None) -> bool:
        """Whether a trial with this value is better than the best of another; of equals, the first is."""
        if of is None or self.sweep.objective.better(value, than=of.best):
            return True
        return value == of.best and trial.number < of.number
