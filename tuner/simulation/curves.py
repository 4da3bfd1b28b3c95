"""Learning curves for a simulated cluster: those of an earlier sweep, or made by a formula."""

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

# How far a curve may be moved towards the next one or away from it, as a share of their difference.
_VARIED = 0.5


@dataclass(frozen=True)
class LearningCurve:
    """What a trial would do if nobody stopped it: a value per iteration, ``seconds`` each; then it ends."""

    values: Sequence[float]
    seconds: float = 1.0
    every: int = 1
    """It reports once in this many iterations."""
    fails_at: int | None = None
    """It fails instead of ending that iteration; ``None``: it does not."""
    losses: tuple[int, ...] = ()
    """In these iterations, rising, its worker dies, once each."""
    others: Sequence[tuple[float, ...]] = ()
    """The values of the further objectives, per iteration, where there are any."""

    def at(self, iteration: int) -> tuple[float, ...]:
        """The values of all objectives at an iteration, from 1."""
        others = self.others[iteration - 1] if self.others else ()
        return (self.values[iteration - 1], *others)

    def continued(self, other: LearningCurve) -> LearningCurve:
        """This curve with the values of another one, of which the last one stays if it is shorter."""
        length = len(self.values)
        values = [*other.values, *list(other.values[-1:]) * length][:length]
        others = [*other.others, *list(other.others[-1:]) * length][:length]
        return replace(self, values=values, others=others)


Curves = Callable[[Config, int], LearningCurve]
"""The curve of a configuration in trial so-and-so (from 0); the same arguments give the same curve."""


@dataclass(frozen=True)
class Costs:
    """What a cluster costs beside the training, in seconds, and what goes wrong in it.

    ``start``: until the first trial can begin; ``trial``: each time that a trial comes to a worker; ``drop``:
    until a paused trial that was given up has ended. ``failures``: the share of trials that fail, each at an
    iteration drawn at random; ``lost_pauses``: the share of pauses whose checkpoint cannot be written, so
    that the trial fails. ``checkpoints``: whether who was paused or lost its worker goes on where it was, or
    from the beginning.
    """

    start: float = 0.0
    trial: float = 0.0
    drop: float = 0.0
    failures: float = 0.0
    lost_pauses: float = 0.0
    checkpoints: bool = True


