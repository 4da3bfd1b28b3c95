"""Optuna's samplers, called by ask and tell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_serializer, model_validator

from tuner.errors import Problem, SpecError
from tuner.objective import Ending, Objective
from tuner.searchers._random import Random
from tuner.searchers._study import StudySearcher
from tuner.searchers.base import FailurePenalty, Searcher, SearcherSpec
from tuner.searchers.settings import own_settings, schema_of_own, without_foreign
from tuner.space import Config, Dimension, SearchSpace
from tuner.space.optuna import ask, parameters
from tuner.spec import Count, Flag, Number

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

_Share = Annotated[Number, Field(ge=0, le=1)]

# Sampler -> its settings with their defaults. The defaults are Optuna's own, except for `scramble`. Without
# scrambling, every seed gives the same sequence, which starts at a corner of the space.
_SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"startup_trials": 10, "candidates": 24, "multivariate": None},
    "gp": {"startup_trials": 10, "deterministic": False},
    "cmaes": {"startup_trials": 1, "population": None, "margin": False, "separable": False},
    "nsga2": {"population": 50, "mutation": None, "crossover": 0.9, "swapping": 0.5},
    "qmc": {"sequence": "sobol", "scramble": True},
    "random": {},
}

# These samplers draw or model all dimensions together. Optuna draws a dimension at random if a trial lacks
# it.
_JOINT = ("gp", "cmaes", "nsga2", "qmc")

_Sampler = Literal["tpe", "gp", "cmaes", "nsga2", "qmc", "random"]


class Optuna(SearcherSpec):
    """Optuna (Akiba et al. 2019), with any of its samplers. Each sampler has its own settings.

    ``tpe`` and ``random`` suggest values for active dimensions only. The others suggest values for all
    dimensions, and the trial drops the inactive ones. ``tpe`` and ``cmaes`` also learn from stopped trials.
    """

    model_config = ConfigDict(json_schema_extra=schema_of_own("sampler", "tpe", _SETTINGS))

    kind: Literal["optuna"] = "optuna"
    sampler: _Sampler = Field(
        default="tpe",
        description="tpe: tree-structured Parzen estimator (Bergstra et al. 2011); gp: Gaussian "
        "process; cmaes: covariance matrix adaptation (Hansen and Ostermeier 2001), which treats a "
        "choice as a number; nsga2: genetic algorithm (Deb et al. 2002); qmc: quasi-random sequence; "
        "random: independent draws",
    )
    startup_trials: Count | None = Field(
        default=None,
        description="for tpe, gp and cmaes: number of trials drawn at random before the model is used; "
        "none: 1 for cmaes, else 10",
    )
    candidates: Count | None = Field(
        default=None, description="for tpe: number of samples compared per suggestion; none: 24"
    )
    multivariate: Flag | None = Field(
        default=None,
        description="for tpe: model the dimensions together; none: true for a single objective",
    )
    deterministic: Flag | None = Field(
        default=None, description="for gp: the objective has no noise; none: false"
    )
    population: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        default=None,
        description="for cmaes and nsga2: number of trials per generation; none: 50 for nsga2, chosen "
        "by the number of dimensions for cmaes",
    )
    margin: Flag | None = Field(
        default=None, description="for cmaes: keep integers from converging too early; none: false"
    )
    separable: Flag | None = Field(
        default=None, description="for cmaes: use a diagonal covariance; none: false"
    )
    mutation: _Share | None = Field(
        default=None,
        description="for nsga2: probability that a value is drawn again; none: 1 / number of dimensions",
    )
    crossover: _Share | None = Field(
        default=None, description="for nsga2: probability that a child has two parents; none: 0.9"
    )
    swapping: _Share | None = Field(
        default=None, description="for nsga2: probability that two parents swap a value; none: 0.5"
    )
    sequence: Literal["sobol", "halton"] | None = Field(
        default=None, description="for qmc: the quasi-random sequence; none: sobol"
    )
    scramble: Flag | None = Field(
        default=None,
        description="for qmc: scramble the sequence; if false, all seeds give the same sequence; none: true",
    )

    conditions: ClassVar[bool] = True

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Return whether suggestions depend on results."""
        return self.sampler not in ("qmc", "random")

    @property
    def defines_by_run(self) -> bool:  # type: ignore[override]
        """Return whether it can search an open space. A sequence needs all dimensions at once."""
        return self.sampler != "qmc"

    @property
    def many_objectives(self) -> bool:  # type: ignore[override]
        """Return whether the sampler learns from several objectives."""
        return self.sampler in ("tpe", "nsga2")

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, data: Any) -> Any:
        return own_settings(data, "sampler", "tpe", _SETTINGS)

    @model_validator(mode="after")
    def _check(self) -> Optuna:
        if self.margin and self.separable:
            what = "cannot be combined with margin (Optuna has no such variant); leave one out"
            raise SpecError([Problem("separable", what)])
        return self

    @model_serializer(mode="wrap")
    def _own_settings(self, dump: Any) -> dict[str, Any]:
        return without_foreign(dump(self), self.sampler, _SETTINGS)

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        if space.is_open and not self.learns:
            return Random().build(space, objective=objective, seed=seed)
        return _OptunaSearcher(self, space, objective, seed)


