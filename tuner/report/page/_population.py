"""Figures of population-based training: how hyperparameters changed, and which trial copied which."""

from __future__ import annotations

from collections.abc import Mapping

from tuner.report.page._plot import Figure, Plot, hint, legend, line_key, percent, x_ticks
from tuner.report.page._scales import linear, of_dimension
from tuner.report.page._scatter import axis_name
from tuner.report.page._words import thinned
from tuner.report.page.data import DimensionData, PageData, TrialData

_MAX_TRIALS = 100

_ROW_HEIGHT = 20  # pixels of a trial's row in the lineage


def schedules(page: PageData) -> Figure | None:
    """Draw the values of each hyperparameter that changed. Returns ``None`` if none changed."""
    changed = [
        dimension
        for dimension in page.dimensions
        if dimension.kind == "number" and any(_changes_in(trial, dimension.name) for trial in page.trials)
    ]
    if not changed:
        return None
    ancestry = _ancestry(page)
    most = max(trial.iterations for trial in page.trials)
    plots = []
    for dimension in changed:
        x = linear([0.0, float(max(most, 1))], whole=True, snug=True)
        plot = Plot(x, of_dimension(dimension), height=210, labels=("iteration", axis_name(dimension)))
        for trial in thinned(page.trials, _MAX_TRIALS):
            if trial.number != page.best:
                plot.line(_steps(trial, dimension), "c completed", f"trial {trial.id}")
        for began, ended, number in ancestry:
            ancestor = page.trials[_position(page, number)]
            steps = _steps(ancestor, dimension, since=began, until=ended)
            plot.line(steps, "c best", f"way to the best: trial {ancestor.id}")
        plots.append(plot.html())
    key = legend([(line_key("c best"), "way to the best"), (line_key("c completed"), "other trials")])
    notes = (f"{_MAX_TRIALS} trials are drawn.",) if len(page.trials) > _MAX_TRIALS else ()
    return Figure(
        "schedules",
        "Schedules of the hyperparameters",
        f'<div class="small">{"".join(plots)}</div>',
        notes,
        key,
    )


def lineage(page: PageData) -> Figure | None:
    """Draw which trials copied checkpoints of others. Returns ``None`` if no trial did."""
    copies = [
        (trial, change) for trial in page.trials for change in trial.changes if change.source != trial.number
    ]
    if not copies:
        return None
    shown = _best_trials(page)
    row = {trial.number: position for position, trial in enumerate(shown)}
    scale = linear([0.0, float(max(max(trial.iterations for trial in shown), 1))], whole=True, snug=True)
    height = _ROW_HEIGHT * len(shown)
    parts = []
    for trial in shown:
        y = _middle(row[trial.number])
        parts.append(
            f'<line class="life" x1="0%" x2="{percent(scale.at(trial.iterations))}" y1="{y}" y2="{y}">'
            f"{hint(f'trial {trial.id}')}</line>"
        )
        parts.append(f'<text class="y" x="0%" y="{y}" dx="-7" dy="4">{trial.id}</text>')
    for began, ended, number in _ancestry(page):
        if number in row:
            y = _middle(row[number])
            ends = f'x1="{percent(scale.at(began))}" x2="{percent(scale.at(ended))}"'
            parts.append(f'<line class="ancestor" {ends} y1="{y}" y2="{y}"/>')
    ancestors = {(ended, number) for _, ended, number in _ancestry(page)}
    for trial, change in copies:
        if trial.number in row and change.source in row:
            at = percent(scale.at(change.iteration))
            y1, y2 = _middle(row[change.source]), _middle(row[trial.number])
            css = (
                "ancestor"
                if (change.iteration, change.source) in ancestors
                and _is_on_way(page, trial, change.iteration)
                else "copy"
            )
            title = f"after iteration {change.iteration:,}, trial {trial.id} copied trial {change.source:05d}"
            parts.append(f'<line class="{css}" x1="{at}" x2="{at}" y1="{y1}" y2="{y2}">{hint(title)}</line>')
            parts.append(
                f'<use href="#arrow-{"down" if y2 > y1 else "up"}" class="{css}" x="{at}" y="{y2}"/>'
            )
    parts += [
        f'<use href="#m-best" x="{percent(scale.at(trial.best_iteration))}" '
        f'y="{_middle(row[trial.number])}"/>'
        for trial in shown
        if trial.number == page.best
    ]
    body = (
        f'<div class="plot lineage"><div class="area" style="height:{height}px">'
        f'<svg class="chart" role="img" aria-label="lineage of {len(shown)} trials">'
        f'{"".join(parts)}{"".join(x_ticks(scale))}</svg></div><div class="xname">iteration</div></div>'
    )
    key = legend(
        [
            ("best", "best value"),
            (line_key("ancestor"), "way to the best"),
            (line_key("copy"), "a trial copies the checkpoint of another"),
        ]
    )
    notes = (
        (f"The best {len(shown)} of {len(page.trials):,} trials are drawn.",)
        if len(shown) < len(page.trials)
        else ()
    )
    return Figure("lineage", "Lineage: which trial continued from which", body, notes, key)


def _best_trials(page: PageData) -> list[TrialData]:
    chosen = set(page.ranked[:_MAX_TRIALS])
    return [trial for trial in page.trials if trial.number in chosen]


def _middle(row: int) -> int:
    return row * _ROW_HEIGHT + _ROW_HEIGHT // 2


def _position(page: PageData, number: int) -> int:
    return next(position for position, trial in enumerate(page.trials) if trial.number == number)


def _changes_in(trial: TrialData, name: str) -> bool:
    return any(change.config.get(name) != trial.first_config.get(name) for change in trial.changes)


def _ancestry(page: PageData) -> list[tuple[int, int, int]]:
    """Return (from iteration, to iteration, trial) for the way to the best value, in order."""
    best = page.best_trial
    if best is None:
        return []
    by_number: Mapping[int, TrialData] = {trial.number: trial for trial in page.trials}
    way: list[tuple[int, int, int]] = []
    trial, until = best, best.best_iteration
    while changes := [change for change in trial.changes if change.iteration < until]:
        last = changes[-1]
        way.insert(0, (last.iteration, until, trial.number))
        trial, until = by_number[last.source], last.iteration
    return [(0, until, trial.number), *way]


def _is_on_way(page: PageData, trial: TrialData, iteration: int) -> bool:
    return any(began == iteration and number == trial.number for began, _, number in _ancestry(page))


def _steps(
    trial: TrialData, dimension: DimensionData, *, since: int = 0, until: int | None = None
) -> list[tuple[float, float]]:
    """Return the values of a hyperparameter over the trial's iterations, as a staircase."""
    until = trial.iterations if until is None else until
    pieces = [(0, trial.first_config), *((change.iteration, change.config) for change in trial.changes)]
    steps: list[tuple[float, float]] = []
    for (began, config), following in zip(pieces, [*pieces[1:], (until, {})], strict=True):
        value = config.get(dimension.name)
        first, last = max(began, since), min(following[0], until)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and first < last:
            steps += [(first, value), (last, value)]
    return steps