class RecordedCurves:
    """The curves of an earlier sweep; a configuration gets that of the nearest one recorded.

    Nearest: by the mean over hyperparameters of their distance, numbers on the scale of the space and from 0
    to 1, choices equal or not, one that is inactive on one side only being 1 apart.
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
        """From the trials that ran to their end in a results folder. Raises ResultsError if there are none.

        The costs are those that its journal shows. ``space`` and ``objective`` are those of the new sweep.
        """
        history = History.read(folder)
        recorded = history.sweep_of(folder).get("objective")
        if recorded != objective.model_dump(mode="json"):
            raise ResultsError(f"{folder}: holds curves of {recorded}")
        # The curve of a reconfigured trial is of several configurations.
        whole = [trial for trial in history.ended if trial.state == "completed" and not trial.changes]
        placed = [trial for trial in whole if _can_be_placed(trial.config, space)]
        curves = {trial.number: curve for trial in placed if (curve := _curve(trial)) is not None}
        if not curves:
            what = "no trial ran to its end as it began; curves come from a sweep without early stopping"
            raise ResultsError(f"{folder}: {what}")
        configs = [history.trials[number].config for number in curves]
        return cls(space, configs, list(curves.values()), _costs(history, curves))

    def __call__(self, config: Config, trial: int) -> LearningCurve:
        return self.curves[int(self._distances(config).argmin())]

    def _distances(self, config: Config) -> NDArray[np.float64]:
        """How far each recorded configuration is."""
        apart = np.abs(self._rows - self._row(config))
        distance = np.where(np.isnan(apart), 1.0, np.minimum(apart, 1.0)).mean(axis=1)
        both = np.isnan(self._rows) & np.isnan(self._row(config))
        distance -= both.sum(axis=1) / max(1, self._rows.shape[1])
        return np.asarray(distance)

    def varied(self, seed: int) -> Curves:
        """Curves that differ from trial to trial as the recorded ones do, on a sample of these drawn anew.

        Were many trials to share a curve, their values would tie: `asha_stop` stops nobody who ties with the
        best of a rung, and `pasha` finds a ranking settled. A trial's curve is that of the nearest recorded
        configuration, moved towards or away from the second nearest by up to half of their difference.
        """
        rng = np.random.default_rng([seed, len(self.curves)])
        drawn = np.unique(rng.integers(len(self.curves), size=len(self.curves)))
        rows = np.concatenate([_rows(curve) for curve in self.curves])
        low, high = np.array([_bounds(column) for column in rows.T.tolist()]).T

        def curve(config: Config, trial: int) -> LearningCurve:
            order: list[int] = drawn[np.argsort(self._distances(config)[drawn], kind="stable")].tolist()
            nearest, *others = order
            own = self.curves[nearest]
            if not others:
                return own
            other = self.curves[others[0]]
            share = float(np.random.default_rng([seed, trial]).uniform(-_VARIED, _VARIED))
            ours, theirs = _rows(own), _rows(own.continued(other))
            moved = np.clip(ours + share * (theirs - ours), low, high)
            seconds = own.seconds + share * (other.seconds - own.seconds)
            seconds = max(seconds, own.seconds / 2)
            further = [tuple(row) for row in moved[:, 1:].tolist()] if own.others else []
            return replace(own, values=moved[:, 0].tolist(), others=further, seconds=seconds)

        return curve

    def _row(self, config: Mapping[str, Any]) -> list[float]:
        """One number per hyperparameter; choices lie more than 1 apart, what is inactive is nan.

        An architecture has a number for each layer that there can be, equal only for equal layers.
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
    """The curve of a trial; ``None``: it reported nothing."""
    results = [trial.results[iteration] for iteration in sorted(trial.results)]
    values = [result.value for result in results if result.value is not None]
    if not values:
        return None
    others = [result.values[1:] for result in results if result.value is not None and result.values]
    return LearningCurve(values, max(results[-1].seconds, 1e-9) / len(values), others=others)


def _rows(curve: LearningCurve) -> NDArray[np.float64]:
    """A curve as an array: a row per iteration, a column per objective."""
    return np.array([curve.at(iteration) for iteration in range(1, len(curve.values) + 1)])


def _costs(history: History, curves: Mapping[int, LearningCurve]) -> Costs:
    """What it took beside the training: until the first trial ran, and to bring one to a worker and back."""
    assert history.began is not None
    begun = [trial.spans[0].started.time for trial in history.trials.values() if trial.spans]
    beside = [
        trial.results[max(trial.results)].time - spans[-1].started.time - curve.seconds * len(curve.values)
        for number, curve in curves.items()
        if (spans := (trial := history.trials[number]).spans)
    ]
    start = max(0.0, min(begun) - history.began.time) if begun else 0.0
    return Costs(start=start, trial=max(0.0, float(np.median(beside or [0.0]))))


def _can_be_placed(config: Mapping[str, Any], space: SearchSpace) -> bool:
    """Whether what an earlier sweep had under the names of a space is of the right types."""
    return all(
        isinstance(value, str)
        if isinstance(dimension := space.dimensions[key], Architecture)
        else not isinstance(dimension, (Float, Int)) or is_number(value)
        for key, value in space.by_key(config).items()
    )


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    """Between what values of a metric lie, as far as those seen tell: shares, numbers of one sign, or any."""
    low = 0.0 if min(values) >= 0 else -math.inf
    high = 0.0 if max(values) <= 0 else 1.0 if low == 0.0 and max(values) <= 1 else math.inf
    return low, high


def _place(dimension: Dimension, value: Any) -> float:
    if isinstance(dimension, (Float, Int)):
        return float(dimension.place(value))
    return 2.0 * next((i for i, known in enumerate(dimension.values()) if known == value), -1)


class PowerLawCurves:
    """Curves that fall as a power of the iteration; each trial's last value, height and rate are drawn anew.

    For an objective that is minimised; ``noise`` is the standard deviation of each value.
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
