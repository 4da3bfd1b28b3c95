"""Learning curves for a simulated cluster: recorded in an earlier sweep, or computed by a formula."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from tuner.errors import ResultsError
from tuner.journal import History, TrialHistory
from tuner.journal.rules import is_number
from tuner.objective import Objective
from tuner.space import Architecture, Config, Dimension, Float, Int, SearchSpace

# A curve moves towards the next one, or away from it, by at most this share of their difference.
_MAX_SHARE = 0.5


@dataclass(frozen=True)
class LearningCurve:
    """The results of a trial that is not stopped: one value per iteration, then its end."""

    values: Sequence[float]
    seconds: float = 1.0
    """Duration of an iteration."""
    every: int = 1
    """It reports once in this many iterations."""
    fails_at: int | None = None
    """It fails during this iteration; ``None`` if it does not fail."""
    losses: tuple[int, ...] = ()
    """Its worker dies once in each of these ascending iterations."""
    others: Sequence[tuple[float, ...]] = ()
    """The values of the further objectives per iteration, if there are any."""

    def at(self, iteration: int) -> tuple[float, ...]:
        """Return the values of all objectives at an iteration, from 1."""
        others = self.others[iteration - 1] if self.others else ()
        return (self.values[iteration - 1], *others)

    def continued(self, other: LearningCurve) -> LearningCurve:
        """Return this curve with the values of ``other``, but with its own length.

        If ``other`` is shorter, its last value is repeated.
        """
        length = len(self.values)
        values = [*other.values, *list(other.values[-1:]) * length][:length]
        others = [*other.others, *list(other.others[-1:]) * length][:length]
        return replace(self, values=values, others=others)


Curves = Callable[[Config, int], LearningCurve]
"""Maps a configuration and its trial's number, from 0, to a curve. Equal arguments give equal curves."""


@dataclass(frozen=True)
class Costs:
    """Delays of a cluster, in seconds, and its failures."""

    start: float = 0.0
    """Until the first trial can start."""
    trial: float = 0.0
    """Each time a trial gets a worker."""
    drop: float = 0.0
    """Until a paused trial that was given up has ended."""
    failures: float = 0.0
    """Share of trials that fail, each at a random iteration."""
    lost_pauses: float = 0.0
    """Share of pauses whose checkpoint cannot be written, so the trial fails."""
    checkpoints: bool = True
    """Whether a trial continues at its last iteration after a pause or a lost worker, or else restarts."""


class RecordedCurves:
    """The curves of an earlier sweep. A configuration gets the curve of the nearest recorded one.

    The distance is the mean over hyperparameters. Numbers are scaled to 0 to 1. Choices are equal or 1 apart,
    and so is a hyperparameter that is inactive on one side only.
    """

    def __init__(
        self, space: SearchSpace, configs: Sequence[Config], curves: Sequence[LearningCurve], costs: Costs
    ) -> None:
        self.costs = costs
        self.curves = list(curves)
        self._space = space
        self._rows = np.array([self._row(config) for config in configs])

    @classmethod
    def read(cls, folder: Path, *, space: SearchSpace, objective: Objective) -> RecordedCurves:
        """Read the curves of completed trials in a results folder, and the delays that its journal shows.

        ``space`` and ``objective`` are those of the new sweep. Raises ResultsError if no trial can be used or
        the objective differs.
        """
        history = History.read(folder)
        recorded = history.sweep_of(folder).get("objective")
        if recorded != objective.model_dump(mode="json"):
            raise ResultsError(f"{folder}: must have the same objective, got {recorded}")
        # A reconfigured trial's curve belongs to several configurations.
        complete = [trial for trial in history.ended if trial.state == "completed" and not trial.changes]
        comparable = [trial for trial in complete if _can_be_placed(trial.config, space)]
        curves = {trial.number: curve for trial in comparable if (curve := _curve(trial)) is not None}
        if not curves:
            what = "must hold completed trials, got none; record curves in a sweep without early stopping"
            raise ResultsError(f"{folder}: {what}")
        configs = [history.trials[number].config for number in curves]
        return cls(space, configs, list(curves.values()), _costs(history, curves))

    def __call__(self, config: Config, trial: int) -> LearningCurve:
        return self.curves[int(self._distances(config).argmin())]

    def _distances(self, config: Config) -> NDArray[np.float64]:
        """Return the distance to each recorded configuration."""
        differences = np.abs(self._rows - self._row(config))
        distance = np.where(np.isnan(differences), 1.0, np.minimum(differences, 1.0)).mean(axis=1)
        both_inactive = np.isnan(self._rows) & np.isnan(self._row(config))
        distance -= both_inactive.sum(axis=1) / max(1, self._rows.shape[1])
        return np.asarray(distance)

    def varied(self, seed: int) -> Curves:
        """Return curves that differ between trials as the recorded ones do, from a bootstrap sample.

        If many trials shared a curve, their values would tie. ``asha_stop`` stops no trial that ties with the
        best of a rung, and ``pasha`` would consider the ranking stable. A trial therefore gets the curve of
        the nearest recorded configuration, moved towards or away from the second nearest by up to half of
        their difference.
        """
        rng = np.random.default_rng([seed, len(self.curves)])
        drawn = np.unique(rng.integers(len(self.curves), size=len(self.curves)))
        rows = np.concatenate([_rows(curve) for curve in self.curves])
        low, high = np.array([_bounds(column) for column in rows.T.tolist()]).T

        def curve(config: Config, trial: int) -> LearningCurve:
            order: list[int] = drawn[np.argsort(self._distances(config)[drawn], kind="stable")].tolist()
            nearest, *others = order
            base = self.curves[nearest]
            if not others:
                return base
            other = self.curves[others[0]]
            share = float(np.random.default_rng([seed, trial]).uniform(-_MAX_SHARE, _MAX_SHARE))
            ours, theirs = _rows(base), _rows(base.continued(other))
            moved = np.clip(ours + share * (theirs - ours), low, high)
            seconds = base.seconds + share * (other.seconds - base.seconds)
            seconds = max(seconds, base.seconds / 2)
            further = [tuple(row) for row in moved[:, 1:].tolist()] if base.others else []
            return replace(base, values=moved[:, 0].tolist(), others=further, seconds=seconds)

        return curve

    def _row(self, config: Mapping[str, Any]) -> list[float]:
        """Return numbers for the hyperparameters: choices are more than 1 apart, inactive ones are NaN.

        An architecture has one number per possible layer. Equal layers have equal numbers.
        """
        chosen = self._space.by_key(config)
        row: list[float] = []
        for key, dimension in self._space.dimensions.items():
            if isinstance(dimension, Architecture):
                layers = chosen[key].split("; ") if key in chosen else []
                row += [2.0 * crc32(layer.encode()) for layer in layers]
                row += [math.nan] * (dimension.layers[1] - len(layers))
            else:
                row.append(_place(dimension, chosen[key]) if key in chosen else math.nan)
        return row


