"""Optuna's samplers, asked and told directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from tuner.objective import Objective
from tuner.searchers.base import Ending, FailurePenalty, Searcher, SearcherSpec
from tuner.space import Choice, Config, Dimension, Float, Int, SearchSpace
from tuner.spec import Count

if TYPE_CHECKING:
    from optuna.trial import Trial


class Optuna(SearcherSpec):
    """Optuna (Akiba et al. 2019). Conditions are searched define-by-run.

    ``sampler``: ``tpe``, the tree-structured Parzen estimator (Bergstra et al. 2011). ``startup_trials``:
    drawn at random before the model is used. ``candidates``: samples compared per suggestion.
    ``multivariate``: model the dimensions together. Running trials count as bad (constant liar), so that
    parallel trials differ.
    """

    kind: Literal["optuna"] = "optuna"
    sampler: Literal["tpe"] = "tpe"
    startup_trials: Count = 10
    candidates: Annotated[int, Field(strict=True, ge=1)] = 24
    multivariate: bool = False

    learns: ClassVar[bool] = True
    conditions: ClassVar[bool] = True

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _OptunaSearcher(self, space, objective, seed)


class _OptunaSearcher(Searcher):
    def __init__(self, spec: Optuna, space: SearchSpace, objective: Objective, seed: int) -> None:
        import warnings

        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            # constant_liar and multivariate are marked experimental; both are what parallel search needs.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                n_startup_trials=spec.startup_trials,
                n_ei_candidates=spec.candidates,
                multivariate=spec.multivariate,
                constant_liar=True,
                seed=seed,
            )
        self._study = optuna.create_study(
            direction="maximize" if objective.mode == "max" else "minimize", sampler=sampler
        )
        self._states = optuna.trial.TrialState
        self._space = space
        self._penalty = FailurePenalty(objective)
        self._open: dict[int, Trial] = {}

    def suggest(self, trial: int) -> Config:
        asked = self._study.ask()
        self._open[trial] = asked
        chosen: Config = dict(self._space.constants)
        for name, dimension in self._space.ordered():
            if self._space.active(name, chosen):
                chosen[name] = _ask(asked, name, dimension)
        return self._space.complete(chosen)

    def report(self, trial: int, iteration: int, value: float) -> None:
        self._open[trial].report(value, iteration)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        if ending == "failed" or value is None:
            self._penalty.failed(trial)
        else:
            self._penalty.saw(value)
            # Optuna ranks pruned trials by how far they came and what they had reported there.
            state = self._states.PRUNED if ending == "stopped" else self._states.COMPLETE
            self._study.tell(self._open.pop(trial), None if ending == "stopped" else value, state=state)
        for failed, worst in self._penalty.due():
            self._study.tell(self._open.pop(failed), worst, state=self._states.COMPLETE)


def _ask(trial: Trial, name: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Float) and dimension.step is not None:
        # By position: Optuna shortens a range that its step divides only up to rounding.
        steps = round((dimension.high - dimension.low) / dimension.step)
        value = dimension.low + trial.suggest_int(name, 0, steps) * dimension.step
        return min(max(value, float(dimension.low)), float(dimension.high))
    if isinstance(dimension, Float):
        value = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        return min(max(value, float(dimension.low)), float(dimension.high))
    if isinstance(dimension, Int):
        return trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log, step=dimension.step)
    assert isinstance(dimension, Choice)
    # By position: Optuna takes only plain values as categories and holds True for 1.
    return dimension.choices[trial.suggest_categorical(name, range(len(dimension.choices)))]
