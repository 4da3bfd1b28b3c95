"""Figures of one trial per mark: the objective against each hyperparameter, and Pareto fronts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tuner.report.page._plot import STATES, Figure, Plot, legend, line_key
from tuner.report.page._scales import Scale, linear, of_dimension, of_values, visible
from tuner.report.page._words import brief, thinned
from tuner.report.page.data import DimensionData, PageData, TrialData
from tuner.report.phrases import several

_MAX_MARKS = 4_000  # in all plots of a figure together
_MIN_MARKS = 50  # in each plot

# The golden ratio spreads neighbours evenly, the same on every drawing.
_SPREAD = 0.618034


def scatters(page: PageData) -> Figure | None:
    """Draw the objective against each hyperparameter; ``None`` without values."""
    counted = [trial for trial in page.trials if trial.value is not None and trial.state != "failed"]
    if len(counted) < 2 or not page.dimensions:
        return None
    best = page.best_trial
    values = [trial.value for trial in counted if trial.value is not None]
    low, high, is_cut = visible(values, None if best is None else best.value)
    y = of_values([low, high]) if low > 0 and not page.maximises else linear([low, high])
    most = max(_MIN_MARKS, _MAX_MARKS // len(page.dimensions))
    failed = [trial for trial in page.trials if trial.state == "failed"]
    plots = []
    for number, dimension in enumerate(page.dimensions):
        active = [trial for trial in counted if trial.places[number] is not None and trial is not best]
        failures = thinned([trial for trial in failed if trial.places[number] is not None], most // 4)
        lowest = y.low
        plot = Plot(of_dimension(dimension), y, height=190, labels=(axis_name(dimension), page.metric))
        for trial in [*failures, *thinned(active, most)]:
            at = _spread(dimension, trial, trial.places[number] or 0.0)
            value = lowest if trial.state == "failed" else trial.value
            plot.mark(at, value or 0.0, trial.state, _hint(dimension, trial))
        if best is not None and best.value is not None and best.places[number] is not None:
            plot.mark(best.places[number] or 0.0, best.value, "best", _hint(dimension, best))
        plots.append(plot.html())
    notes = [f"At most {most:,} trials are drawn in each plot."] if len(counted) > most else []
    notes += ["The largest outliers lie outside the plot."] if is_cut else []
    notes += ["Failed trials are at the bottom."] if failed else []
    return Figure(
        "hyperparameters",
        f"{page.metric} against each hyperparameter",
        f'<div class="small">{"".join(plots)}</div>',
        tuple(notes),
        legend=state_legend([*(each for each in counted if each is not best), *failed], best=best),
    )


def axis_name(dimension: DimensionData) -> str:
    """Return the label of a hyperparameter's axis."""
    if dimension.kind == "layers":
        return f"{dimension.name} (number of layers)"
    return (
        f"{dimension.name} (log)" if dimension.is_log and dimension.low < dimension.high else dimension.name
    )


def state_legend(trials: Iterable[TrialData], *, best: TrialData | None) -> str:
    """Return a legend for the states of the trials and for the best trial."""
    states = {trial.state for trial in trials}
    first = [] if best is None else [("best", "best trial")]
    return legend([*first, *((state, state) for state in STATES if state in states)])


def _spread(dimension: DimensionData, trial: TrialData, at: float) -> float:
    """Return the position of a mark. Marks of equal choices are spread to the sides."""
    if dimension.kind == "number":
        return at
    return at + (trial.number * _SPREAD % 1 - 0.5) * 0.5


def _hint(dimension: DimensionData, trial: TrialData) -> str:
    value = "" if trial.value is None else f": {brief(trial.value)}"
    return f"trial {trial.id}, {dimension.name} {brief(trial.config.get(dimension.name))}{value}"


def fronts(page: PageData) -> Figure | None:
    """Draw the first objective against each other one; ``None`` for one objective or without values."""
    counted = [
        trial
        for trial in page.trials
        if trial.state != "failed" and all(value is not None for value in trial.values)
    ]
    if not counted or len(page.objectives) < 2:
        return None
    tops = set(page.front)
    below = thinned([trial for trial in counted if trial.number not in tops], _MAX_MARKS)
    front = [trial for trial in counted if trial.number in tops]
    plots = []
    for number in range(1, len(page.objectives)):
        first, other = page.objectives[0], page.objectives[number]
        x, y = _objective_scale(counted, number, front), _objective_scale(counted, 0, front)
        labels = (_with_scale(other.metric, other.mode, x), _with_scale(first.metric, first.mode, y))
        plot = Plot(x, y, height=300, labels=labels)
        if len(page.objectives) == 2:
            plot.line(_steps(front, page), "c front")
        for trial in below:
            plot.mark(_at(trial, number), _at(trial, 0), trial.state, _objectives_hint(trial), css="pale")
        for trial in front:
            plot.mark(_at(trial, number), _at(trial, 0), "best", _objectives_hint(trial))
        plots.append(plot.html())
    few = "wide" if len(plots) == 1 else "small"
    names = " and ".join(each.metric for each in page.objectives)
    line = [(line_key("c front"), "front")] if len(page.objectives) == 2 else []
    key = legend([("best", "Pareto front"), *line, ("completed", "dominated trial")])
    note = (
        f"{several(len(front), 'trial')} of {len(counted):,}: no other is at least as good in all objectives"
    )
    return Figure(
        "front",
        f"Pareto front of {names}",
        f'<div class="{few}">{"".join(plots)}</div>',
        (f"{note} and better in one.",),
        legend=key,
    )


def _objective_scale(counted: Sequence[TrialData], number: int, front: Sequence[TrialData]) -> Scale:
    """Return a scale over the front and most of the other trials."""
    values = [_at(trial, number) for trial in counted]
    whole = all(value.is_integer() for value in values)
    low, high, _ = visible(values, None)
    ahead = [_at(trial, number) for trial in front]
    return of_values([min([low, *ahead]), max([high, *ahead])], whole=whole)


def _with_scale(metric: str, mode: str, scale: Scale) -> str:
    return f"{metric} ({mode}{', log' if scale.is_log else ''})"


def _at(trial: TrialData, number: int) -> float:
    return float(trial.values[number] or 0.0)


def _steps(front: Sequence[TrialData], page: PageData) -> list[tuple[float, float]]:
    """Return the border of the region that the front dominates, as a staircase."""
    ordered = sorted(front, key=lambda trial: (_at(trial, 1), _at(trial, 0)))
    wants_more = page.objectives[1].mode == "max"
    steps: list[tuple[float, float]] = []
    for trial in ordered:
        x, y = _at(trial, 1), _at(trial, 0)
        if steps:
            before = steps[-1]
            # The step between two trials has the worse value of both in each objective.
            steps.append((before[0], y) if wants_more else (x, before[1]))
        steps.append((x, y))
    return steps


def _objectives_hint(trial: TrialData) -> str:
    return f"trial {trial.id}: {', '.join(map(brief, trial.values))}"
