"""The search space: dimensions, constants, conditions and constraints, independent of the searcher."""

from tuner.space.architecture import Architecture, Step
from tuner.space.choices import Choice, Ordinal
from tuner.space.constraints import Arithmetic
from tuner.space.dimension import Dimension, Ordered, When
from tuner.space.encoding import Encoding
from tuner.space.kinds import misplaced_problems
from tuner.space.ranges import Float, Int
from tuner.space.reading import CONSTRAINTS, RESERVED, numbers_in
from tuner.space.repeat import Repeat
from tuner.space.search_space import Config, SearchSpace
from tuner.space.values import decoded, is_json, same

__all__ = [
    "CONSTRAINTS",
    "RESERVED",
    "Architecture",
    "Arithmetic",
    "Choice",
    "Config",
    "Dimension",
    "Encoding",
    "Float",
    "Int",
    "Ordered",
    "Ordinal",
    "Repeat",
    "SearchSpace",
    "Step",
    "When",
    "decoded",
    "is_json",
    "misplaced_problems",
    "numbers_in",
    "same",
]