class _OptunaSearcher(StudySearcher):
    def __init__(self, spec: Optuna, space: SearchSpace, objective: Objective, seed: int) -> None:
        self._spec = spec
        self._space = space
        self._seed = seed
        self._parameters = parameters(space.dimensions, numeric=spec.sampler == "cmaes")
        super().__init__(self._sampler(seed), objective)
        self._penalties = [FailurePenalty(each) for each in objective.all]
        varied = [p for p in self._parameters.values() if not p.distribution.single()]
        self._pads_dimensions = spec.sampler == "cmaes" and len(varied) == 1
        self._attempts: dict[int, int] = {}  # used by samplers that do not learn

    def suggest(self, trial: int) -> Config:
        self._discard(trial)
        if self._space.is_open:
            self._open[trial] = self._study.ask()
            return {}
        if not self._spec.learns:
            # The suggestion must not depend on earlier calls.
            attempt = self._attempts[trial] = self._attempts.get(trial, -1) + 1
            self._study.sampler = self._sampler(self._seed, trial=trial, attempt=attempt)
        asked = self._open[trial] = self._study.ask()
        if self._spec.sampler not in _JOINT:
            return self._space.build(lambda key, _: self._parameters[key].ask(asked))
        chosen = {key: parameter.ask(asked) for key, parameter in self._parameters.items()}
        if self._pads_dimensions:
            asked.suggest_float(_PADDING, 0.0, 1.0)
        return self._space.build(lambda key, _: chosen[key])

    def take(self, trial: int, config: Config) -> None:
        self._discard(trial)
        if self._space.is_open:  # ``config`` may lack some hyperparameters; the sampler chooses them
            self._study.enqueue_trial(config)
            self._open[trial] = self._study.ask()
            return
        chosen = self._space.by_key(config)
        told = {key: self._parameters[key].to_optuna(value) for key, value in chosen.items()}
        if self._spec.sampler in _JOINT:
            for key, parameter in self._parameters.items():
                told.setdefault(key, _middle(parameter.distribution))
            if self._pads_dimensions:
                told[_PADDING] = 0.5
        self._study.enqueue_trial(told)
        asked = self._open[trial] = self._study.ask()
        if self._spec.sampler in ("cmaes", "nsga2"):
            _ = asked.relative_params  # assigns the trial to a generation
        for key, parameter in self._parameters.items():
            if key in told:
                parameter.ask(asked)
        if _PADDING in told:
            asked.suggest_float(_PADDING, 0.0, 1.0)

    def ask(self, trial: int, name: str, dimension: Dimension) -> Any:
        return ask(self._open[trial], name, dimension)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        # Optuna ranks pruned trials by their last iteration, then by the value reported there.
        pruned = ending == "stopped" and value is not None
        self._finish(trial, ending, None if value is None else (value,), pruned=pruned)

    def finish_all(self, trial: int, ending: Ending, values: tuple[float, ...] | None) -> None:
        # Optuna has no pruned trials with several objectives. A stopped trial counts as completed with its
        # last values, which are rarely better than its final ones would have been.
        self._finish(trial, ending, values, pruned=False)

    def _finish(self, trial: int, ending: Ending, values: tuple[float, ...] | None, *, pruned: bool) -> None:
        if ending == "failed" or values is None:
            for penalty in self._penalties:
                penalty.failed(trial)
        else:
            for penalty, value in zip(self._penalties, values, strict=True):
                penalty.saw(value)
            state = self._states.PRUNED if pruned else self._states.COMPLETE
            self._study.tell(self._open.pop(trial), None if pruned else values, state=state)
        for due in zip(*(penalty.due() for penalty in self._penalties), strict=True):
            failed, worst = due[0][0], [value for _, value in due]
            self._study.tell(self._open.pop(failed), worst, state=self._states.COMPLETE)

    def _discard(self, trial: int) -> None:
        if trial in self._open:
            self._study.tell(self._open.pop(trial), state=self._states.FAIL)

    def _sampler(self, seed: int, *, trial: int = 0, attempt: int = 0) -> BaseSampler:
        import optuna

        samplers, spec = optuna.samplers, self._spec
        settings = {name: getattr(spec, name) for name in _SETTINGS[spec.sampler]}
        with warnings.catch_warnings():
            # Several samplers and constant_liar are experimental in Optuna.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            match spec.sampler:
                case "tpe":
                    return samplers.TPESampler(
                        n_startup_trials=settings["startup_trials"],
                        n_ei_candidates=settings["candidates"],
                        multivariate=settings["multivariate"],
                        constant_liar=True,  # running trials count as bad, so concurrent trials differ
                        seed=seed,
                    )
                case "gp":
                    return samplers.GPSampler(
                        n_startup_trials=settings["startup_trials"],
                        deterministic_objective=settings["deterministic"],
                        seed=seed,
                    )
                case "cmaes":
                    return samplers.CmaEsSampler(
                        n_startup_trials=settings["startup_trials"],
                        popsize=settings["population"],
                        with_margin=settings["margin"],
                        use_separable_cma=settings["separable"],
                        consider_pruned_trials=True,
                        warn_independent_sampling=False,
                        seed=seed,
                    )
                case "nsga2":
                    return samplers.NSGAIISampler(
                        population_size=settings["population"],
                        mutation_prob=settings["mutation"],
                        crossover_prob=settings["crossover"],
                        swapping_prob=settings["swapping"],
                        seed=seed,
                    )
                case "qmc":
                    return _qmc(settings, self._parameters, seed=seed, trial=trial)
        return samplers.RandomSampler(
            seed=int(np.random.SeedSequence([seed, trial, attempt]).generate_state(1)[0])
        )


# CMA-ES needs at least two dimensions. A single one is padded with this dimension, which has no meaning.
_PADDING = "idle dimension"


def _middle(distribution: Any) -> Any:
    """Return a value for an inactive dimension. Optuna needs one for every dimension."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    if isinstance(distribution, FloatDistribution) and not distribution.log:
        return (distribution.low + distribution.high) / 2
    return distribution.low


def _qmc(own: Mapping[str, Any], parameters: Mapping[str, Any], *, seed: int, trial: int) -> BaseSampler:
    """Return Optuna's QMC sampler at position ``trial`` of the sequence."""
    import optuna

    class Placed(optuna.samplers.QMCSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {key: parameter.distribution for key, parameter in parameters.items()}

        def _find_sample_id(self, study: Any, search_space: Any) -> int:
            return trial

    return Placed(
        qmc_type=own["sequence"],
        scramble=own["scramble"],
        warn_independent_sampling=False,
        seed=seed,
    )
