"""HyperOpt's algorithms, called directly without ``fmin``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_serializer, model_validator

from tuner.objective import Ending, Objective
from tuner.searchers._random import Random
from tuner.searchers.base import FailurePenalty, Searcher, SearcherSpec
from tuner.searchers.settings import own_settings, schema_of_own, without_foreign
from tuner.space import Config, Dimension, SearchSpace
from tuner.space.hyperopt import from_hyperopt, to_hyperopt
from tuner.spec import Count, Number

# Algorithm -> its settings with their defaults. The defaults are HyperOpt's own.
_SETTINGS: dict[str, dict[str, Any]] = {
    "tpe": {"startup_trials": 20, "candidates": 24, "gamma": 0.25},
    "anneal": {"good": 2.0, "shrink": 0.1},
    "random": {},
}


class HyperOpt(SearcherSpec):
    """HyperOpt (Bergstra et al. 2013), with any of its algorithms.

    ``tpe`` counts running trials as bad, so concurrent trials differ. HyperOpt knows no stopped trials. A
    stopped trial therefore counts with its last value.
    """

    model_config = ConfigDict(json_schema_extra=schema_of_own("algorithm", "tpe", _SETTINGS))

    kind: Literal["hyperopt"] = "hyperopt"
    algorithm: Literal["tpe", "anneal", "random"] = Field(
        default="tpe",
        description="tpe: tree-structured Parzen estimator (Bergstra et al. 2011); anneal: simulated "
        "annealing around one of the best trials; random: independent draws",
    )
    startup_trials: Count | None = Field(
        default=None,
        description="for tpe: number of trials that must finish before the model is used; none: 20",
    )
    candidates: Count | None = Field(
        default=None, description="for tpe: number of samples compared per suggestion; none: 24"
    )
    gamma: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="for tpe: share of the trials that the model counts as good (gamma); none: 0.25",
    )
    good: Annotated[Number, Field(ge=1)] | None = Field(
        default=None,
        description="for anneal: mean rank, from 1, of the trial around which the next one is drawn; "
        "none: 2.0",
    )
    shrink: Annotated[Number, Field(gt=0)] | None = Field(
        default=None,
        description="for anneal: how fast the neighbourhood shrinks as the number of trials grows; none: 0.1",
    )

    conditions: ClassVar[bool] = True

    @property
    def learns(self) -> bool:  # type: ignore[override]
        """Return whether suggestions depend on results."""
        return self.algorithm != "random"

    @model_validator(mode="before")
    @classmethod
    def _settle(cls, data: Any) -> Any:
        return own_settings(data, "algorithm", "tpe", _SETTINGS)

    @model_serializer(mode="wrap")
    def _own_settings(self, dump: Any) -> dict[str, Any]:
        return without_foreign(dump(self), self.algorithm, _SETTINGS)

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        if not space.dimensions:  # HyperOpt accepts no empty domain
            return Random().build(space, objective=objective, seed=seed)
        return _HyperOptSearcher(self, space, objective, seed)


class _HyperOptSearcher(Searcher):
    def __init__(self, spec: HyperOpt, space: SearchSpace, objective: Objective, seed: int) -> None:
        import hyperopt
        from hyperopt.base import Domain

        self._hyperopt = hyperopt
        self._spec = spec
        self._space = space
        self._objective = objective
        self._penalty = FailurePenalty(objective)
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._attempts: dict[int, int] = {}  # used by "random" only
        self._trials = hyperopt.Trials()
        self._running: dict[int, Any] = {}  # trial -> its document in self._trials
        self._finished = 0
        # Results are written to the trials directly. HyperOpt never calls the objective.
        self._domain = Domain(lambda chosen: 0.0, space.to_hyperopt())

    def suggest(self, trial: int) -> Config:
        from hyperopt.base import spec_from_misc

        self._discard(trial)
        [identifier] = self._trials.new_trial_ids(1)
        [document] = self._draw(identifier, trial)
        self._insert(trial, document)
        point = spec_from_misc(document["misc"])

        def choose(key: str, dimension: Dimension) -> Any:
            # At the edge of a parent's range, HyperOpt may consider a child inactive.
            return from_hyperopt(dimension, point[key]) if key in point else dimension.sample(self._rng)

        return self._space.build(choose)

    def take(self, trial: int, config: Config) -> None:
        self._discard(trial)
        [identifier] = self._trials.new_trial_ids(1)
        chosen = self._space.by_key(config)
        point = {key: to_hyperopt(self._space.dimensions[key], value) for key, value in chosen.items()}
        misc = {
            "tid": identifier,
            "cmd": self._domain.cmd,
            "workdir": self._domain.workdir,
            "idxs": {key: [identifier] if key in point else [] for key in self._domain.params},
            "vals": {key: [point[key]] if key in point else [] for key in self._domain.params},
        }
        result = {"status": self._hyperopt.STATUS_NEW}
        [document] = self._trials.new_trial_docs([identifier], [None], [result], [misc])
        self._insert(trial, document)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        if ending == "failed" or value is None:
            self._penalty.failed(trial)
        else:
            self._penalty.saw(value)
            self._tell(trial, value)
        for failed, worst in self._penalty.due():
            self._tell(failed, worst)

    def _draw(self, identifier: int, trial: int) -> list[Any]:
        known = [[identifier], self._domain, self._trials]
        if self._spec.algorithm == "random":
            attempt = self._attempts[trial] = self._attempts.get(trial, -1) + 1
            trial_seed = int(np.random.SeedSequence([self._seed, trial, attempt]).generate_state(1)[0])
            return list(self._hyperopt.rand.suggest(*known, trial_seed % (2**31 - 1)))
        seed = int(self._rng.integers(2**31 - 1))
        if self._spec.algorithm == "anneal":
            return list(
                self._hyperopt.anneal.suggest(
                    *known, seed, avg_best_idx=self._spec.good, shrink_coef=self._spec.shrink
                )
            )
        startup = self._spec.startup_trials
        assert startup is not None
        return list(
            self._hyperopt.tpe.suggest(
                *known,
                seed,
                # HyperOpt counts running trials too. It would then use a model before any result is known.
                n_startup_jobs=0 if self._finished >= startup else len(self._trials.trials) + 1,
                n_EI_candidates=self._spec.candidates,
                gamma=self._spec.gamma,
                verbose=False,
            )
        )

    def _insert(self, trial: int, document: Any) -> None:
        # A running trial is in the trials, as in hyperopt.fmin. Without a loss it ranks below all others.
        self._trials.insert_trial_doc(document)
        self._trials.refresh()
        self._running[trial] = self._trials.trials[-1]

    def _discard(self, trial: int) -> None:
        if trial in self._running:
            self._running.pop(trial)["state"] = self._hyperopt.JOB_STATE_ERROR  # HyperOpt ignores such trials
            self._trials.refresh()

    def _tell(self, trial: int, value: float) -> None:
        document = self._running.pop(trial)
        document["state"] = self._hyperopt.JOB_STATE_DONE
        document["result"] = {"status": self._hyperopt.STATUS_OK, "loss": -self._objective.score(value)}
        self._finished += 1
