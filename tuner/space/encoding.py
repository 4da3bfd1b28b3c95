"""``Encoding``: convert configurations to vectors of numbers with a mask of active columns, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice
from tuner.space.dimension import Dimension, Ordered
from tuner.space.search_space import Config, SearchSpace


class Encoding:
    """The columns of a space, in the order of its dimensions.

    A number or an ordinal has one column: its place in [0, 1], on its logarithmic scale if it has one. A
    choice has one column per value: 1 for the chosen value, 0 for the others. Constants have none. Raises
    SpecError for a dimension of another kind.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.columns: dict[str, slice] = {}
        """Dimension's key -> its columns."""
        self.width = 0
        """Number of columns (d)."""
        for key, dimension in space.dimensions.items():
            width = _width(key, dimension)
            self.columns[key] = slice(self.width, self.width + width)
            self.width += width

    def encode(self, config: Mapping[str, Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return ``config`` as d numbers in [0, 1] and a mask (d) of active columns.

        Inactive columns are 0.
        """
        vector, active = np.zeros(self.width), np.zeros(self.width, dtype=bool)
        for key, value in self._space.by_key(config).items():
            dimension, columns = self._space.dimensions[key], self.columns[key]
            active[columns] = True
            if isinstance(dimension, Choice):
                vector[columns.start + dimension.index(value)] = 1.0
            elif isinstance(dimension, Ordered):
                vector[columns] = dimension.place(value)
        return vector, active

    def decode(self, vector: npt.NDArray[np.float64]) -> Config:
        """Return the configuration for d numbers. A choice takes the value of its largest column.

        Inactive columns and constraints are ignored.
        """

        def choose(key: str, dimension: Dimension) -> Any:
            part = vector[self.columns[key]]
            if isinstance(dimension, Choice):
                return dimension.choices[int(np.argmax(part))]
            assert isinstance(dimension, Ordered)
            return dimension.at(min(max(float(part[0]), 0.0), 1.0))

        return self._space.build(choose)


def _width(key: str, dimension: Dimension) -> int:
    if isinstance(dimension, Choice):
        return len(dimension.choices)
    if isinstance(dimension, Ordered):
        return 1
    raise SpecError([Problem(key, f"a {type(dimension).__name__.lower()} cannot be written as numbers")])
