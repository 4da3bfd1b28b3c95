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
from tuner.events import is_number
from tuner.journal import read
from tuner.objective import Objective
from tuner.space import Architecture, Config, Dimension, Float, Int, SearchSpace

# How far a curve may be moved towards the next one or away from it, as a share of their difference.
_VARIED = 0.5


@dataclass(frozen=True)
class LearningCurve:
    """What a trial would do if nobody stopped it: a value per iteration, ``seconds`` each; then it ends.

    ``every``: it reports once in so many iterations. ``fails_at``: it fails instead of ending that iteration
    (``None``: it does not). ``losses``: in these iterations, rising, its worker dies, once each.
    """

    values: Sequence[float]
    seconds: float = 1.0
    every: int = 1
    fails_at: int | None = None
    losses: tuple[int, ...] = ()


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
        configs: dict[int, Config] = {}
        results: dict[int, dict[int, tuple[float, float]]] = {}
        completed = []
        placed: dict[int, float] = {}
        arrived: dict[int, float] = {}
        began = first = math.inf
        for event in read(folder):
            number, data = event.trial, event.data
            if event.kind == "sweep":
                began = event.time
                recorded = data["sweep"].get("objective")
                if recorded != objective.model_dump(mode="json"):
                    raise ResultsError(f"{folder}: holds curves of {recorded}")
            if number is None:
                continue
            if event.kind == "suggested":
                configs[number] = data["config"]
            elif event.kind == "started":
                first = min(first, event.time)
                placed[number] = event.time
            elif event.kind == "result" and data["value"] is not None:
                arrived[number] = event.time
                results.setdefault(number, {})[data["iteration"]] = (data["value"], data["seconds"])
            elif event.kind == "reconfigured":  # its curve is of several configurations
                configs.pop(number, None)
            elif event.kind == "ended" and data["state"] == "completed":
                completed.append(number)
        whole = [
            number
            for number in completed
            if number in results and number in configs and _can_be_placed(configs[number], space)
        ]
        if not whole:
            what = "no trial ran to its end as it began; curves come from a sweep without early stopping"
            raise ResultsError(f"{folder}: {what}")
        curves = []
        for number in whole:
            values = [results[number][iteration] for iteration in sorted(results[number])]
            seconds = max(values[-1][1], 1e-9) / len(values)
            curves.append(LearningCurve([value for value, _ in values], seconds))
        # What it took beside the training to bring a trial to a worker, and its results back.
        beside = [
            arrived[n] - placed[n] - curve.seconds * len(curve.values)
            for n, curve in zip(whole, curves, strict=True)
            if n in placed
        ]
        startup = first - began if math.isfinite(first - began) else 0.0
        costs = Costs(start=max(0.0, startup), trial=max(0.0, float(np.median(beside or [0.0]))))
        return cls(space, [configs[number] for number in whole], curves, costs)

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
        values = [value for curve in self.curves for value in curve.values]
        low, high = _bounds(values)

        def curve(config: Config, trial: int) -> LearningCurve:
            order: list[int] = drawn[np.argsort(self._distances(config)[drawn], kind="stable")].tolist()
            nearest, *others = order
            own = self.curves[nearest]
            if not others:
                return own
            other = self.curves[others[0]]
            share = float(np.random.default_rng([seed, trial]).uniform(-_VARIED, _VARIED))
            theirs = [*other.values, *[other.values[-1]] * len(own.values)]
            moved = [
                min(max(value + share * (towards - value), low), high)
                for value, towards in zip(own.values, theirs, strict=False)
            ]
            seconds = own.seconds + share * (other.seconds - own.seconds)
            return replace(own, values=moved, seconds=max(seconds, own.seconds / 2))

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
