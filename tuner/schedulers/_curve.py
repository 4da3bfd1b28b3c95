"""Stop a trial by the shape of its learning curve (after Domhan et al. 2015, IJCAI)."""

from __future__ import annotations

import sys
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tuner.errors import Problem
from tuner.journal.events import Action, Decision
from tuner.objective import Ending, Objective
from tuner.schedulers.base import Scheduler, SchedulerSpec
from tuner.spec import Count, Number

_POWERS = (0.25, 0.5, 1.0, 2.0)
_RATES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How many times an exponential falls by e over the points seen so far."""

_MIN_POINTS = 4
"""With fewer points, a fit of two parameters does not show its own error."""

_WORSE_IN_A_ROW = 3
"""A trial diverges when this many reports in a row are each worse than the one before and than the first."""

_MIN_ERROR = 1e-3
"""The minimum error of a fit, as a share of the range of the values."""


class Curve(SchedulerSpec):
    """Stop a trial by its own learning curve (after Domhan et al. 2015, IJCAI).

    A trial stops when it has converged, diverges, or will probably not beat the best trial so far. The
    forecast combines power laws, exponentials and logarithms. Each is fitted to the trial's values by least
    squares and weighted by how well it fits. A trial diverges when 3 reports in a row are each worse than the
    one before and than the first.
    """

    kind: Literal["curve"] = "curve"
    grace_period: Count = Field(default=4, description="resource before which no trial is stopped")
    interval: Count = Field(default=2, description="resource between two checks of a trial")
    probability: Annotated[Number, Field(ge=0, lt=1)] = Field(
        default=0.05,
        description="a trial stops when the probability that it beats the best trial is below this",
    )
    patience: Count | None = Field(
        default=10,
        description="resource without improvement after which a trial has converged and stops; "
        "none: no trial counts as converged",
    )
    min_change: Annotated[Number, Field(ge=0)] = Field(
        default=0.0, description="smallest change of the objective that counts as an improvement"
    )

    needs_maximum: ClassVar[bool] = True
    runs_in_full: ClassVar[bool] = False

    def problems(self, iterations: int | None, *, trials: int | None = 1) -> list[Problem]:
        problems = super().problems(iterations, trials=trials)
        return problems + self.starts_too_late(self.grace_period, iterations)

    def build(self, *, objective: Objective, iterations: int | None, seed: int = 0) -> Scheduler:
        assert iterations is not None
        return _CurveScheduler(self, objective, iterations)


class _CurveScheduler(Scheduler):
    def __init__(self, spec: Curve, objective: Objective, maximum: int) -> None:
        self._spec = spec
        self._objective = objective
        self._maximum = maximum
        self._curves: dict[int, list[tuple[float, float]]] = {}
        self._checked_at: dict[int, float] = {}
        self._best = -sys.float_info.max

    def add(self, trial: int) -> None:
        self._curves[trial] = []
        self._checked_at[trial] = 0

    def report(self, trial: int, resource: float, value: float) -> Decision:
        curve, score = self._curves[trial], self._objective.score(value)
        curve.append((resource, score))
        self._best = max(self._best, score)
        if resource >= self._maximum:
            return Decision(trial, Action.COMPLETE, resource, value)
        spec = self._spec
        if resource < spec.grace_period or resource < self._checked_at[trial] + spec.interval:
            return Decision(trial, Action.CONTINUE, resource, value)
        self._checked_at[trial] = resource
        reason = self._stop_reason(np.array(curve))
        action = Action.CONTINUE if reason is None else Action.STOP
        cutoff = self._objective.score(self._best) if reason is not None else None
        return Decision(trial, action, resource, value, cutoff=cutoff, reason=reason)

    def decides_at(self, trial: int) -> int:
        following = int(self._checked_at[trial]) + self._spec.interval
        return min(max(following, self._spec.grace_period), self._maximum)

    def end(self, trial: int, ending: Ending) -> None:
        self._curves.pop(trial, None)

    def _stop_reason(self, curve: NDArray[np.float64]) -> str | None:
        """Return why to stop the trial, or ``None``. ``curve`` is n x 2: resources and scores."""
        at, scores = curve.T
        if _diverges(scores):
            return "diverges"
        patience = self._spec.patience
        if patience is not None and at[-1] - at[0] >= patience:
            before = scores[at <= at[-1] - patience].max()
            if scores.max() <= before + self._spec.min_change:
                return f"no better for {at[-1] - at[_first_best(scores)]:g}"
        if scores.max() < self._best and len(scores) >= _MIN_POINTS:
            chance = probability_above(self._best, at, scores, maximum=self._maximum)
            if chance < self._spec.probability:
                return f"beats the best with probability {chance:.2g}"
        return None


def probability_above(
    target: float, at: NDArray[np.float64], scores: NDArray[np.float64], *, maximum: float
) -> float:
    """Return the probability that a curve lies above ``target`` at ``maximum``.

    The curve has ``scores`` (n) at strictly rising resources ``at`` (n), n > 2. The forecast is a mixture of
    curves a + b g(resource), one for each shape g. Each has a Student t distribution, weighted by its
    marginal likelihood up to a constant factor: the residual variance to the power of minus half the degrees
    of freedom.
    """
    from scipy.special import stdtr

    low = min(scores.min(), target)
    span = max(scores.max(), target) - low
    if span == 0:
        return 0.5
    heights, goal = (scores - low) / span, (target - low) / span
    freedom = len(at) - 2
    weights, chances = [], []
    for basis, at_maximum in _family(at, maximum):
        offset, centre = heights.mean(), basis.mean()
        spread = float(((basis - centre) ** 2).sum())
        if spread == 0:
            continue
        slope = float(((basis - centre) * (heights - offset)).sum()) / spread
        residuals = heights - offset - slope * (basis - centre)
        variance = max(float((residuals**2).sum()) / freedom, _MIN_ERROR**2)
        error = np.sqrt(variance * (1 + 1 / len(at) + (at_maximum - centre) ** 2 / spread))
        weights.append(-freedom / 2 * np.log(variance))
        chances.append(1 - stdtr(freedom, (goal - offset - slope * (at_maximum - centre)) / error))
    likely = np.exp(np.array(weights) - max(weights))
    return float((likely * np.array(chances)).sum() / likely.sum())


def _family(at: NDArray[np.float64], maximum: float) -> list[tuple[NDArray[np.float64], float]]:
    """Return the shapes of learning curves: each at the resources ``at``, and at the maximum."""
    points = np.append(at, maximum)
    shapes = [points**-power for power in _POWERS]
    shapes += [np.exp(-rate * points / at[-1]) for rate in _RATES]
    shapes += [np.log(points + 1), 1 / np.log(points + 1)]
    return [(shape[:-1], float(shape[-1])) for shape in shapes]


def _diverges(scores: NDArray[np.float64]) -> bool:
    last = scores[-_WORSE_IN_A_ROW - 1 :]
    return len(last) > _WORSE_IN_A_ROW and bool((np.diff(last) < 0).all() and (last[1:] < scores[0]).all())


def _first_best(scores: NDArray[np.float64]) -> int:
    return int(np.argmax(scores))
