"""Importances of hyperparameters with bootstrap intervals: PED-ANOVA (Watanabe et al. 2023) by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from tuner.report.page.data import DimensionData, ImportanceData, ImportancesData, TrialData

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LEAST_TRIALS = 20
"""With fewer trials the intervals would reach from 0 to 1."""

# Optuna's documentation asks for at least five trials among the best.
_LEAST_BEST = 5
_BEST_SHARE = 0.1

_RESAMPLES = 30

# A bootstrap sample may hold few different trials. Its importances are then equal, which widens the interval.
_EXPECTED_WARNINGS = (
    "Some regimes for parameter|Target and region quantiles|The number of trials is too small"
)

# More trials would take seconds, and narrow the intervals by little.
_MAX_TRIALS = 500


def importances(
    dimensions: Sequence[DimensionData], trials: Sequence[TrialData], *, metric: str, maximises: bool
) -> ImportancesData:
    """Return how much each dimension matters for reaching one of the best values.

    Failed trials and trials without a value do not count. An interval holds the middle 90% of the
    importances over bootstrap samples of the trials.
    """
    counted = [trial for trial in trials if trial.value is not None and trial.state != "failed"]
    if len(dimensions) < 2:
        return ImportancesData(note="Importance needs at least two searched hyperparameters.")
    if len(counted) < LEAST_TRIALS:
        have = f"{len(counted)} of the {LEAST_TRIALS} trials with a value that importance needs"
        return ImportancesData(note=f"Too few trials: there are {have}.")
    if len({trial.value for trial in counted}) < 2:
        return ImportancesData(note="All trials have the same value, so no hyperparameter matters.")
    used = [counted[i * len(counted) // _MAX_TRIALS] for i in range(_MAX_TRIALS)]
    used = used if len(counted) > _MAX_TRIALS else counted
    best_share = max(_BEST_SHARE, _LEAST_BEST / len(used))
    shares, resampled = _evaluate(dimensions, used, best_share=best_share, maximises=maximises)
    rows = []
    for number, dimension in enumerate(dimensions):
        ordered = sorted(sample[number] for sample in resampled)
        margin = len(ordered) // 20
        low, high = min(ordered[margin], shares[number]), max(ordered[-1 - margin], shares[number])
        rows.append(ImportanceData(dimension.name, shares[number], low, high))
    rows.sort(key=lambda row: -row.share)
    return ImportancesData(tuple(rows), _note(len(used), len(counted), best_share, metric))


def _note(used: int, counted: int, best_share: float, metric: str) -> str:
    of = f"{used:,} of {counted:,} trials" if used < counted else f"{used:,} trials"
    return (
        f"PED-ANOVA over {of}: what tells the best {best_share:.0%} by {metric} from the rest. "
        "The bars sum to 1; the lines are 90% bootstrap intervals. Trials that were stopped early count "
        "with the value that they had reached."
    )


def _evaluate(
    dimensions: Sequence[DimensionData], trials: Sequence[TrialData], *, best_share: float, maximises: bool
) -> tuple[list[float], list[list[float]]]:
    """Return the shares of the dimensions over all trials, and over each bootstrap sample."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # ``catch_warnings`` would also change the filters of other threads.
    warnings.filterwarnings("ignore", message=_EXPECTED_WARNINGS)

    class Resampled(optuna.Study):
        """A study that shows a sample of the trials."""

        sample: list[FrozenTrial]

        def get_trials(self, deepcopy: bool = True, states: object = None) -> list[FrozenTrial]:
            return self.sample

    storage = optuna.storages.InMemoryStorage()
    directions = optuna.study.StudyDirection
    direction = directions.MAXIMIZE if maximises else directions.MINIMIZE
    name = optuna.create_study(storage=storage, direction=direction).study_name
    study = Resampled(name, storage)
    frozen = _to_frozen_trials(dimensions, trials)
    names = [str(number) for number in range(len(dimensions))]
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=best_share)

    def shares(sample: list[FrozenTrial]) -> list[float]:
        study.sample = sample
        active = [each for each in names if any(each in trial.params for trial in sample)]
        found = evaluator.evaluate(study, active)
        total = sum(found.values())
        return [found.get(each, 0.0) / total if total > 0 else 1 / len(names) for each in names]

    rng = Random(0)
    return shares(frozen), [shares(rng.choices(frozen, k=len(frozen))) for _ in range(_RESAMPLES)]


def _to_frozen_trials(dimensions: Sequence[DimensionData], trials: Sequence[TrialData]) -> list[FrozenTrial]:
    """Return the trials in Optuna's terms; dimensions are named by their positions."""
    from optuna.trial import FrozenTrial, TrialState

    distributions = {str(number): _distribution(each) for number, each in enumerate(dimensions)}
    return [
        FrozenTrial(
            number=trial.number,
            state=TrialState.COMPLETE,
            value=trial.value,
            datetime_start=None,
            datetime_complete=None,
            params=(params := _params(dimensions, trial)),
            distributions={name: distributions[name] for name in params},
            user_attrs={},
            system_attrs={},
            intermediate_values={},
            trial_id=trial.number,
        )
        for trial in trials
    ]


def _params(dimensions: Sequence[DimensionData], trial: TrialData) -> dict[str, float | int]:
    places = zip(dimensions, trial.places, strict=True)
    return {
        str(number): place if dimension.kind == "number" and not dimension.is_whole else int(place)
        for number, (dimension, place) in enumerate(places)
        if place is not None
    }


def _distribution(dimension: DimensionData) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.kind == "values":
        return CategoricalDistribution(tuple(range(max(1, len(dimension.values)))))
    if dimension.is_whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.is_log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)
