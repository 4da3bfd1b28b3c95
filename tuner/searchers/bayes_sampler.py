"""``BayesSampler``: Bayesian optimisation as an Optuna sampler."""

from __future__ import annotations

import functools
import secrets
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc
from threadpoolctl import ThreadpoolController

from tuner.errors import Problem, SpecError
from tuner.searchers._acquisition import ACQUISITIONS, Acquisition
from tuner.searchers._bayes_settings import BayesSettings
from tuner.searchers._feasibility import Feasibility
from tuner.searchers._forest import Forest
from tuner.searchers._gaussian_process import GaussianProcess
from tuner.searchers._maximise import maximise
from tuner.searchers._mixed_space import Array, Mask, MixedSpace, Rules, stacked
from tuner.searchers._neglect import neglected
from tuner.searchers._observations import Observations, observations
from tuner.searchers._warping import half_ranked, heavy_tailed, standardised
from tuner.spec import describe

Surrogate = Literal["gp", "rf"]
Design = Literal["sobol", "random"]

# If the rules allow 1 point in 500, the probability that all draws fail is below 1e-17.
_MAX_BATCHES, _BATCH_SIZE = 320, 64

# If none of 1,024 points is free, few or none are.
_MAX_BATCHES_TO_FREE = 16

# If this share of the drawn trials is as good as the best, random draws find more than a model. The same
# holds after 10 trials without an improvement: 1 in 2 of the next 10 is drawn, then 2 in 3, then 3 in 4. This
# costs little if the model was right, because nothing better is left to find.
_PLATEAU = 0.5
_PATIENCE = 10

# Values that differ by at most this many standard deviations of the noise count as equal. On a plateau, the
# best of 10 drawn trials is farther below the median once in 17 times, the best of 30 once in 6.
_EQUAL_WITHIN = 2.5

# The system attribute with which Optuna marks enqueued trials.
_ENQUEUED = "fixed_params"

# If two threads limited the thread pools at once, the last to leave would restore the limit that the other
# set.
_POOL_LOCK = threading.Lock()

_Taken = tuple[set[Any], set[Any]]
"""Keys of all trials that were not pruned without a value, and keys of the running trials."""


