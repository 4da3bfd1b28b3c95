"""Scales: from data to shares of an axis, with ticks that a person would choose."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.report.page._words import brief, cut
from tuner.report.page.data import DimensionData

# More labels would run into each other on a narrow display; those of counted things are short.
_MAX_LABELS = 6
_MAX_COUNTS = 9

# A value far outside the axis is drawn this far outside, since browsers lose precision with large numbers.
_FAR = 2.0


@dataclass(frozen=True)
class Scale:
    """Maps data to [0, 1]; ``ticks`` are (value, label)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    is_log: bool = False

    def at(self, value: float) -> float:
        """Return the position of a value as a share of the axis, at most a little outside [0, 1]."""
        if self.is_log:
            if value <= 0:
                return -_FAR
            low = math.log(self.low)
            share = (math.log(value) - low) / (math.log(self.high) - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, -_FAR), 1 + _FAR)


def linear(values: Sequence[float], *, whole: bool = False, snug: bool = False) -> Scale:
    """Return a scale over all values. ``whole``: ticks at whole numbers only. ``snug``: no margin."""
    low, high = min(values), max(values)
    if low == high:
        pad = max(1.0, abs(low) * 0.05) if whole else abs(low) * 0.05 or 0.5
        return Scale(low - pad, high + pad, ((low, brief(low)),))
    step = _step((high - low) / ((_MAX_COUNTS if whole and high < 10_000 else _MAX_LABELS) - 1))
    step = max(1.0, step) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple((index * step, _label(index * step)) for index in range(first, last + 1))
    pad = 0.0 if snug else (high - low) * 0.05
    return Scale(low - pad, high + pad, ticks)


def logarithmic(low: float, high: float, *, whole: bool = False) -> Scale:
    """Return a logarithmic scale from ``low`` to ``high``, both positive, with a margin."""
    if low == high:
        return linear([low], whole=whole)
    decades = math.log10(high) - math.log10(low)
    pad = min(10.0 ** (0.04 * decades), 10.0)
    every = max(1, math.ceil(decades / (_MAX_LABELS - 1)))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if decades > 2.2 else (1, 3) if decades > 1.5 else (1, 2, 5) if decades > 0.5 else ()
    edge = 1 + 1e-9
    positions = [f * 10.0**power for power in powers if power % every == 0 for f in factors]
    inside = [at for at in positions if low / edge <= at <= high * edge and (not whole or at >= 1)]
    if len(inside) < 2:
        inside = [at for at, _ in linear([low, high], whole=whole, snug=True).ticks if at > 0] or [low, high]
    lowest, highest = max(low / pad, sys.float_info.min), min(high * pad, sys.float_info.max)
    return Scale(lowest, highest, tuple((at, _label(at)) for at in inside), is_log=True)


def of_values(values: Sequence[float], *, whole: bool = False) -> Scale:
    """Return a logarithmic scale for positive values that span more than two decades, else a linear one."""
    low, high = min(values), max(values)
    if low > 0 and math.log10(high) - math.log10(low) > 2:
        return logarithmic(low, high, whole=whole)
    return linear(values, whole=whole)


def of_dimension(dimension: DimensionData) -> Scale:
    """Return the scale of a hyperparameter over its whole range."""
    low, high = dimension.low, dimension.high
    if dimension.kind == "values":
        every = max(1, -(-len(dimension.values) // _MAX_LABELS))
        names = [cut(brief(value), 13) for value in dimension.values]
        ticks = tuple((float(at), name) for at, name in enumerate(names) if at % every == 0)
        return Scale(-0.5, max(high, 0.0) + 0.5, ticks)
    if dimension.is_log and 0 < low < high:
        return logarithmic(low, high, whole=dimension.is_whole)
    scale = linear([low, high], whole=dimension.is_whole)
    return Scale(scale.low, scale.high, tuple(tick for tick in scale.ticks if low <= tick[0] <= high))


def visible(values: Sequence[float], best: float | None) -> tuple[float, float, bool]:
    """Return the range to show, and whether outliers lie outside: one exploding loss would flatten the rest.

    ``values`` must not be empty.
    """
    ordered = sorted(min(max(value, -1e300), 1e300) for value in values)
    lowest, highest = ordered[0], ordered[-1]
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    if best is not None:
        low, high = min(low, best), max(high, best)
    margin = high - low
    if margin == 0 or (lowest >= low - 3 * margin and highest <= high + 3 * margin):
        return lowest, highest, False
    inside = [value for value in ordered if low - margin <= value <= high + margin]
    return inside[0], inside[-1], True


def _label(value: float) -> str:
    rounded = float(f"{value:.6g}")
    if rounded == 0:
        return "0"
    if rounded.is_integer() and 1000 <= abs(rounded) < 1e7:
        return f"{rounded:,.0f}"
    return f"{rounded:.6g}" if 1e-4 <= abs(rounded) < 1e7 else _scientific(rounded)


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * factor for factor in (1, 2, 5) if rough <= power * factor * 1.0001), power * 10)
