"""``SweepState``: the rules of a running sweep. Events go in, instructions come out.

A driver reports events to the state and follows its instructions. The driver is a cluster, a simulation, or
the replay of a journal. The same events in the same order give the same instructions. Nothing here uses Ray,
a clock or a disk.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from tuner.journal.events import (
    Action,
    Asked,
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
from tuner.state._asking import ask
from tuner.state._trial import TrialState
from tuner.sweep import Sweep

WORKER_LOSSES = 3
"""A trial fails when its worker dies this many times without progress in between."""

_ENDINGS: dict[Action, Ending] = {Action.STOP: "stopped", Action.COMPLETE: "completed"}


@dataclass(frozen=True)
class Save:
    """Take a checkpoint of the trial's last result."""

    trial: int


@dataclass(frozen=True)
class Conclude:
    """End the trial. The decision was made at this same result, but the trial was lost before it ended."""

    trial: int
    ending: Ending


@dataclass(frozen=True)
class Release:
    """Delete the trial's checkpoints, which are no longer needed."""

    trial: int


Instruction = Save | Conclude | Release | Decision
"""An instruction to the driver. It journals a decision that ``is_notable`` before it acts on it."""


@dataclass(frozen=True)
class Grant:
    """Permission for a trial to train without a decision."""

    until: int | None
    """The last permitted iteration. ``None`` means that the scheduler may decide at any result."""


def trial_seed(sweep_seed: int, trial: int) -> int:
    """Return the seed of a trial, below 2**31. It depends only on the sweep's seed and the trial's number."""
    return int(np.random.SeedSequence([sweep_seed, trial]).generate_state(1)[0] >> 1)