class BayesSampler(BaseSampler):
    """Sequential model-based optimisation of one objective (Jones et al. 1998; Hutter et al. 2011).

    - ``surrogate``: a Gaussian process (``gp``) or a random forest (``rf``)
    - ``acquisition``: expected improvement (``ei``), its logarithm (``logei``), probability of improvement
      (``pi``) or confidence bound (``ucb``)
    - ``initial``: number of trials that must end before the model is used
    - ``initial_design``: how trials are drawn before that
    - ``search_space``: all parameters, with ``rules`` that say which are active. Without it, the sampler
      models the parameters that all trials share, and draws others at random.
    - ``seed``: at least 0 and below 2**32; ``None``: a random one

    A suggestion depends on the seed, the trial's number, the other trials, and which of them this sampler
    suggested. Pruned trials count by their value at the iteration that enough trials have reached.

    If trials have failed, suggestions are likely enough to succeed. Bad values are compressed if they would
    hide differences between good ones. On a plateau, trials are drawn as at first. Without improvement, more
    and more trials are drawn. A forest avoids a category that was bad twice. Categories on which other
    parameters depend are therefore tried again from time to time.

    Raises SpecError for a wrong setting.
    """

    def __init__(
        self,
        *,
        surrogate: Surrogate = "gp",
        acquisition: Acquisition = "logei",
        initial: int = 10,
        initial_design: Design = "sobol",
        search_space: Mapping[str, BaseDistribution] | None = None,
        rules: Rules | None = None,
        seed: int | None = None,
    ) -> None:
        BayesSettings(
            surrogate=surrogate, acquisition=acquisition, initial=initial, initial_design=initial_design
        )
        if seed is not None and not (isinstance(seed, (int, np.integer)) and 0 <= seed < 2**32):
            what = f"must be a whole number, at least 0 and below 2**32, got {describe(seed)}"
            raise SpecError([Problem("seed", what)])
        self._surrogate = surrogate
        self._acquisition = acquisition
        self._initial = initial
        self._design = initial_design
        self._given_space = None if search_space is None else dict(search_space)
        self._common_space = IntersectionSearchSpace()
        self._rules = rules
        self._seed = secrets.randbits(32) if seed is None else seed
        self._suggested_trials: set[int] = set()  # numbers of the trials suggested since the model is in use
        self._model_trials: set[int] = set()  # those that the model suggested, not the design

    def reseed_rng(self) -> None:
        self._seed = secrets.randbits(32)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self._given_space is not None:
            return self._given_space
        common = self._common_space.calculate(study)
        return {name: distribution for name, distribution in common.items() if not distribution.single()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        _one_objective(study)
        rng = self._rng(trial, zlib.crc32(param_name.encode()))
        space = MixedSpace({param_name: param_distribution})
        return space.params(space.from_cube(rng.uniform(size=(1, 1)))[0])[param_name]

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        _one_objective(study)
        if not search_space:
            return {}
        space = MixedSpace(search_space, self._rules)
        trials = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number and _fits(other, search_space, whole=self._given_space is None)
        ]
        seen = observations(trials, enough=len(space) + 1)
        running = _keys(space, [other for other in trials if other.state == TrialState.RUNNING])
        known = [other for other in trials if other.state != TrialState.PRUNED or other.intermediate_values]
        taken = (_keys(space, known), running)
        chosen = feasible = None
        if seen.observed and len(seen.observed) + len(seen.failed) >= self._initial:
            # Sums over several threads round differently, which would change the next trials.
            with _POOL_LOCK, _pools().limit(limits=1):
                feasible = _feasibility(space, seen, seed=self._rng(trial, 2))
                chosen = self._suggested_by_model(study, trial, space, seen, taken, feasible)
            if _ENQUEUED not in trial.system_attrs:
                self._suggested_trials.add(trial.number)
                if chosen is not None:
                    self._model_trials.add(trial.number)
        return space.point(*(chosen or self._drawn_from_design(space, trial, taken, feasible)))

    def _explores(self, trial: FrozenTrial, seen: Observations, values: Array, noise: float) -> bool:
        """Return whether to draw the trial instead of asking the model.

        True on a plateau, and more and more often while no trial improves on the best.
        """
        best = values <= values.min() + _EQUAL_WITHIN * noise
        drawn = np.array([one.number not in self._model_trials for one in seen.observed])
        if drawn.any() and best[drawn].mean() >= _PLATEAU:
            return True
        first = seen.observed[int(best.argmax())].number
        since = [one for one in seen.observed if one.number > first and one.number in self._suggested_trials]
        return trial.number % (1 + len(since) // _PATIENCE) > 0

    def _rng(self, trial: FrozenTrial, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, trial.number, purpose])

    def _drawn_from_design(
        self, space: MixedSpace, trial: FrozenTrial, taken: _Taken, feasible: Feasibility | None
    ) -> tuple[Array, Mask]:
        """Return the trial's point of the initial design, or a random one if that cannot be used.

        A point cannot be used if the rules forbid it. Points that are taken or likely to fail are avoided.
        """
        rng = self._rng(trial, 0)
        if self._design == "sobol":
            sobol = qmc.Sobol(len(space), rng=np.random.default_rng(self._seed))
            points = sobol.random(2 ** trial.number.bit_length())[trial.number, None]
        else:
            points = rng.uniform(size=(1, len(space)))
        allowed: list[tuple[Array, Mask]] = []
        for draws in range(_MAX_BATCHES):
            rows = space.from_cube(points)
            active, fit = space.activity(rows)
            fresh = list(zip(rows[fit], active[fit], strict=True))
            allowed += fresh
            if feasible is not None and fresh:
                columns = space.columns(rows[fit], active[fit], inactive=feasible.inactive)
                likely = feasible.penalty(columns) == 0
                fresh = [point for point, good in zip(fresh, likely, strict=True) if good]
            if free := _first_free(space, fresh, taken[0]):
                return free
            if allowed and draws >= _MAX_BATCHES_TO_FREE:
                break
            points = rng.uniform(size=(_BATCH_SIZE, len(space)))
        if not allowed:
            what = f"none of {_MAX_BATCHES * _BATCH_SIZE} points drawn at random is allowed by the rules"
            raise ValueError(what)
        return _first_free(space, allowed, taken[1]) or allowed[0]

    def _suggested_by_model(
        self,
        study: Study,
        trial: FrozenTrial,
        space: MixedSpace,
        seen: Observations,
        taken: _Taken,
        feasible: Feasibility | None,
    ) -> tuple[Array, Mask] | None:
        rng = self._rng(trial, 1)
        values = standardised(_sign(study) * np.array(seen.values))
        if self._surrogate == "rf" or heavy_tailed(values):
            values = standardised(half_ranked(values))
        rows = _Rows.of(space, seen.observed)
        pending = _Rows.of(space, seen.pending)
        failed = _Rows.of(space, seen.failed)
        seed = int(rng.integers(2**31))
        model = self._model(space)
        model.fit(rows.columns(space, model.inactive), values, seed=seed)
        if self._explores(trial, seen, values, model.noise):
            return None
        best = float(model.predict(rows.columns(space, model.inactive))[0].min())
        if len(pending.rows):
            expected = pending.columns(space, model.inactive)
            best = min(best, float(model.predict(expected)[0].min()))
            model = model.expecting(expected)
        utility = _Utility(model, self._acquisition, best, feasible)
        incumbents = rows.rows[np.argsort(values, kind="stable")]
        drawn = space.from_cube(rng.uniform(size=incumbents.shape))
        incumbents = np.where(np.isnan(incumbents), drawn, incumbents)
        if self._surrogate == "rf":
            # A category is skipped if the rules forbid it, or if all its configurations are taken.
            for held in neglected(space, np.concatenate([part.rows for part in (rows, pending, failed)])):
                chosen = maximise(utility, space, incumbents=incumbents, taken=taken[0], rng=rng, held=held)
                if chosen is not None:
                    return chosen
        for excluded in (*taken, set()):  # repeat configurations once all are taken
            chosen = maximise(utility, space, incumbents=incumbents, taken=excluded, rng=rng)
            if chosen is not None:
                return chosen
        return None

    def _model(self, space: MixedSpace) -> GaussianProcess | Forest:
        return GaussianProcess(space.groups) if self._surrogate == "gp" else Forest()


