"""Bayesian optimisation with a choice of surrogate and acquisition function."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tuner.objective import Ending, Objective
from tuner.searchers._bayes_settings import BayesSettings
from tuner.searchers._study import StudySearcher
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, Ordered, SearchSpace
from tuner.space.optuna import Parameter, parameters

if TYPE_CHECKING:
    from tuner.searchers._mixed_space import Rules


class Bayes(BayesSettings, SearcherSpec):
    """Bayesian optimisation (Jones et al. 1998; Hutter et al. 2011).

    It handles conditions and failed trials. The model assumes that each running trial ends with its expected
    value.
    """

    kind: Literal["bayes"] = "bayes"

    learns: ClassVar[bool] = True
    conditions: ClassVar[bool] = True

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _BayesSearcher(self, space, objective, seed)


class _BayesSearcher(StudySearcher):
    def __init__(self, spec: Bayes, space: SearchSpace, objective: Objective, seed: int) -> None:
        from tuner.searchers.bayes_sampler import BayesSampler

        self._space = space
        self._parameters = parameters(space.dimensions)
        sampler = BayesSampler(
            surrogate=spec.surrogate,
            acquisition=spec.acquisition,
            initial=spec.initial,
            initial_design=spec.initial_design,
            search_space={key: parameter.distribution for key, parameter in self._parameters.items()},
            rules=_rules(space, self._parameters),
            seed=seed,
        )
        super().__init__(sampler, objective)

    def suggest(self, trial: int) -> Config:
        self._discard(trial)
        asked = self._open[trial] = self._study.ask()
        return self._space.build(lambda key, _: self._parameters[key].ask(asked))

    def take(self, trial: int, config: Config) -> None:
        self._discard(trial)
        chosen = self._space.by_key(config)
        self._study.enqueue_trial(
            {key: self._parameters[key].to_optuna(value) for key, value in chosen.items()}
        )
        asked = self._open[trial] = self._study.ask()
        for key in chosen:
            self._parameters[key].ask(asked)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        asked = self._open.pop(trial)
        if ending == "failed":
            self._study.tell(asked, state=self._states.FAIL)
        elif ending == "completed" and value is not None:
            self._study.tell(asked, value)
        else:
            self._study.tell(asked, state=self._states.PRUNED)

    def _discard(self, trial: int) -> None:
        if trial in self._open:
            # Optuna ignores a trial that is pruned before its first value.
            self._study.tell(self._open.pop(trial), state=self._states.PRUNED)


def _rules(space: SearchSpace, parameters: Mapping[str, Parameter]) -> Rules | None:
    """Return the rules that say which parameters are active and which draws meet the constraints.

    ``None`` when every parameter is always active, nothing is constrained and no two draws mean the same
    value.
    """
    from tuner.searchers._mixed_space import Rules

    # A dimension with finitely many values may be drawn as a share in [0, 1]. Many shares then mean the same
    # value.
    meaning = {
        key: parameters[key].value
        for key, dimension in space.dimensions.items()
        if isinstance(dimension, Ordered) and dimension.count is not None and parameters[key].is_share
    }
    if not (space.conditional or space.constraints or meaning):
        return None

    names = {name for constraint in space.constraints for name in constraint.names}
    names |= {parent for name in space.names for parent in space.parents(name)}
    deciding = {key for key in parameters if space.name(key) in names}

    def active(drawn: Mapping[str, Any]) -> Collection[str] | None:
        # Other values do not matter here.
        config = space.build(lambda key, _: parameters[key].value(drawn[key]) if key in deciding else None)
        return space.by_key(config).keys() if space.allows(config) else None

    return Rules(active, deciding=deciding, meaning=meaning)
