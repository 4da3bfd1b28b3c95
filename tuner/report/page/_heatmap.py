"""The heat map of two hyperparameters: the cells of a grid, or bins of the ranges.

The page draws one pair. Its script draws any other from ``cells_data``, in the same way.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.report.page._plot import Figure, hint
from tuner.report.page._scales import visible
from tuner.report.page._words import brief, cut, rounded, text
from tuner.report.page.data import DimensionData, PageData, TrialData
from tuner.report.phrases import several

LEVELS = 9
"""The number of colours, from the worst to the best."""

# Up to this number of different values, each has its own cell.
_MAX_VALUES = 12
_BINS = 10

_LONGEST_LABEL = 12

# If the labels below the map have more characters in total, they are slanted to fit on a narrow display. The
# script has the same number.
_MAX_HORIZONTAL_CHARACTERS = 26

_CODES = "0123456789abcdefghijklmnopqrstuvwxyz"
_INACTIVE = "-"


@dataclass(frozen=True)
class Bins:
    """The cells along one hyperparameter."""

    labels: tuple[str, ...]
    """One for each cell. If cells are ranges: their lower ends, then the upper end of the last cell."""
    is_exact: bool
    """Whether a cell holds one value."""
    codes: tuple[int | None, ...]
    """The cell of each trial; ``None``: inactive."""

    @property
    def count(self) -> int:
        """The number of cells."""
        return len(self.labels) if self.is_exact else len(self.labels) - 1

    def name(self, cell: int) -> str:
        """Return the value or the range of a cell, as text."""
        return self.labels[cell] if self.is_exact else f"{self.labels[cell]} to {self.labels[cell + 1]}"


def heat_map(page: PageData) -> Figure | None:
    """Draw the two most important hyperparameters.

    Returns ``None`` if the sweep has fewer than two hyperparameters, or fewer than two trials with a value.
    """
    counted = _trials_with_value(page)
    if len(counted) < 2 or len(page.dimensions) < 2:
        return None
    bins = [_bins(page, number, counted) for number in range(len(page.dimensions))]
    first, second = _default_pair(page)
    x, y = bins[first], bins[second]
    low, high, _ = visible([trial.value for trial in counted if trial.value is not None], None)
    cells = _best_values(counted, x, y, maximises=page.maximises)
    body = _controls(page, first, second) + _svg(
        x,
        y,
        cells,
        names=(_name(page.dimensions[first]), _name(page.dimensions[second])),
        worst=low if page.maximises else high,
        best=high if page.maximises else low,
    )
    exact = x.is_exact and y.is_exact
    what = "A cell is one pair of values" if exact else "A cell is a range of values"
    note = f"{what}. Its colour is the best {page.metric} among its trials, whatever their other values are."
    legend = _colour_legend(low if page.maximises else high, high if page.maximises else low)
    return Figure("heatmap", "Heat map of two hyperparameters", body, (note,), legend)


def cells_data(page: PageData) -> dict[str, Any] | None:
    """Return the data for other pairs. ``codes`` has one character per trial: its cell along the axis."""
    counted = _trials_with_value(page)
    if len(counted) < 2 or len(page.dimensions) < 2:
        return None
    bins = [_bins(page, number, counted) for number in range(len(page.dimensions))]
    low, high, _ = visible([trial.value for trial in counted if trial.value is not None], None)
    return {
        "axes": [
            {
                "name": _name(dimension),
                "labels": list(each.labels),
                "exact": each.is_exact,
                "codes": "".join(_INACTIVE if code is None else _CODES[code] for code in each.codes),
            }
            for dimension, each in zip(page.dimensions, bins, strict=True)
        ],
        "values": [rounded(float(trial.value or 0.0)) for trial in counted],
        "worst": rounded(float(low if page.maximises else high)),
        "best": rounded(float(high if page.maximises else low)),
        "metric": page.metric,
        "max": page.maximises,
    }


def level(value: float, worst: float, best: float) -> int:
    """Return the colour of a value, from 0 for the worst."""
    share = 1.0 if worst == best else (value - worst) / (best - worst)
    return min(LEVELS - 1, max(0, math.floor(share * LEVELS)))


def _trials_with_value(page: PageData) -> list[TrialData]:
    return [trial for trial in page.trials if trial.value is not None and trial.state != "failed"]


def _default_pair(page: PageData) -> tuple[int, int]:
    """Return the positions of the two most important hyperparameters, in the order of the space."""
    names = [dimension.name for dimension in page.dimensions]
    known = [names.index(row.name) for row in page.importances.rows]
    by_activity = sorted(
        range(len(names)), key=lambda number: -sum(trial.places[number] is not None for trial in page.trials)
    )
    first, second = (known or by_activity)[:2]
    return min(first, second), max(first, second)


def _bins(page: PageData, number: int, counted: Sequence[TrialData]) -> Bins:
    dimension = page.dimensions[number]
    places = [trial.places[number] for trial in counted]
    if dimension.kind == "values" and len(dimension.values) <= len(_CODES):
        names = [cut(brief(value), _LONGEST_LABEL) for value in dimension.values]
        return Bins(tuple(names), True, tuple(None if at is None else int(at) for at in places))
    different = sorted({at for at in places if at is not None})
    if dimension.is_whole and dimension.high - dimension.low < _MAX_VALUES:
        different = [float(at) for at in range(int(dimension.low), int(dimension.high) + 1)]
    # Values of a float that do not repeat were drawn from a range: a cell for each would hold one trial.
    is_listed = dimension.kind != "number" or dimension.is_whole or 2 * len(different) <= len(counted)
    if 0 < len(different) <= _MAX_VALUES and is_listed:
        labels = tuple(_number(at, dimension) for at in different)
        return Bins(labels, True, tuple(None if at is None else different.index(at) for at in places))
    edges = _edges(dimension)
    codes = (
        None if at is None else min(max(bisect_right(edges, at) - 1, 0), len(edges) - 2) for at in places
    )
    return Bins(tuple(_number(edge, dimension) for edge in edges), False, tuple(codes))


def _edges(dimension: DimensionData) -> list[float]:
    low, high = dimension.low, dimension.high
    if dimension.is_log and 0 < low < high:
        span = math.log(high) - math.log(low)
        edges = [math.exp(math.log(low) + i * span / _BINS) for i in range(_BINS + 1)]
    else:
        edges = [low + i * (high - low) / _BINS for i in range(_BINS + 1)]
    if dimension.is_whole or dimension.kind == "values":
        edges = sorted({float(math.ceil(edge)) for edge in edges})
    return edges if len(edges) > 1 else [low, low + 1]


def _name(dimension: DimensionData) -> str:
    return f"{dimension.name} (number of layers)" if dimension.kind == "layers" else dimension.name


def _number(value: float, dimension: DimensionData) -> str:
    if dimension.kind == "values":
        return cut(brief(dimension.values[min(int(value), len(dimension.values) - 1)]), _LONGEST_LABEL)
    return str(int(value)) if dimension.is_whole else brief(float(f"{value:.3g}"))


def _best_values(
    counted: Sequence[TrialData], x: Bins, y: Bins, *, maximises: bool
) -> dict[tuple[int, int], tuple[float, int]]:
    """Return cell -> (its best value, the number of its trials)."""
    better = max if maximises else min
    cells: dict[tuple[int, int], tuple[float, int]] = {}
    for trial, across, up in zip(counted, x.codes, y.codes, strict=True):
        if across is not None and up is not None and trial.value is not None:
            best, count = cells.get((across, up), (trial.value, 0))
            cells[across, up] = better(best, trial.value), count + 1
    return cells


def _svg(
    x: Bins,
    y: Bins,
    cells: dict[tuple[int, int], tuple[float, int]],
    *,
    names: tuple[str, str],
    worst: float,
    best: float,
) -> str:
    width, height = 100 / x.count, 100 / y.count
    parts = []
    for (across, up), (value, count) in sorted(cells.items()):
        title = (
            f"{names[0]} {x.name(across)}, {names[1]} {y.name(up)}: {brief(value)}, {several(count, 'trial')}"
        )
        parts.append(
            f'<rect class="q{level(value, worst, best)}" x="{across * width:.2f}%" '
            f'y="{(y.count - 1 - up) * height:.2f}%" width="{width:.2f}%" height="{height:.2f}%">'
            f"{hint(title)}</rect>"
        )
        if x.count <= 6 and y.count <= 12:
            parts.append(
                f'<text class="t{level(value, worst, best)}" x="{(across + 0.5) * width:.2f}%" '
                f'y="{(y.count - up - 0.5) * height:.2f}%" dy="4">{text(brief(float(f"{value:.3g}")))}</text>'
            )
    shift = 0.5 if x.is_exact else 0.0
    is_slanted = len("".join(x.labels[:: 1 if x.is_exact else 2])) > _MAX_HORIZONTAL_CHARACTERS
    parts += [
        f'<text class="x{" slanted" if is_slanted else ""}" x="{(number + shift) * width:.2f}%" y="100%" '
        f'dy="16">{text(label)}</text>'
        for number, label in enumerate(x.labels)
        if x.is_exact or number % 2 == 0
    ]
    shift = 0.5 if y.is_exact else 0.0
    parts += [
        f'<text class="y" x="0%" y="{(y.count - number - shift) * height:.2f}%" dx="-7" dy="4">'
        f"{text(label)}</text>"
        for number, label in enumerate(y.labels)
        if y.is_exact or number % 2 == 0
    ]
    return (
        f'<div class="plot heat{" steep" if is_slanted else ""}" id="heat">'
        f'<div class="yname">{text(names[1])}</div>'
        f'<div class="area" style="height:{min(420, max(160, 34 * y.count))}px">'
        f'<svg class="chart" role="img" aria-label="{text(names[1])} against {text(names[0])}">'
        f'{"".join(parts)}</svg></div><div class="xname">{text(names[0])}</div></div>'
    )


def _controls(page: PageData, first: int, second: int) -> str:
    """Return the controls for another pair, which appear if scripts run."""
    if len(page.dimensions) == 2:
        return ""

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{number}"{" selected" if number == chosen else ""}>{text(each.name)}</option>'
            for number, each in enumerate(page.dimensions)
        )

    return (
        f'<p class="controls js"><label>across <select id="heat-x">{options(first)}</select></label>'
        f'<label>up <select id="heat-y">{options(second)}</select></label>'
        '<label>colour <select id="heat-of"><option value="best">best in the cell</option>'
        '<option value="mean">mean of the cell</option></select></label></p>'
    )


def _colour_legend(worst: float, best: float) -> str:
    swatches = "".join(f'<i class="b{number}"></i>' for number in range(LEVELS))
    return (
        f'<p class="legend"><span>{text(brief(worst))} (worse) <span class="ramp">{swatches}</span>'
        f"{text(brief(best))} (better)</span></p>"
    )
