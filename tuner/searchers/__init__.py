"""The table of searchers: short name -> the class of its settings. Importing it imports no search library."""

from tuner.searchers._grid import Grid
from tuner.searchers._hyperopt import HyperOpt
from tuner.searchers._optuna import Optuna
from tuner.searchers._random import Random
from tuner.searchers.base import Ending, Searcher, SearcherSpec

SEARCHERS: dict[str, type[SearcherSpec]] = {
    "grid": Grid,
    "random": Random,
    "optuna": Optuna,
    "hyperopt": HyperOpt,
}

__all__ = ["SEARCHERS", "Ending", "Grid", "HyperOpt", "Optuna", "Random", "Searcher", "SearcherSpec"]
