"""Read the values of a study's trials at the highest iteration that enough trials have reached."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState


@dataclass(frozen=True)
class Observations:
    """A study's trials, sorted by their information. Trials without any appear in no list."""

    observed: list[FrozenTrial]
    """Trials with a value at the modelled iteration."""
    values: list[float]
    """The value of each observed trial at that iteration."""
    failed: list[FrozenTrial]
    pending: list[FrozenTrial]


def observations(trials: Sequence[FrozenTrial], *, enough: int) -> Observations:
    """Return the values at the highest iteration that at least ``enough`` trials have reached.

    If no iteration has that many, the one that most trials have reached is used, as in BOHB (Falkner et al.
    2018, arXiv:1807.01774, section 4). A completed trial's final value counts for all later iterations too. A
    running trial that has reached the iteration is observed; otherwise it is pending.
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
    """Return the iteration to model; infinity means the final value of completed trials."""
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
