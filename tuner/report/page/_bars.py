"""Figures of horizontal bars: the importance of hyperparameters, and the timeline of workers and lanes."""

from __future__ import annotations

from tuner.report.page._plot import STATES, Figure, hint, legend, percent, x_ticks
from tuner.report.page._scales import linear
from tuner.report.page._words import brief, text, thinned
from tuner.report.page.data import PageData, SpanData
from tuner.report.phrases import duration

_MAX_SPANS = 1_500
_MAX_LANES = 96

# Heights of a lane in pixels: with few, some and many lanes.
_LANE_HEIGHTS = (22, 14, 8)
_MAX_MARKS = 150


def importance(page: PageData) -> Figure | None:
    """Draw how much each hyperparameter matters, or say why that is unknown.

    Returns ``None`` if no hyperparameter is searched.
    """
    if not page.dimensions:
        return None
    title = f"Importance of hyperparameters for {page.metric}"
    found = page.importances
    if not found.rows:
        return Figure("importance", title, f'<p class="none">{text(found.note)}</p>')
    rows = "".join(
        f'<tr><th scope="row">{text(row.name)}</th><td class="bar"><svg role="img" aria-label="'
        f'{row.share:.0%}, interval {row.low:.0%} to {row.high:.0%}">'
        f'<rect class="share" x="0%" y="5" width="{percent(row.share)}" height="12"/>'
        f'<line class="interval" x1="{percent(row.low)}" x2="{percent(row.high)}" y1="11" y2="11"/>'
        f'<line class="interval" x1="{percent(row.low)}" x2="{percent(row.low)}" y1="6" y2="16"/>'
        f'<line class="interval" x1="{percent(row.high)}" x2="{percent(row.high)}" y1="6" y2="16"/>'
        f"{hint(f'{row.name}: {row.share:.0%}, interval {row.low:.0%} to {row.high:.0%}')}</svg></td>"
        f'<td class="n">{row.share:.0%}</td><td class="n soft">{row.low:.0%} to {row.high:.0%}</td></tr>'
        for row in found.rows
    )
    head = (
        '<tr><th scope="col">hyperparameter</th><td></td><th class="n" scope="col">share</th>'
        '<th class="n soft" scope="col">90% interval</th></tr>'
    )
    return Figure(
        "importance", title, f'<table class="bars"><thead>{head}</thead>{rows}</table>', (found.note,)
    )


def timeline(page: PageData) -> Figure | None:
    """Draw which trial each lane of each worker trained, and when. Returns ``None`` if none has started."""
    if not page.spans:
        return None
    lanes = page.lanes[:_MAX_LANES]
    spans = thinned([span for span in page.spans if span.row < len(lanes)], _MAX_SPANS)
    of_best = [span for span in page.spans if span.trial == page.best and span.row < len(lanes)]
    spans += [span for span in of_best if span not in spans]
    lane_px = (
        _LANE_HEIGHTS[0] if len(lanes) <= 8 else _LANE_HEIGHTS[1] if len(lanes) <= 40 else _LANE_HEIGHTS[2]
    )
    height = lane_px * len(lanes)
    unit, unit_seconds = next(
        (name, length)
        for name, length in (("hours", 3600), ("minutes", 60), ("seconds", 1))
        if page.seconds >= 2 * length or length == 1
    )
    scale = linear([0.0, max(page.seconds, 1e-3) / unit_seconds], snug=True)
    parts = []
    for span in spans:
        began, ended = scale.at(span.began / unit_seconds), scale.at(span.ended / unit_seconds)
        parts.append(
            f'<rect class="{"best" if span.trial == page.best else span.outcome}" x="{percent(began)}" '
            f'y="{span.row * lane_px + 1}" height="{lane_px - 2}" '
            f'width="{percent(max(ended - began, 0.0005))}">'
            f"{hint(_span_hint(span))}</rect>"
        )
    if lane_px > _LANE_HEIGHTS[2] and len(spans) <= _MAX_MARKS:
        parts += [
            f'<use href="#m-{span.outcome}" x="{percent(scale.at(span.ended / unit_seconds))}" '
            f'y="{(span.row + 0.5) * lane_px:g}"/>'
            for span in spans
        ]
    names = _lane_names(lanes, lane_px)
    body = (
        f'<div class="plot timeline"><div class="area" style="height:{height}px">'
        f'<svg class="chart" role="img" aria-label="timeline of {len(lanes)} lanes">{"".join(parts)}{names}'
        f'{"".join(x_ticks(scale))}</svg></div><div class="xname">{unit} since the start</div></div>'
    )
    outcomes = {span.outcome for span in spans}
    items = [(name, name) for name in (*STATES, "lost") if name in outcomes]
    best = [("<i class='swatch best'></i>", "best trial")] if any(s.trial == page.best for s in spans) else []
    notes = []
    if len(spans) < len(page.spans):
        notes.append(f"{len(spans):,} of {len(page.spans):,} spans are drawn.")
    if len(lanes) < len(page.lanes):
        notes.append(f"{len(lanes)} of {len(page.lanes):,} lanes are drawn.")
    busy = sum(span.ended - span.began for span in page.spans)
    if page.seconds > 0:
        notes.append(f"Lanes held a trial for {busy / (page.seconds * len(page.lanes)):.0%} of the time.")
    return Figure("timeline", "Timeline of workers and lanes", body, tuple(notes), legend([*best, *items]))


def _lane_names(lanes: tuple[str, ...], lane_px: int) -> str:
    step = 1 if lane_px >= _LANE_HEIGHTS[1] else 2
    return "".join(
        f'<text class="y" x="0%" y="{(row + 0.5) * lane_px:g}" dx="-7" dy="4">{text(_short(each))}</text>'
        for row, each in enumerate(lanes)
        if row % step == 0
    )


def _short(name: str) -> str:
    """Abbreviate a name such as ``worker 2, lane 5`` to ``w2.5``."""
    return name.replace("worker ", "w").replace(", lane ", ".")


def _span_hint(span: SpanData) -> str:
    took = duration(span.ended - span.began)
    return f"trial {span.trial:05d}: {span.outcome} after {took}, started at {brief(float(span.began))} s"
