"""Grid search."""

from __future__ import annotations

from typing import ClassVar, Literal

from tuner.errors import Problem, SpecError
from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, SearchSpace


class Grid(SearcherSpec):
    """Every combination once. Continuous dimensions say how many values to take: ``points``, or ``step``."""

    kind: Literal["grid"] = "grid"

    conditions: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = True

    def problems(self, space: SearchSpace) -> list[Problem]:
        try:
            space.grid()
        except SpecError as error:
            return [problem.inside("space") for problem in error.problems]
        return []

    def size(self, space: SearchSpace) -> int:
        return len(space.grid())

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _GridSearcher(space.grid())


class _GridSearcher(Searcher):
    def __init__(self, grid: list[Config]) -> None:
        self._grid = grid

    def suggest(self, trial: int) -> Config | None:
        return dict(self._grid[trial]) if trial < len(self._grid) else None
