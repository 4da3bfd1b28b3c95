"""Quasi-random search."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from tuner.errors import Problem, SpecError
from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import CONSTRAINTS, Choice, Config, Dimension, Ordered, SearchSpace

# Points are drawn in blocks whose size is a power of two, which keeps the sequence balanced.
_BLOCK = 64

# A space must accept at least 1 draw in 200. Even at 1 in 500, the probability that none of 20,000 points is
# accepted is below 1e-17.
_POINTS_PER_TRIAL = 20_000


class Sobol(SearcherSpec):
    """A scrambled Sobol sequence (Owen 1998), which covers the space more evenly than random draws.

    Trial k is the k-th point that meets the constraints, at any concurrency. Inactive dimensions use
    coordinates of the sequence too.
    """

    kind: Literal["sobol"] = "sobol"

    conditions: ClassVar[bool] = True

    def problems(self, space: SearchSpace) -> list[Problem]:
        from scipy.stats import qmc

        problems = super().problems(space)
        if len(space.dimensions) > qmc.Sobol.MAXDIM:
            what = f"must have at most {qmc.Sobol.MAXDIM} dimensions, got {len(space.dimensions)}"
            problems.append(Problem("space", what))
        return problems

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _SobolSearcher(space, seed)


class _SobolSearcher(Searcher):
    def __init__(self, space: SearchSpace, seed: int) -> None:
        from scipy.stats import qmc

        self._space = space
        self._columns = {key: column for column, key in enumerate(space.dimensions)}
        self._sequence = qmc.Sobol(max(1, len(self._columns)), rng=np.random.default_rng(seed))
        self._accepted: list[Config] = []  # accepted points, by trial

    def suggest(self, trial: int) -> Config:
        drawn = 0
        while len(self._accepted) <= trial:
            if drawn > (trial + 1) * _POINTS_PER_TRIAL:
                raise SpecError(
                    [Problem(CONSTRAINTS, f"must allow some points, but none of {drawn} meets them")]
                )
            drawn += _BLOCK
            points = map(self._config, self._sequence.random(_BLOCK))
            self._accepted += [config for config in points if self._space.allows(config)]
        return dict(self._accepted[trial])

    def _config(self, point: npt.NDArray[np.float64]) -> Config:
        def choose(key: str, dimension: Dimension) -> Any:
            assert isinstance(dimension, (Choice, Ordered))
            return dimension.quantile(float(point[self._columns[key]]))

        return self._space.build(choose)
