"""Distributed hyperparameter tuning on Ray Tune: a ``Sweep`` is a question, a ``Report`` is its answer."""

__version__ = "0.1.0"

from tuner.engine import resume, run
from tuner.errors import ClusterError, ResultsError, SpecError, TrialError, TunerError
from tuner.objective import Budget, Objective, Resources
from tuner.report import Report, Trial
from tuner.schedulers import (
    Asha,
    AshaStop,
    Curve,
    Fifo,
    HyperBand,
    Median,
    Pasha,
    Pbt,
    Percentile,
    Replay,
    SuccessiveHalving,
)
from tuner.searchers import Bayes, Evolution, Grid, HyperOpt, Optuna, Random, Reinforce, Sobol
from tuner.space import Architecture, Choice, Float, Int, Ordinal, SearchSpace
from tuner.sweep import Sweep

__all__ = [
    "Architecture",
    "Asha",
    "AshaStop",
    "Bayes",
    "Budget",
    "Choice",
    "ClusterError",
    "Curve",
    "Evolution",
    "Fifo",
    "Float",
    "Grid",
    "HyperBand",
    "HyperOpt",
    "Int",
    "Median",
    "Objective",
    "Optuna",
    "Ordinal",
    "Pasha",
    "Pbt",
    "Percentile",
    "Random",
    "Reinforce",
    "Replay",
    "Report",
    "Resources",
    "ResultsError",
    "SearchSpace",
    "Sobol",
    "SpecError",
    "SuccessiveHalving",
    "Sweep",
    "Trial",
    "TrialError",
    "TunerError",
    "resume",
    "run",
]
