"""Random search."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from zlib import crc32

import numpy as np

from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, Dimension, SearchSpace


class Random(SearcherSpec):
    """Random search (Bergstra and Bengio 2012): independent draws, the same at any concurrency."""

    kind: Literal["random"] = "random"

    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True
    defines_by_run: ClassVar[bool] = True

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _RandomSearcher(space, seed)


class _RandomSearcher(Searcher):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._given: dict[int, Config] = {}

    def suggest(self, trial: int) -> Config:
        return self._space.sample(np.random.default_rng([self._seed, trial]))

    def take(self, trial: int, config: Config) -> None:
        self._given[trial] = config

    def ask(self, trial: int, name: str, dimension: Dimension) -> Any:
        given = self._given.get(trial, {})
        if name in given:
            return given[name]
        # No draw depends on another, so the order of the names does not matter.
        return dimension.sample(np.random.default_rng([self._seed, trial, crc32(name.encode())]))
