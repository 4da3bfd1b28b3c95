"""Grid search."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from tuner.errors import Problem, SpecError
from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.searchers.earlier import completed
from tuner.space import Config, SearchSpace
from tuner.space.values import same


class Grid(SearcherSpec):
    """Grid search: every combination once. A continuous dimension needs ``points`` or ``step``."""

    kind: Literal["grid"] = "grid"

    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = True

    def problems(self, space: SearchSpace) -> list[Problem]:
        if space.is_open:
            return super().problems(space)
        try:
            space.grid()
        except SpecError as error:
            return [problem.inside("space") for problem in error.problems]
        return []

    def size(self, space: SearchSpace) -> int:
        return len(self._configs(space))

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _GridSearcher(self._configs(space))

    def _configs(self, space: SearchSpace) -> list[Config]:
        """Return the initial points, then the grid, without what an earlier sweep has completed."""
        initial = [space.build(lambda key, _, p=point: space.value(key, p)) for point in self.initial_points]  # type: ignore[misc]
        done = completed(Path(self.warm_start).expanduser(), space) if self.warm_start else []
        if not initial and not done:
            return space.grid()
        configs: list[Config] = []
        for config in [*initial, *space.grid()]:
            if not any(same(config, other) for other in (*done, *configs[: len(initial)])):
                configs.append(config)
        return configs


class _GridSearcher(Searcher):
    def __init__(self, grid: list[Config]) -> None:
        self._grid = grid

    def suggest(self, trial: int) -> Config | None:
        return dict(self._grid[trial]) if trial < len(self._grid) else None
