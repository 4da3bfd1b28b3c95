"""The stopping variant of asynchronous successive halving."""

from __future__ import annotations

from typing import Literal

from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers._asha import Asha, Rung, rung_resources
from tuner.schedulers.base import Scheduler


class AshaStop(Asha):
    """``asha`` without pauses: a trial that is not among the best of a rung stops there.

    It needs no checkpoints. In exchange, the first trials at a rung always continue. Ray Tune and Optuna run
    ASHA in this way (Li et al. 2020, arXiv:1810.05934).
    """

    kind: Literal["asha_stop"] = "asha_stop"  # type: ignore[assignment]

    pauses = False
    many_objectives = False

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        return _AshaStopScheduler(self, objective, iterations)


class _AshaStopScheduler(Scheduler):
    def __init__(self, spec: AshaStop, objective: Objective, iterations: int) -> None:
        self._objective = objective
        self._factor = spec.reduction_factor
        self._maximum = iterations
        self._rungs = [Rung(r) for r in rung_resources(spec.grace_period, spec.reduction_factor, iterations)]

    def add(self, trial: int) -> None:
        return

    def report(self, trial: int, resource: float, value: float) -> Decision:
        if resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value)
        for rung in reversed(self._rungs):
            if resource >= rung.resource:
                if trial in rung.scores:
                    break
                rung.add(trial, done=resource, scores=[self._objective.score(value)])
                kept = -(-len(rung.scores) // self._factor)  # rounded up, so the best of a few continues
                # Equal values get the same decision, so a plateau does not favour early trials.
                cutoff = rung.scores[rung.best(kept)[-1]]
                action = Action.CONTINUE if rung.scores[trial] >= cutoff else Action.STOP
                return rung.decision(trial, action, self._objective, kept=kept)
        return Decision(trial, Action.CONTINUE, resource, value)

    def decides_at(self, trial: int) -> int:
        ahead = [rung.resource for rung in self._rungs if trial not in rung.scores]
        return min(ahead, default=self._maximum)

    def end(self, trial: int, ending: Ending) -> None:
        return