def _curve(trial: TrialHistory) -> LearningCurve | None:
    """Return the curve of a trial; ``None`` if it reported nothing."""
    results = [trial.results[iteration] for iteration in sorted(trial.results)]
    values = [result.value for result in results if result.value is not None]
    if not values:
        return None
    others = [result.values[1:] for result in results if result.value is not None and result.values]
    return LearningCurve(values, max(results[-1].seconds, 1e-9) / len(values), others=others)


def _rows(curve: LearningCurve) -> NDArray[np.float64]:
    """Return a curve as an array (iterations x objectives)."""
    return np.array([curve.at(iteration) for iteration in range(1, len(curve.values) + 1)])


def _costs(history: History, curves: Mapping[int, LearningCurve]) -> Costs:
    """Estimate the delays: until the first trial ran, and per trial in addition to its training."""
    assert history.began is not None
    starts = [trial.spans[0].started.time for trial in history.trials.values() if trial.spans]
    overheads = [
        trial.results[max(trial.results)].time - spans[-1].started.time - curve.seconds * len(curve.values)
        for number, curve in curves.items()
        if (spans := (trial := history.trials[number]).spans)
    ]
    start = max(0.0, min(starts) - history.began.time) if starts else 0.0
    return Costs(start=start, trial=max(0.0, float(np.median(overheads or [0.0]))))


def _can_be_placed(config: Mapping[str, Any], space: SearchSpace) -> bool:
    """Return whether the values of an earlier configuration have the types that the space expects."""
    return all(
        isinstance(value, str)
        if isinstance(dimension := space.dimensions[key], Architecture)
        else not isinstance(dimension, (Float, Int)) or is_number(value)
        for key, value in space.by_key(config).items()
    )


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Guess the bounds of a metric from its values: 0 to 1, one sign only, or none."""
    low = 0.0 if min(values) >= 0 else -math.inf
    high = 0.0 if max(values) <= 0 else 1.0 if low == 0.0 and max(values) <= 1 else math.inf
    return low, high


def _place(dimension: Dimension, value: Any) -> float:
    if isinstance(dimension, (Float, Int)):
        return float(dimension.place(value))
    return 2.0 * next((i for i, known in enumerate(dimension.values()) if known == value), -1)


class PowerLawCurves:
    """Curves that fall as a power of the iteration, for an objective that is minimised.

    Each trial has a random last value, height and rate. ``noise`` is the standard deviation of each value.
    """

    def __init__(self, iterations: int, *, seed: int = 0, seconds: float = 1.0, noise: float = 0.0) -> None:
        self._at = np.arange(1, iterations + 1, dtype=float)
        self._seed = seed
        self._seconds = seconds
        self._noise = noise

    def __call__(self, config: Config, trial: int) -> LearningCurve:
        rng = np.random.default_rng([self._seed, trial])
        last, height, rate = rng.uniform(0, 1), rng.uniform(0.2, 1), rng.uniform(0.3, 1.2)
        values = last + height * self._at**-rate + rng.normal(0, self._noise, len(self._at))
        return LearningCurve(values.tolist(), self._seconds * rng.uniform(0.5, 1.5))
