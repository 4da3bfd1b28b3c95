"""Charts of a report as inline SVG; colours come from the page's style sheet by class name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from json import dumps
from typing import Any, TypeVar

from tuner.report._hyperparameters import bounds, choices, layers
from tuner.report._report import Report
from tuner.report._trial import Trial
from tuner.report.phrases import clean, short

_T = TypeVar("_T")

# Together they keep the page of 1,000 trials near 1 MB and quick to draw.
MAX_CURVES = 1_000
MAX_POINTS = 40_000
MAX_DOTS = 8_000

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 14.0, 12.0, 40.0


@dataclass(frozen=True)
class Chart:
    """A drawing and what it leaves out, as a sentence (may be empty)."""

    svg: str
    note: str = ""


@dataclass(frozen=True)
class _Axis:
    """A scale from data to [0, 1]: ``ticks`` are (position in data, label)."""

    low: float
    high: float
    ticks: list[tuple[float, str]]
    log: bool = False

    def at(self, value: float) -> float:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(value) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


class _Frame:
    """A plot area with axes; ``x`` and ``y`` give pixels."""

    def __init__(
        self, name: str, x: _Axis, y: _Axis, *, size: tuple[int, int], labels: tuple[str, str]
    ) -> None:
        self._name = name
        self._axes = x, y
        self._size = size
        self._labels = labels
        self._body: list[str] = []

    def x(self, value: float) -> float:
        return round(_LEFT + self._axes[0].at(value) * (self._size[0] - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        # What lies outside is cut off by the clip path; far outside, browsers lose precision.
        share = min(max(self._axes[1].at(value), -2.0), 3.0)
        return round(self._size[1] - _BOTTOM - share * (self._size[1] - _TOP - _BOTTOM), 1)

    @property
    def floor(self) -> float:
        return self._size[1] - _BOTTOM

    def line(self, points: Iterable[tuple[float, float]], css: str, title: str = "") -> None:
        path = " ".join(f"{self.x(x):g},{self.y(y):g}" for x, y in points)
        self._body.append(f'<polyline class="{css}" points="{path}">{_title(title)}</polyline>')

    def dot(self, x: float, y: float, css: str, title: str = "", *, radius: float = 3) -> None:
        self._body.append(
            f'<circle class="{css}" cx="{x:g}" cy="{y:g}" r="{radius:g}">{_title(title)}</circle>'
        )

    def cross(self, x: float, y: float, css: str, title: str = "") -> None:
        path = f"M{x - 3:g} {y - 3:g}l6 6m0-6l-6 6"
        self._body.append(f'<path class="{css}" d="{path}">{_title(title)}</path>')

    def svg(self) -> str:
        width, height = self._size
        clip = f"clip-{self._name}"
        inner_width, inner_height = width - _LEFT - _RIGHT, height - _TOP - _BOTTOM
        # A little larger than the plot, so that dots on its edge are whole.
        inner = f'x="{_LEFT - 6:g}" width="{inner_width + 12:g}" height="{inner_height + 8:g}"'
        parts = [
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(self._labels[1])} '
            f'against {escape(self._labels[0])}">',
            f'<clipPath id="{clip}"><rect y="{_TOP - 4:g}" {inner}/></clipPath>',
        ]
        for value, text in self._axes[1].ticks:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT:g}" x2="{width - _RIGHT:g}" y1="{y:g}" y2="{y:g}"/>')
            parts.append(f'<text x="{_LEFT - 7:g}" y="{y + 4:g}" text-anchor="end">{escape(text)}</text>')
        parts.append(
            f'<line class="axis" x1="{_LEFT:g}" x2="{width - _RIGHT:g}" '
            f'y1="{self.floor:g}" y2="{self.floor:g}"/>'
        )
        for value, text in self._axes[0].ticks:
            x = self.x(value)
            y = self.floor
            parts.append(f'<line class="axis" x1="{x:g}" x2="{x:g}" y1="{y:g}" y2="{y + 4:g}"/>')
            parts.append(f'<text x="{x:g}" y="{y + 16:g}" text-anchor="middle">{escape(text)}</text>')
        middle = _LEFT + (width - _LEFT - _RIGHT) / 2
        parts.append(
            f'<text class="label" x="{middle:g}" y="{height - 6}" text-anchor="middle">'
            f"{escape(self._labels[0])}</text>"
        )
        return "".join([*parts, f'<g clip-path="url(#{clip})">', *self._body, "</g></svg>"])


def curves(report: Report) -> Chart | None:
    """Every trial's objective over its iterations, the best on top; ``None`` when nobody reported."""
    best = report.best()
    drawn = [trial for trial in report.trials if trial.curve and trial is not best]
    lost = sum(1 for trial in report.trials if trial.state == "failed" and not trial.curve)
    notes = [f"{lost:,} trials failed before their first result and are not drawn."] if lost else []
    if len(drawn) >= MAX_CURVES:
        notes.append(f"{MAX_CURVES:,} of {len(drawn) + 1:,} curves are drawn.")
        drawn = _thinned(drawn, MAX_CURVES - 1)
    drawn += [best] if best is not None else []
    if not drawn:
        return None
    most = max(3, MAX_POINTS // len(drawn))
    if any(len(trial.curve) > most for trial in drawn):
        notes.append(f"Long curves are thinned to {most:,} points each.")
    values, cut = _visible([value for trial in drawn for _, value in trial.curve], best)
    if cut:
        notes.append("The largest outliers lie outside the plot.")
    last = max(trial.curve[-1][0] for trial in drawn)
    first = min(trial.curve[0][0] for trial in drawn)
    frame = _Frame(
        "curves",
        _linear([first, last], whole=True, snug=True),
        _linear(values),
        size=(900, 340),
        labels=("iteration", _metric(report)),
    )
    for trial in drawn:
        css = "best" if trial is best else "failed" if trial.state == "failed" else "other"
        title = f"{trial.id} {trial.state} {short(trial.value)}"
        points = _thinned(trial.curve, most)
        if len(points) > 1:
            frame.line(points, css, title)
        x, y = frame.x(points[-1][0]), frame.y(points[-1][1])
        if trial.state == "failed":
            frame.cross(x, y, "failed", title)
        elif trial is best or len(points) == 1:
            frame.dot(x, y, f"dot {css}", title, radius=3.5 if trial is best else 2)
    return Chart(frame.svg(), " ".join(notes))


def progress(report: Report) -> Chart | None:
    """The best value so far over wall time; ``None`` without any."""
    incumbents = report.incumbents()
    if not incumbents:
        return None
    size, unit = next(
        (size, unit)
        for size, unit in ((3600, "hours"), (60, "minutes"), (1, "seconds"))
        if report.seconds >= 2 * size or size == 1
    )
    end = max(report.seconds, incumbents[-1][0]) / size
    low, high = _visible([value for trial in report.trials for _, value in trial.curve], report.best())[0]
    values = [min(max(value, low), high) for _, _, value in incumbents]
    frame = _Frame(
        "progress",
        _linear([0.0, end], snug=True),
        _linear(values),
        size=(900, 250),
        labels=(f"{unit} since the start", f"best {_metric(report)}"),
    )
    steps: list[tuple[float, float]] = []
    for seconds, _, value in incumbents:
        steps += [(seconds / size, steps[-1][1])] if steps else []
        steps.append((seconds / size, value))
    frame.line([*steps, (end, steps[-1][1])], "best")
    for seconds, trial, value in incumbents[-200:]:
        frame.dot(frame.x(seconds / size), frame.y(value), "dot best", f"{trial} {short(value)}")
    return Chart(
        frame.svg(), "The first values lie outside the plot." if values[0] != incumbents[0][2] else ""
    )


def fronts(report: Report) -> list[Chart]:
    """The first objective against each other one, the Pareto front in large dots; none for one objective."""
    counted = [trial for trial in report.trials if trial.values and trial.state != "failed"]
    if not counted:
        return []
    front = {trial.number for trial in report.front()}
    charts = []
    for number, other in enumerate(report.objective.others, start=1):
        frame = _Frame(
            f"front-{number}",
            _linear([trial.values[number] for trial in counted]),
            _linear([trial.values[0] for trial in counted]),
            size=(370, 230),
            labels=(clean(other.metric), _metric(report)),
        )
        shown = [*_thinned([t for t in counted if t.number not in front], MAX_DOTS)]
        for trial in [*shown, *(trial for trial in counted if trial.number in front)]:
            css, radius = ("dot best", 5) if trial.number in front else ("dot other", 3)
            title = f"{trial.id} {', '.join(short(value) for value in trial.values)}"
            frame.dot(frame.x(trial.values[number]), frame.y(trial.values[0]), css, title, radius=radius)
        charts.append(Chart(frame.svg()))
    return charts


def scatters(report: Report) -> list[tuple[str, Chart]]:
    """Each dimension's name and the trials' values against it, failed trials as crosses on the floor."""
    best = report.best()
    counted = [trial for trial in report.trials if trial.value is not None and trial.state != "failed"]
    if not counted:
        return []
    dimensions = report.searched()
    most = max(50, MAX_DOTS // max(1, len(dimensions)))
    failed = [trial for trial in report.trials if trial.state == "failed"]
    values, cut = _visible([trial.value for trial in counted if trial.value is not None], best)
    y_axis = _linear(values)
    charts: list[tuple[str, Chart]] = []
    for name, entry in dimensions.items():
        place, x_axis = _dimension(entry)
        here = [trial for trial in counted if name in trial.config and trial is not best]
        fell = [trial for trial in failed if name in trial.config]
        notes = [f"{most:,} of {len(here):,} trials are drawn."] if len(here) > most else []
        if cut:
            notes.append("The largest outliers lie outside the plot.")
        frame = _Frame(
            f"scatter-{len(charts)}",
            x_axis,
            y_axis,
            size=(370, 230),
            labels=(_label(name, entry, x_axis), _metric(report)),
        )
        for trial in _thinned(fell, most):
            if (at := place(trial, trial.config[name])) is not None:
                frame.cross(frame.x(at), frame.floor, "failed", f"{trial.id} failed")
        for trial in [*_thinned(here, most), *([best] if best is not None and name in best.config else [])]:
            at = place(trial, trial.config[name])
            if at is not None and trial.value is not None:
                css, radius = ("dot best", 5) if trial is best else ("dot other", 3)
                title = f"{trial.id} {short(trial.config[name])}: {short(trial.value)}"
                frame.dot(frame.x(at), frame.y(trial.value), css, title, radius=radius)
        charts.append((name, Chart(frame.svg(), " ".join(notes))))
    return charts


def _dimension(
    entry: Mapping[str, Any],
) -> tuple[Callable[[Trial, Any], float | None], _Axis]:
    """How a trial's value is placed on the axis of a dimension, and that axis."""
    if (span := bounds(entry)) is None:
        values = choices(entry)
        if values is not None:
            return _categories(values, of=lambda value: value)
        fewest, most = layers(entry) or (1, 1)
        return _categories(list(range(fewest, most + 1)), of=_number_of_layers)
    low, high = span
    axis = _logarithmic(low, high) if entry.get("log") and 0 < low < high else _fixed(low, high)

    def measure(_: Trial, value: Any) -> float | None:
        return value if isinstance(value, (int, float)) and low <= value <= high else None

    return measure, axis


def _categories(
    values: list[Any], *, of: Callable[[Any], Any]
) -> tuple[Callable[[Trial, Any], float | None], _Axis]:
    """An axis with a place for each value; ``of``: which of them a trial's value is."""
    names = [short(value) for value in values]
    every = max(1, -(-len(values) // 5))  # more labels than 5 would run into each other
    ticks = [(float(i), _cut(name, 13)) for i, name in enumerate(names) if i % every == 0]
    indices = {dumps(value): index for index, value in enumerate(values)}

    def choose(trial: Trial, value: Any) -> float | None:
        # The golden ratio spreads neighbours evenly, the same on every drawing.
        shift = (trial.number * 0.618034 % 1 - 0.5) * 0.5
        index = indices.get(dumps(of(value)))
        return None if index is None else index + shift

    return choose, _Axis(-0.5, max(len(values), 1) - 0.5, ticks)


def _number_of_layers(architecture: Any) -> int | None:
    """Of an architecture's text, whose layers have ``;`` between them."""
    return architecture.count(";") + 1 if isinstance(architecture, str) else None


def _label(name: str, entry: Mapping[str, Any], axis: _Axis) -> str:
    if axis.log:
        return f"{clean(name)} (log)"
    return f"{clean(name)} (number of layers)" if layers(entry) is not None else clean(name)


def _visible(values: Sequence[float], best: Trial | None) -> tuple[list[float], bool]:
    """The range to show, and whether it leaves outliers out: one exploding loss would flatten the rest."""
    ordered = sorted(min(max(value, -1e300), 1e300) for value in values)
    lowest, highest = ordered[0], ordered[-1]
    low, high = ordered[len(ordered) // 10], ordered[-1 - len(ordered) // 10]
    if best is not None and best.value is not None:
        low, high = min(low, best.value), max(high, best.value)
    margin = high - low
    if margin == 0 or (lowest >= low - 3 * margin and highest <= high + 3 * margin):
        return [lowest, highest], False
    inside = [value for value in ordered if low - margin <= value <= high + margin]
    return [inside[0], inside[-1]], True


def _linear(values: Sequence[float], *, whole: bool = False, snug: bool = False) -> _Axis:
    """An axis over all values with round ticks; ``snug``: it ends at the values."""
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
        whole = False
    elif not snug:
        pad = (high - low) * 0.05
        low, high = low - pad, high + pad
    step = _step((high - low) / 6)
    if whole:
        step = max(1.0, step)
    start = math.ceil(low / step - 1e-9)
    stop = math.floor(high / step + 1e-9)
    return _Axis(low, high, [(index * step, f"{index * step:.6g}") for index in range(start, stop + 1)])


def _fixed(low: float, high: float) -> _Axis:
    """An axis over the range of a dimension, with room for dots at the ends."""
    pad = (high - low) * 0.03 or abs(low) * 0.05 or 0.5
    inner = _linear([low, high], snug=True)
    return _Axis(low - pad, high + pad, [tick for tick in inner.ticks if low <= tick[0] <= high])


def _logarithmic(low: float, high: float) -> _Axis:
    decades = math.log10(high) - math.log10(low)
    pad = min(10.0 ** (0.03 * decades), 10.0)
    every = max(1, math.ceil(decades / 6))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if decades > 2.5 else (1, 2, 5) if decades > 0.8 else (1, 1.5, 2, 3, 4, 5, 7)
    positions = [f * 10.0**power for power in powers if decades <= 2.5 or power % every == 0 for f in factors]
    edge = 1 + 1e-9
    ticks = [(position, f"{position:.4g}") for position in positions if low / edge <= position <= high * edge]
    return _Axis(low / pad, high * pad, ticks, log=True)


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next((power * factor for factor in (1, 2, 5) if rough <= power * factor), power * 10)


def _thinned(items: Sequence[_T], most: int) -> list[_T]:
    """At most ``most`` (at least 2) of the items, evenly spread, the first and the last included."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _metric(report: Report) -> str:
    return clean(report.objective.metric)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""
