"""Regularised evolution."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tuner.errors import Problem
from tuner.objective import Ending, Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, SearchSpace
from tuner.spec import Count


class Evolution(SearcherSpec):
    """Regularised evolution (Real et al. 2019, arXiv:1802.01548): mutate the best of a few, drop the oldest.

    A child differs from its parent in one hyperparameter. Failed trials are left out. A stopped trial ranks
    behind all trials that ran longer.
    """

    kind: Literal["evolution"] = "evolution"
    population: Annotated[int, Field(strict=True, ge=2)] = Field(
        default=20,
        description="number of trials that may become parents: the most recent to end (P); the first P "
        "trials are drawn at random",
    )
    tournament: Count = Field(
        default=5,
        description="number of possible parents drawn at random; the best is the parent (S)",
    )

    learns: ClassVar[bool] = True
    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True

    def problems(self, space: SearchSpace) -> list[Problem]:
        problems = super().problems(space)
        if self.tournament > self.population:
            what = f"must be at most the population, {self.population}, got {self.tournament}"
            problems.append(Problem("tournament", what))
        return problems

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _EvolutionSearcher(self, space, objective, seed)


@dataclass(frozen=True)
class _Individual:
    config: Config
    fitness: tuple[bool, int, float]  # ran to its end, iterations, score


class _EvolutionSearcher(Searcher):
    def __init__(self, spec: Evolution, space: SearchSpace, objective: Objective, seed: int) -> None:
        self._spec = spec
        self._space = space
        self._objective = objective
        self._rng = np.random.default_rng(seed)
        self._population: deque[_Individual] = deque(maxlen=spec.population)
        self._open: dict[int, Config] = {}
        self._iterations: dict[int, int] = {}
        self._founders: set[int] = set()  # trials drawn at random or given, not mutated

    def suggest(self, trial: int) -> Config:
        if len(self._founders - {trial}) < self._spec.population or not self._population:
            self._founders.add(trial)
            config = self._space.sample(self._rng)
        else:
            size = min(self._spec.tournament, len(self._population))
            drawn = self._rng.choice(len(self._population), size=size, replace=False)
            parent = max((self._population[int(index)] for index in drawn), key=lambda one: one.fitness)
            config = self._space.mutated(parent.config, self._rng)
        self._open[trial] = dict(config)
        return config

    def take(self, trial: int, config: Config) -> None:
        self._founders.add(trial)
        self._open[trial] = dict(config)

    def report(self, trial: int, iteration: int, value: float) -> None:
        self._iterations[trial] = iteration

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        config, iterations = self._open.pop(trial), self._iterations.pop(trial, 0)
        if ending == "failed" or value is None:
            self._founders.discard(trial)  # draw another trial at random in its place
            return
        fitness = (ending == "completed", iterations, self._objective.score(value))
        self._population.append(_Individual(config, fitness))
