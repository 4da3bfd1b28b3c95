"""Search algorithms. ``SEARCHERS`` maps each short name to its settings class.

No search library is imported.
"""

from tuner.objective import Ending
from tuner.searchers._bayes import Bayes
from tuner.searchers._evolution import Evolution
from tuner.searchers._grid import Grid
from tuner.searchers._hyperopt import HyperOpt
from tuner.searchers._optuna import Optuna
from tuner.searchers._random import Random
from tuner.searchers._reinforce import Reinforce
from tuner.searchers._sobol import Sobol
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.searchers.beginning import start

SEARCHERS: dict[str, type[SearcherSpec]] = {
    "grid": Grid,
    "random": Random,
    "sobol": Sobol,
    "optuna": Optuna,
    "hyperopt": HyperOpt,
    "bayes": Bayes,
    "evolution": Evolution,
    "reinforce": Reinforce,
}

__all__ = [
    "SEARCHERS",
    "Bayes",
    "Ending",
    "Evolution",
    "Grid",
    "HyperOpt",
    "Optuna",
    "Random",
    "Reinforce",
    "Searcher",
    "SearcherSpec",
    "Sobol",
    "start",
]
