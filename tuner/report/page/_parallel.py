"""Parallel coordinates: an axis for each hyperparameter, and a line for each trial.

The axes are horizontal, one below the other, so that long names and many axes have room on a narrow display.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuner.report.page._heatmap import LEVELS, level
from tuner.report.page._plot import Figure, hint, legend, percent, x_ticks
from tuner.report.page._scales import Scale, linear, of_dimension, visible
from tuner.report.page._scatter import axis_name
from tuner.report.page._words import brief, text, thinned
from tuner.report.page.data import PageData, TrialData

_MAX_TRIALS = 300

# Pixels between two axes, above the first and below the last.
_BETWEEN = 64
_TOP = 22
_BOTTOM = 26

# Half the length of the mark of a value whose neighbours are inactive.
_STUB = 5


def parallel_coordinates(page: PageData) -> Figure | None:
    """Draw the hyperparameters of each trial and its value; ``None`` if there is nothing to compare."""
    counted = [page.trials[i] for i in _positions(page) if page.trials[i].state != "failed"]
    counted = [trial for trial in counted if trial.value is not None]
    if len(counted) < 2 or not page.dimensions:
        return None
    drawn = thinned(counted, _MAX_TRIALS)
    best = page.best_trial
    low, high, _ = visible([trial.value or 0.0 for trial in counted], None if best is None else best.value)
    worst_value, best_value = (low, high) if page.maximises else (high, low)
    scales = [*(of_dimension(each) for each in page.dimensions), linear([low, high])]
    names = [*(axis_name(each) for each in page.dimensions), page.metric]
    height = _TOP + _BETWEEN * (len(scales) - 1) + _BOTTOM
    paths: list[list[str]] = [[] for _ in range(LEVELS)]
    for trial in reversed(drawn):
        if trial is not best and trial.value is not None:
            path = _path(trial, scales)
            paths[level(trial.value, worst_value, best_value)].append(
                f'<path d="{path}">{_hint(trial)}</path>'
            )
    lines = [f'<g class="s{number}">{"".join(group)}</g>' for number, group in enumerate(paths) if group]
    if best is not None:
        lines.append(f'<path class="best" d="{_path(best, scales)}">{_hint(best)}</path>')
    axes = "".join(
        _axis(name, scale, _y(row)) for row, (name, scale) in enumerate(zip(names, scales, strict=True))
    )
    body = (
        f'<div class="plot parallel"><div class="area" style="height:{height}px">'
        f'<svg class="chart" role="img" aria-label="parallel coordinates of {len(drawn)} trials">'
        f'<svg class="lines" viewBox="0 0 1000 {height}" preserveAspectRatio="none" width="100%" '
        f'height="100%">{"".join(lines)}</svg>{axes}</svg></div></div>'
    )
    notes = ["A line has a gap where a hyperparameter is inactive."] if _has_gaps(drawn) else []
    if len(drawn) < len(counted):
        notes.append(f"{len(drawn):,} of {len(counted):,} trials are drawn, from the best to the worst.")
    swatches = "".join(f'<i class="b{number}"></i>' for number in range(LEVELS))
    key = legend(
        [("best", "best trial"), (f'<span class="ramp">{swatches}</span>', f"worse to better {page.metric}")]
    )
    return Figure("parallel", "Parallel coordinates", body, tuple(notes), key)


def _positions(page: PageData) -> list[int]:
    """Return the positions in ``page.trials``, the best first."""
    by_number = {trial.number: position for position, trial in enumerate(page.trials)}
    return [by_number[number] for number in page.ranked]


def _has_gaps(trials: Sequence[TrialData]) -> bool:
    return any(place is None for trial in trials for place in trial.places)


def _y(row: int) -> int:
    return _TOP + _BETWEEN * row


def _path(trial: TrialData, scales: Sequence[Scale]) -> str:
    """Return the trial's line, which has gaps at inactive hyperparameters."""
    points = [
        None if place is None else (round(1000 * scale.at(place)), _y(row))
        for row, (place, scale) in enumerate(zip([*trial.places, trial.value], scales, strict=True))
    ]
    parts = []
    for row, point in enumerate(points):
        if point is None:
            continue
        has_before = row > 0 and points[row - 1] is not None
        has_after = row + 1 < len(points) and points[row + 1] is not None
        if has_before:
            parts.append(f"L{point[0]} {point[1]}")
        elif has_after:
            parts.append(f"M{point[0]} {point[1]}")
        else:
            parts.append(f"M{point[0]} {point[1] - _STUB}v{2 * _STUB}")
    return "".join(parts)


def _axis(name: str, scale: Scale, y: int) -> str:
    ticks = "".join(x_ticks(scale, y=str(y)))
    return f'<text class="name" x="{percent(0)}" y="{y - 7}">{text(name)}</text>{ticks}'


def _hint(trial: TrialData) -> str:
    return hint(f"trial {trial.id}: {brief(trial.value)}")
