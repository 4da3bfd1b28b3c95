"""What a study's trials say about the highest iteration that enough of them have reached."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class Observations:
    """The trials by what is known of them; a trial of which nothing is known is in none of these."""

    observed: list[FrozenTrial]
    values: list[float]
    """Of each observed trial: what it had reached at the iteration that is modelled."""
    failed: list[FrozenTrial]
    pending: list[FrozenTrial]


def observations(trials: Sequence[FrozenTrial], *, enough: int) -> Observations:
    """The values at the highest iteration that at least ``enough`` trials have reached.

    Where none is reached by so many, the one reached by most, as in BOHB (Falkner et al. 2018,
    arXiv:1807.01774, section 4). The final value of a completed trial stands for every later iteration, too.
    A running trial that is beyond counts as observed, one before it as pending.
    """
    level = _level(trials, enough=enough)
    observed, values, failed, pending = [], [], [], []
    for trial in trials:
        value = _value_at(trial, level)
        if value is not None:
            observed.append(trial)
            values.append(value)
        elif trial.state == TrialState.FAIL:
            failed.append(trial)
        elif trial.state == TrialState.RUNNING:
            pending.append(trial)
    return Observations(observed, values, failed, pending)


def _level(trials: Sequence[FrozenTrial], *, enough: int) -> float:
    """The iteration to model; infinity stands for a completed trial's final value."""
    alive = [trial for trial in trials if trial.state not in (TrialState.FAIL, TrialState.WAITING)]
    reported: Counter[float] = Counter(
        step for trial in alive for step, value in trial.intermediate_values.items() if not math.isnan(value)
    )
    ends = sorted(_last(trial) for trial in alive if trial.state == TrialState.COMPLETE)
    counts = {level: reported[level] + bisect_left(ends, level) for level in [*reported, math.inf]}
    most = max(counts.values())
    return max(level for level, count in counts.items() if count >= min(enough, most))


def _last(trial: FrozenTrial) -> float:
    return max(trial.intermediate_values, default=-math.inf)


def _value_at(trial: FrozenTrial, level: float) -> float | None:
    if trial.state in (TrialState.FAIL, TrialState.WAITING):
        return None
    if trial.state == TrialState.COMPLETE and _last(trial) <= level:
        return trial.value
    value = trial.intermediate_values.get(level)  # type: ignore[call-overload]
    return None if value is None or math.isnan(value) else float(value)
