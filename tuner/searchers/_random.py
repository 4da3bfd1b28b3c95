"""Random search."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, SearchSpace


class Random(SearcherSpec):
    """Random search (Bergstra and Bengio 2012): independent draws, the same at any concurrency."""

    kind: Literal["random"] = "random"

    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _RandomSearcher(space, seed)


class _RandomSearcher(Searcher):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed

    def suggest(self, trial: int) -> Config:
        return self._space.sample(np.random.default_rng([self._seed, trial]))
