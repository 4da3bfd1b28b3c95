"""HyperOpt's tree-structured Parzen estimator, asked and told directly."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tuner.objective import Objective
from tuner.searchers._random import Random
from tuner.searchers.base import Ending, FailurePenalty, Searcher, SearcherSpec
from tuner.space import Choice, Config, Dimension, Float, Int, SearchSpace
from tuner.spec import Count, Number


class HyperOpt(SearcherSpec):
    """HyperOpt (Bergstra et al. 2013).

    ``algorithm``: ``tpe``, the tree-structured Parzen estimator. ``startup_trials``: drawn at random until so
    many have finished, before the model is used. ``candidates``: samples compared per suggestion. ``gamma``:
    the share of trials, in (0, 1), that the model takes as good. Running trials count as bad, so that those
    at the same time differ.
    """

    kind: Literal["hyperopt"] = "hyperopt"
    algorithm: Literal["tpe"] = "tpe"
    startup_trials: Count = 10
    candidates: Count = 24
    gamma: Annotated[Number, Field(gt=0, lt=1)] = 0.25

    learns: ClassVar[bool] = True

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        if not space.dimensions:  # HyperOpt has no empty domain, and there is nothing to learn
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
        self._rng = np.random.default_rng(seed)
        self._trials = hyperopt.Trials()
        self._running: dict[int, Any] = {}  # trial -> its document among the trials
        self._finished = 0
        # The objective lives in the trials; HyperOpt is never asked to evaluate one.
        self._domain = Domain(
            lambda chosen: 0.0, {name: _expression(name, d) for name, d in space.dimensions.items()}
        )

    def suggest(self, trial: int) -> Config:
        from hyperopt.base import spec_from_misc

        [identifier] = self._trials.new_trial_ids(1)
        [document] = self._hyperopt.tpe.suggest(
            [identifier],
            self._domain,
            self._trials,
            int(self._rng.integers(2**31 - 1)),
            # HyperOpt would count running trials too, and then model a space of which it knows no result.
            n_startup_jobs=0 if self._finished >= self._spec.startup_trials else len(self._trials.trials) + 1,
            n_EI_candidates=self._spec.candidates,
            gamma=self._spec.gamma,
            verbose=False,
        )
        # As in hyperopt.fmin, a running trial is among the trials; without a loss it ranks below all others.
        self._trials.insert_trial_doc(document)
        self._trials.refresh()
        self._running[trial] = self._trials.trials[-1]
        drawn = spec_from_misc(document["misc"])
        return self._space.complete(
            {name: _value(dimension, drawn[name]) for name, dimension in self._space.dimensions.items()}
        )

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        if ending == "failed" or value is None:
            self._penalty.failed(trial)
        else:
            self._penalty.saw(value)
            self._tell(trial, value)
        for failed, worst in self._penalty.due():
            self._tell(failed, worst)

    def _tell(self, trial: int, value: float) -> None:
        document = self._running.pop(trial)
        document["state"] = self._hyperopt.JOB_STATE_DONE
        document["result"] = {"status": self._hyperopt.STATUS_OK, "loss": -self._objective.score(value)}
        self._finished += 1


def _expression(name: str, dimension: Dimension) -> Any:
    """The dimension in HyperOpt's terms; steps and choices by their position."""
    from hyperopt import hp

    if isinstance(dimension, Choice):
        return hp.randint(name, len(dimension.choices))
    assert isinstance(dimension, (Float, Int))
    if dimension.log:
        margin = 0.5 if isinstance(dimension, Int) else 0.0
        return hp.loguniform(name, math.log(dimension.low - margin), math.log(dimension.high + margin))
    if dimension.step is not None:
        steps = round((dimension.high - dimension.low) / dimension.step)
        return hp.uniform(name, -0.5, steps + 0.5)
    return hp.uniform(name, dimension.low, dimension.high)


def _value(dimension: Dimension, drawn: Any) -> Any:
    if isinstance(dimension, Choice):
        return dimension.choices[int(drawn)]
    assert isinstance(dimension, (Float, Int))
    value = float(drawn)
    if dimension.step is not None and not dimension.log:
        steps = round((dimension.high - dimension.low) / dimension.step)
        value = dimension.low + dimension.step * min(max(round(value), 0), steps)
    value = min(max(value, dimension.low), dimension.high)
    return round(value) if isinstance(dimension, Int) else float(value)