class SweepState:
    """The trials of a sweep, the decisions about them, and the remaining budget."""

    def __init__(self, sweep: Sweep, *, searcher: Searcher, total: int | None) -> None:
        self.sweep = sweep
        self.total = total  # the number of trials; None if unknown
        self.trials: dict[int, TrialState] = {}
        self.reason: str | None = None  # why the sweep ends early
        self.incumbent: TrialState | None = None  # the best trial so far that has not failed
        self.is_closed = False  # there will be no new trial
        self.searcher = searcher
        self._scheduler = sweep.scheduler.build(
            objective=sweep.objective,
            iterations=sweep.scheduler.most(sweep.budget.iterations),
            seed=sweep.seed,
        )
        self._failures = 0
        self.iterations = 0  # of all trials; a repeated iteration counts once
        self._granted: dict[int, int] = {}  # running trial -> its last permitted iteration
        self._kept: list[TrialState] = []  # the best ended trials, whose checkpoints are kept

    @classmethod
    def begin(cls, sweep: Sweep) -> Self:
        """Return the state of a sweep without trials. Reads the warm-start data of its searcher."""
        searcher = start(sweep.searcher, sweep.space, objective=sweep.objective, seed=sweep.seed)
        return cls(sweep, searcher=searcher, total=sweep.trials)

    def counts(self) -> Counter[str]:
        """Return the number of trials in each state."""
        return Counter(trial.state for trial in self.trials.values())

    def apply(self, event: Event) -> list[Instruction]:
        """Apply an event, and return the resulting instructions in order."""
        match event:
            case Started():
                self.trials[event.trial].state = "running"
            case Result():
                return self._apply_result(event)
            case Lost():
                self._apply_loss(event)
            case Reconfigured():
                self._apply_reconfiguration(event)
            case Ended():
                return self._apply_end(event)
        return []

    def suggest(self) -> Suggested | None:
        """Return a new trial for a free worker. After the first ``None``, there are no more trials."""
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

    def ask(self, trial: int, name: str, dimension: Mapping[str, Any]) -> Asked:
        """Return the value of a hyperparameter that a running trial names, or why there is none.

        - ``dimension``: as a sweep file writes it: a ``float``, ``int`` or ``choice``
        """
        return ask(self.trials[trial], name, dimension, space=self.sweep.space, searcher=self.searcher)

    def resume(self) -> Decision | None:
        """Return the paused trial that takes a free worker; ``None`` if none is ready."""
        decision = self._scheduler.resume()
        if decision is not None:
            trial = self._require_paused(decision)
            trial.state = trial.state if trial.pauses_again else "pending"
        return decision

    def drop(self) -> list[Decision]:
        """Return the paused trials that can never continue. Each is returned once."""
        decisions = self._scheduler.drop()
        for decision in decisions:
            self._require_paused(decision)
        return decisions

    def grant(self, trial: int) -> Grant | None:
        """Return how far a trial may train before the state needs its results.

        ``None`` means that it must wait: others may use up the rest of ``budget.total_iterations``.
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
        """Return the configuration that a trial resumes with. Repeated calls give the same result."""
        assert decision.source is not None
        rng = np.random.default_rng([self.sweep.seed, decision.trial, int(decision.resource)])
        config = self.trials[decision.source].config
        return self.sweep.scheduler.reconfigured(config, decision, space=self.sweep.space, rng=rng)

    def time_is_up(self, trial: int) -> Decision:
        """Return the decision to stop a trial that reached ``budget.trial_seconds``."""
        state = self.trials[trial]
        reason = "its time (budget.trial_seconds) is up"
        return Decision(trial, Action.STOP, state.resource, state.last, reason=reason)

    def prune(self, trial: int) -> Decision:
        """Return the decision to stop a trial that asks for it."""
        state = self.trials[trial]
        state.ending = "stopped"
        return Decision(trial, Action.STOP, state.resource, state.last, reason="the objective pruned it")

    def starts_left(self, trial: int) -> int:
        """Return how many times a trial may restart if its worker dies now and after each restart."""
        return WORKER_LOSSES - 1 - self.trials[trial].worker_losses

    def catch_up(self, trial: int) -> None:
        """Let a paused trial repeat its training up to its last result, so that others can copy it there."""
        self.trials[trial].pauses_again = True

    def keeps(self, trial: int) -> bool:
        """Return whether to keep the checkpoints of a trial: it is active or among the best ended trials."""
        state = self.trials[trial]
        return not state.has_ended or state in self._kept

    def front(self) -> list[TrialState]:
        """Return the trials whose last values no other trial dominates, by number, without failed ones.

        With one objective, return the best trial.
        """
        alive = [trial for trial in self.trials.values() if not trial.has_ended]
        return sorted(self._best_trials([*self._kept, *alive]), key=lambda trial: trial.number)

    def give_up(self, reason: str) -> None:
        """End the sweep early: create no new trials and let the driver stop the running ones."""
        if self.reason is None:
            self.reason = reason
            self.close()

    def close(self) -> None:
        """Create no more trials."""
        if not self.is_closed:
            self.is_closed = True
            self._scheduler.close()

    def _require_paused(self, decision: Decision) -> TrialState:
        """Return the trial to resume or drop. Raises ValueError if it is not paused."""
        trial = self.trials[decision.trial]
        if trial.state != "paused" and not trial.pauses_again:
            fault = f"it must be paused, but it is {trial.state}"
            what = f"cannot {decision.action} trial {decision.trial}; {fault}"
            raise ValueError(f"{type(self._scheduler).__name__}: {what}")
        return trial

    def _apply_result(self, result: Result) -> list[Instruction]:
        """Record a result and decide on it.

        A trial is saved at the best value of the sweep so far, and at its end if it is the best ended trial.
        With several objectives only the last values count, so a trial is saved at its end only.
        """
        trial, objective = self.trials[result.trial], self.sweep.objective
        trial.repeats = result.iteration <= trial.iteration
        if trial.repeats:
            if result.iteration == trial.iteration and trial.pauses_again:
                return [self._pause_again(trial)]
            if result.iteration < trial.iteration or trial.ending is None:
                return []
            save = [Save(trial.number)] if trial in self._best_trials([*self._kept, trial]) else []
            return [*save, Conclude(trial.number, trial.ending)]
        assert result.value is not None
        leads = self._is_ahead(trial, result.value, of=self.incumbent)
        self.iterations += result.iteration - trial.iteration
        if self.iterations >= (self.sweep.budget.total_iterations or sys.maxsize):
            self.give_up("total_iterations")
        trial.iteration, trial.seconds, trial.resource = (
            result.iteration,
            result.seconds,
            self._used_resource(result),
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
        # The incumbent may still fail. Then the best ended trial must have a checkpoint.
        limit = self.sweep.budget.iterations
        is_last = result.done or (limit is not None and result.iteration >= limit)
        saves = (leads and not objective.others) or (
            is_last and trial in self._best_trials([*self._kept, trial])
        )
        instructions: list[Instruction] = [Save(trial.number)] if saves else []
        return instructions if result.done else [*instructions, self._decide(trial)]

    def _used_resource(self, result: Result) -> float:
        """Return the resource that the trial has used, in the scheduler's unit."""
        resource = self.sweep.scheduler.resource
        known: dict[str, Any] = {ITERATIONS: result.iteration, SECONDS: result.seconds}
        return float(known[resource] if resource in known else result.metrics[resource])

    def _decide(self, trial: TrialState) -> Decision:
        """Decide what to do with a trial after its last result."""
        several = self.sweep.scheduler.many_objectives and bool(self.sweep.objective.others)
        value: Any = trial.last_values if several else trial.last
        decision = self._scheduler.report(trial.number, trial.resource, value)
        limit = self.sweep.budget.iterations
        if limit is not None and trial.iteration >= limit and decision.action is not Action.STOP:
            # A scheduler with another resource does not know the limit on iterations.
            decision = replace(decision, action=Action.COMPLETE)
        if decision.action is not Action.CONTINUE:
            self._granted.pop(trial.number, None)
        if decision.action is Action.PAUSE:
            trial.state, trial.is_unsaved = "paused", False
        trial.ending = _ENDINGS.get(decision.action, trial.ending)
        return decision

    def _pause_again(self, trial: TrialState) -> Decision:
        """Pause a trial at its earlier pause."""
        trial.state, trial.pauses_again, trial.is_unsaved = "paused", False, False
        reason = "it was paused here before but lost without a checkpoint"
        return Decision(trial.number, Action.PAUSE, trial.resource, trial.last, reason=reason)

    def _apply_loss(self, event: Lost) -> None:
        """Record a loss, after which the trial will be restarted."""
        trial = self.trials[event.trial]
        if event.lanes is None:
            trial.worker_losses += event.died
        else:
            trial.times_too_many += 1
        if trial.state == "running":
            trial.state = "pending"
        else:
            trial.is_unsaved = True

    def _apply_reconfiguration(self, event: Reconfigured) -> None:
        """Record that a trial resumes from its source's last checkpoint with another configuration."""
        trial, source = self.trials[event.trial], self.trials[event.source]
        trial.config = event.config
        trial.iteration, trial.resource, trial.last = source.iteration, source.resource, source.last

    def _apply_end(self, event: Ended) -> list[Instruction]:
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
            self._apply_failure(trial)
        ended = [*self._kept, trial]
        self._kept = self._best_trials(ended)
        return [Release(loser.number) for loser in ended if loser not in self._kept]

    def _apply_failure(self, trial: TrialState) -> None:
        self._failures += 1
        limit = self.sweep.budget.failures
        if limit is not None and self._failures > limit:
            self.give_up("failures")
        if trial is self.incumbent:
            self.incumbent = None
            for other in self.trials.values():
                self.incumbent = self._better_of(other, self.incumbent)

    def _best_trials(self, trials: Sequence[TrialState]) -> list[TrialState]:
        """Return the best trial; with several objectives, the trials that no other trial dominates."""
        objective = self.sweep.objective
        if objective.others:
            sound = [trial for trial in trials if trial.last_values and trial.state != "failed"]
            return [sound[i] for i in front([objective.scores(trial.last_values) for trial in sound])]
        best: TrialState | None = None
        for trial in trials:
            best = self._better_of(trial, best)
        return [] if best is None else [best]

    def _better_of(self, trial: TrialState, than: TrialState | None) -> TrialState | None:
        """Return ``trial`` if it has not failed and is better, else ``than``."""
        if trial.best is None or trial.state == "failed":
            return than
        return trial if self._is_ahead(trial, trial.best, of=than) else than

    def _is_ahead(self, trial: TrialState, value: float, *, of: TrialState | None) -> bool:
        """Return whether a trial's value beats the best value of ``of``. The older trial wins a tie."""
        if of is None or self.sweep.objective.better(value, than=of.best):
            return True
        return value == of.best and trial.number < of.number
