"""Translate a space into Optuna's distributions, and ask its trials for configurations, define-by-run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tuner.errors import Problem, SpecError
from tuner.space.choices import Choice
from tuner.space.dimension import Dimension, Ordered
from tuner.space.ranges import Float, Int

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial


# Optuna may list all values of an integer. With more values than this, one step is too small to matter.
_MAX_VALUES = 2**20

# Optuna computes with integers as floats, which are exact up to here.
_MAX_EXACT = 2**53


class Parameter:
    """The Optuna parameter for a dimension, and the conversion of values in both directions.

    Most dimensions use their own values. There are two exceptions:

    - A dimension with a prior or very many values uses its share of the prior, in [0, 1]. So does a choice
      if ``numeric`` is true.
    - A list of values, a float with steps, or an integer beyond ``_MAX_EXACT`` uses positions from 0.
      Otherwise Optuna would accept only plain values as categories, treat True as 1, and shorten a range
      that its step divides only up to rounding.
    """

    def __init__(self, key: str, dimension: Dimension, *, numeric: bool = False) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        self.key = key
        self.distribution: BaseDistribution
        self.value: Callable[[Any], Any]
        """Optuna's value -> the dimension's value."""
        self.to_optuna: Callable[[Any], Any]
        """The inverse of ``value``."""
        self.is_share = False
        """Whether Optuna's value is a share of the prior."""
        if isinstance(dimension, Choice) and not numeric:
            self.distribution = CategoricalDistribution(tuple(range(len(dimension.choices))))
            self.value, self.to_optuna = dimension.choices.__getitem__, dimension.index
        elif isinstance(dimension, Choice) or (
            isinstance(dimension, Ordered)
            and (dimension.prior != "uniform" or (dimension.count or 0) > _MAX_VALUES)
        ):
            self.distribution, self.is_share = FloatDistribution(0.0, 1.0), True
            self.value, self.to_optuna = dimension.quantile, dimension.share
        elif isinstance(dimension, Int) and max(abs(dimension.low), abs(dimension.high)) <= _MAX_EXACT:
            self.distribution = IntDistribution(
                dimension.low, dimension.high, log=dimension.log, step=dimension.step
            )
            self.value, self.to_optuna = int, int
        elif isinstance(dimension, Int):
            self.distribution = IntDistribution(0, dimension.count - 1)
            self.value = lambda index: dimension.low + index * dimension.step
            self.to_optuna = lambda value: (value - dimension.low) // dimension.step
        elif isinstance(dimension, Ordered) and (count := dimension.count) is not None:
            self.distribution = IntDistribution(0, count - 1)
            self.value = lambda index: dimension.at((index + 0.5) / count)
            self.to_optuna = lambda value: int(dimension.place(value) * count)
        elif isinstance(dimension, Float):
            low, high = float(dimension.low), float(dimension.high)
            self.distribution = FloatDistribution(low, high, log=dimension.log)
            self.value = self.to_optuna = lambda value: min(max(float(value), low), high)
        else:
            what = f"Optuna cannot search dimensions of type {type(dimension).__name__}"
            raise SpecError([Problem(key, what)])

    def ask(self, trial: Trial) -> Any:
        """Return the dimension's value that the trial suggests."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return self.value(trial.suggest_categorical(self.key, choices))
            case FloatDistribution(low=low, high=high, log=log):
                return self.value(trial.suggest_float(self.key, low, high, log=log))
            case IntDistribution(low=low, high=high, log=log, step=step):
                return self.value(trial.suggest_int(self.key, low, high, log=log, step=step))
        raise AssertionError(self.distribution)


def ask(trial: Trial, name: str, dimension: Dimension) -> Any:
    """Return what the trial suggests for a ``Float``, ``Int`` or ``Choice``, in Optuna's own terms.

    Unlike with ``Parameter``, values that were enqueued in the study are used as they are. Raises ValueError
    if another trial has a dimension of another kind, or a choice of other values, with this name.
    """
    match dimension:
        case Float(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case Int(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case Choice(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise AssertionError(dimension)


def parameters(dimensions: dict[str, Dimension], *, numeric: bool = False) -> dict[str, Parameter]:
    """Return key -> parameter. Raises SpecError for a dimension that Optuna cannot search."""
    return {key: Parameter(key, dimension, numeric=numeric) for key, dimension in dimensions.items()}
