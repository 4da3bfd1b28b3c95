"""``StudySearcher``: the base of searchers that ask and tell an Optuna study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.objective import Objective
from tuner.searchers.base import Searcher

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import Trial


class StudySearcher(Searcher):
    """Holds a study, and the study's trial for each unfinished trial of the sweep."""

    def __init__(self, sampler: BaseSampler, objective: Objective) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        up, down = optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE
        directions = [up if each.mode == "max" else down for each in objective.all]
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        self._states = optuna.trial.TrialState
        self._open: dict[int, Trial] = {}

    def report(self, trial: int, iteration: int, value: float) -> None:
        self._open[trial].report(value, iteration)