@functools.cache
def _pools() -> ThreadpoolController:
    """Return the thread pools of the imported libraries. Finding them takes 5 ms."""
    return ThreadpoolController()


@dataclass(frozen=True)
class _Rows:
    """Trials as rows (n x d), with NaN for inactive parameters."""

    rows: Array

    @classmethod
    def of(cls, space: MixedSpace, trials: Sequence[FrozenTrial]) -> _Rows:
        return cls(stacked([space.vector(trial.params) for trial in trials], len(space)))

    def columns(self, space: MixedSpace, inactive: float) -> Array:
        return space.columns(self.rows, ~np.isnan(self.rows), inactive=inactive)


def _feasibility(space: MixedSpace, seen: Observations, *, seed: np.random.Generator) -> Feasibility | None:
    """Return the model of success; ``None`` if no trial has failed."""
    if not seen.failed:
        return None
    rows = _Rows.of(space, [*seen.observed, *seen.failed])
    succeeded = np.repeat([True, False], [len(seen.observed), len(seen.failed)])
    return Feasibility(space.groups).fit(rows.columns(space, Feasibility.inactive), succeeded, seed=seed)


def _sign(study: Study) -> float:
    return -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0


def _first_free(
    space: MixedSpace, points: Sequence[tuple[Array, Mask]], taken: set[Any]
) -> tuple[Array, Mask] | None:
    return next((point for point in points if space.key(*point) not in taken), None)


def _keys(space: MixedSpace, trials: Sequence[FrozenTrial]) -> set[Any]:
    rows = _Rows.of(space, trials).rows
    active = ~np.isnan(rows)
    filled = np.where(active, rows, 0.0)
    return {space.key(row, there) for row, there in zip(filled, active, strict=True)}


class _Utility:
    """The acquisition function of the model, minus a penalty where trials are likely to fail."""

    def __init__(
        self,
        model: GaussianProcess | Forest,
        acquisition: Acquisition,
        best: float,
        feasible: Feasibility | None,
    ) -> None:
        self._model = model
        # The penalty is on a logarithmic scale. The logarithm of "ei" has the same maximiser.
        self._acquire = ACQUISITIONS["logei" if acquisition == "ei" and feasible else acquisition]
        self._best = best
        self._feasible = feasible
        self.inactive = model.inactive
        self.smooth = isinstance(model, GaussianProcess)

    def values(self, columns: Array) -> Array:
        values = self._acquire(*self._model.predict(columns), self._best)[0]
        if self._feasible is None:
            return values
        # The forest and the feasibility model fill inactive numbers differently.
        penalty = self._feasible.penalty(np.where(columns == Forest.inactive, Feasibility.inactive, columns))
        return np.asarray(values + penalty)

    def gradient(self, point: Array) -> tuple[float, Array]:
        assert isinstance(self._model, GaussianProcess)
        mean, deviation, by_mean, by_deviation = self._model.predict_with_gradient(point)
        value, mean_slope, deviation_slope = self._acquire(np.array(mean), np.array(deviation), self._best)
        gradient = mean_slope * by_mean + deviation_slope * by_deviation
        if self._feasible is None:
            return float(value), gradient
        penalty, penalty_gradient = self._feasible.penalty_with_gradient(point)
        return float(value) + penalty, gradient + penalty_gradient


def _one_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(f"BayesSampler needs a single objective, got {len(study.directions)} directions")


def _fits(trial: FrozenTrial, search_space: Mapping[str, BaseDistribution], *, whole: bool) -> bool:
    """Return whether a trial's parameters lie in the search space; with ``whole``, it must have all."""
    return (not whole or search_space.keys() <= trial.params.keys()) and all(
        _contains(distribution, trial.params[name])
        for name, distribution in search_space.items()
        if name in trial.params
    )


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return value in choices
        case IntDistribution(low=low, high=high) | FloatDistribution(low=low, high=high):
            return bool(low <= value <= high)
    return False
