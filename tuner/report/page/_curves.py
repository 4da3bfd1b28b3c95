"""Figures of values over time: learning curves with rungs and cut-offs, and the best value so far."""

from __future__ import annotations

from tuner.objective import ITERATIONS
from tuner.report.page._plot import STATES, Figure, Plot, legend, line_key, mark
from tuner.report.page._scales import linear, of_values, visible
from tuner.report.page._words import brief, thinned
from tuner.report.page.data import PageData, TrialData
from tuner.report.phrases import several

# Together they keep the page of a large sweep small and quick to draw.
_MAX_CURVES = 600
_MAX_POINTS = 20_000

# Above this number, curves are paler and have no marks at ordinary ends.
_MANY = 150

_MAX_MARKS = 100


def learning_curves(page: PageData) -> Figure | None:
    """Draw each trial's objective over its iterations, the best on top; ``None`` if there is none."""
    best = page.best_trial
    drawn = [trial for trial in page.trials if trial.curve and trial is not best]
    notes = []
    lost = sum(1 for trial in page.trials if trial.state == "failed" and not trial.curve)
    if lost:
        notes.append(f"{several(lost, 'trial')} failed before a first result.")
    if len(drawn) >= _MAX_CURVES:
        notes.append(f"{_MAX_CURVES:,} of {len(drawn) + 1:,} curves are drawn.")
        drawn = thinned(drawn, _MAX_CURVES - 1)
    drawn += [best] if best is not None and best.curve else []
    if not drawn:
        return None
    most = max(3, _MAX_POINTS // len(drawn))
    if any(len(trial.curve) > most for trial in drawn):
        notes.append(f"Long curves are thinned to {most:,} points each.")
    best_value = None if best is None else best.value
    low, high, is_cut = visible([value for trial in drawn for _, value in trial.curve], best_value)
    if is_cut:
        notes.append("The largest outliers lie outside the plot.")
    iterations = [float(i) for trial in drawn for i in (trial.curve[0][0], trial.curve[-1][0])]
    scale = of_values([low, high]) if low > 0 and not page.maximises else linear([low, high])
    x = linear(iterations, whole=True, snug=True)
    css = "many" if len(drawn) > _MANY else ""
    plot = Plot(x, scale, height=330, labels=("iteration", page.metric), css=css)
    has_rungs = _add_rungs(plot, page)
    for trial in drawn:
        _add_curve(plot, trial, most, is_best=trial is best, has_mark=len(drawn) <= _MANY)
    return Figure(
        "curves",
        f"Learning curves: {page.metric} by iteration",
        plot.html(),
        tuple(notes),
        legend=_legend(
            drawn,
            has_rungs=has_rungs,
            has_cutoffs=has_rungs and any(rung.cutoff is not None for rung in page.rungs),
            has_best=best is not None,
        ),
    )


def _add_curve(plot: Plot, trial: TrialData, most: int, *, is_best: bool, has_mark: bool) -> None:
    """Add a trial's line and, at its end, the mark of its state.

    ``has_mark``: also for trials that completed or were stopped.
    """
    name = "best" if is_best else trial.state
    title = f"trial {trial.id}: {trial.state}" + ("" if trial.value is None else f", {brief(trial.value)}")
    points = thinned(trial.curve, most)
    if len(points) > 1:
        plot.line([(float(i), value) for i, value in points], f"c {name}", title)
    if is_best:
        plot.mark(trial.best_iteration, trial.value or 0.0, "best", title)
    elif has_mark or trial.state not in ("completed", "stopped") or len(points) == 1:
        plot.mark(*points[-1], trial.state, title)


def _add_rungs(plot: Plot, page: PageData) -> bool:
    """Draw the rungs and cut-offs, if the scheduler measures trials by iterations. Return whether it did."""
    if page.resource != ITERATIONS or not page.rungs:
        return False
    for resource in sorted({rung.resource for rung in page.rungs}):
        here = [rung for rung in page.rungs if rung.resource == resource]
        stopped = sum(rung.stopped for rung in here)
        plot.rule(resource, "rung", f"rung {brief(resource)}: {several(stopped, 'trial')} stopped or paused")
        for rung in here[:_MAX_MARKS]:
            if rung.cutoff is not None:
                bracket = "" if rung.bracket is None else f" of bracket {rung.bracket}"
                title = f"rung {brief(resource)}{bracket}: the cut-off is {brief(rung.cutoff)}"
                plot.dash(resource, rung.cutoff, "cutoff", title)
    return True


def _legend(drawn: list[TrialData], *, has_rungs: bool, has_cutoffs: bool, has_best: bool) -> str:
    states = {trial.state for trial in (drawn[:-1] if has_best else drawn)}
    items = [("best", "best trial")] if has_best else []
    for state in (each for each in STATES if each in states):
        is_line = state in ("completed", "stopped")
        items.append((f"{line_key(f'c {state}')}{mark(state)}" if is_line else state, state))
    items += [(line_key("rung"), "rung")] if has_rungs else []
    items += [(line_key("cutoff"), "newest cut-off")] if has_cutoffs else []
    return legend(items)


def incumbent(page: PageData) -> Figure | None:
    """Draw the best value so far over wall time; ``None`` without any."""
    if not page.incumbents:
        return None
    unit_seconds, unit = next(
        (length, name)
        for length, name in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if page.seconds >= 2 * length or length == 1
    )
    end = max(page.seconds, page.incumbents[-1][0]) / unit_seconds
    all_values = [value for trial in page.trials for _, value in trial.curve]
    best = page.best_trial
    low, high, _ = visible(all_values, None if best is None else best.value)
    values = [min(max(value, low), high) for _, _, value in page.incumbents]
    plot = Plot(
        linear([0.0, max(end, 1e-9)], snug=True),
        linear(values),
        height=220,
        labels=(f"{unit} since the start", f"best {page.metric} so far"),
    )
    steps: list[tuple[float, float]] = []
    for (seconds, _, _), value in zip(page.incumbents, values, strict=True):
        steps += [(seconds / unit_seconds, steps[-1][1])] if steps else []
        steps.append((seconds / unit_seconds, value))
    plot.line([*steps, (end, steps[-1][1])], "c best")
    for (seconds, number, true), value in list(zip(page.incumbents, values, strict=True))[-_MAX_MARKS:]:
        plot.mark(seconds / unit_seconds, value, "dot", f"trial {number:05d}: {brief(true)}")
    is_cut = values[0] != page.incumbents[0][2]
    notes = ("The first values lie outside the plot.",) if is_cut else ()
    return Figure("incumbent", f"Best {page.metric} so far over time", plot.html(), notes)
