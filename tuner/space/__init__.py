"""The search space: ``Float``, ``Int``, ``Choice``, constants and conditions, the same for every searcher."""

from tuner.space.dimensions import Choice, Dimension, Float, Int, When
from tuner.space.search_space import RESERVED, Config, SearchSpace
from tuner.space.values import is_json

__all__ = ["RESERVED", "Choice", "Config", "Dimension", "Float", "Int", "SearchSpace", "When", "is_json"]
