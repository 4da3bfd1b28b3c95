"""Contracts of searchers, schedulers and trainables: classes of pytest tests to inherit from.

    from tuner.testing import SearcherContract


    class TestMySearcher(SearcherContract):
        spec = MySearcher()

Nothing here starts a cluster. Only the tests import ``pytest`` and ``hypothesis``.
"""

from tuner.testing._scheduler_contract import SchedulerContract
from tuner.testing._searcher_contract import SearcherContract
from tuner.testing._simulation import Run, Scenario, SchedulerCall, simulate
from tuner.testing._spaces import ARCHITECTURE_SPACES, CONDITIONAL_SPACES, SPACES
from tuner.testing._trainable_contract import TrainableContract
from tuner.testing._types import Fate, Mode

__all__ = [
    "ARCHITECTURE_SPACES",
    "CONDITIONAL_SPACES",
    "SPACES",
    "SchedulerCall",
    "Fate",
    "Mode",
    "Run",
    "Scenario",
    "SchedulerContract",
    "SearcherContract",
    "TrainableContract",
    "simulate",
]
