"""``Plot``: a chart as HTML and SVG that keeps the size of its text and marks at any width.

Lines are drawn in an inner SVG that is stretched to the plot's width. Marks and text are placed in percent
in the outer one, which is not stretched. Colours come from the style sheet by class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuner.report.page._scales import Scale
from tuner.report.page._words import text

# Units of the inner SVG in each direction.
_UNITS = 1000

STATES = ("completed", "stopped", "failed", "running", "paused", "pending")

# Each state has its own shape, about 8 units wide. A reader need not tell the colours apart.
_SHAPES = {
    "completed": '<circle r="3.6"/>',
    "stopped": '<rect x="-3.2" y="-3.2" width="6.4" height="6.4"/>',
    "failed": '<path d="M-3.5-3.5L3.5 3.5M3.5-3.5L-3.5 3.5"/>',
    "running": '<path d="M-3-4.2L4.4 0L-3 4.2Z"/>',
    "paused": '<path d="M-3.4-3.8h2.4v7.6h-2.4zM1-3.8h2.4v7.6h-2.4z"/>',
    "pending": '<circle r="3.2"/>',
    "lost": '<path d="M0-4.4L4.4 3.4L-4.4 3.4Z"/>',
    "claim": '<path d="M0-5L5 0L0 5L-5 0Z"/>',
    "dot": '<circle r="3.6"/>',
    "best": '<path d="M0-7L2-2.2L7-2.2L3 1L4.4 6L0 3L-4.4 6L-3 1L-7-2.2L-2-2.2Z"/>',
}


@dataclass(frozen=True)
class Figure:
    """A figure of the page; ``body`` is HTML, ``notes`` are sentences below it."""

    key: str
    """Its anchor, in one word."""
    title: str
    body: str
    notes: tuple[str, ...] = ()
    legend: str = ""
    """As HTML."""


def symbols() -> str:
    """Return the definitions of the marks, which a page needs once."""
    shapes = "".join(
        f'<g id="m-{name}" class="tuner-mark {name}">{shape}</g>' for name, shape in _SHAPES.items()
    )
    return f'<svg width="0" height="0" class="symbols" aria-hidden="true"><defs>{shapes}</defs></svg>'


def mark(state: str) -> str:
    """Return the mark of a state, as large as text."""
    return f'<svg class="glyph" viewBox="-8 -8 16 16" aria-hidden="true"><use href="#m-{state}"/></svg>'


def state_label(state: str) -> str:
    """Return a state's mark and name."""
    return f'<span class="state">{mark(state)}{text(state)}</span>'


def legend(items: Iterable[tuple[str, str]]) -> str:
    """Return a legend of (mark, text); a mark is a state's name, or HTML."""
    parts = (f"<span>{mark(name) if name in _SHAPES else name}{text(label)}</span>" for name, label in items)
    return f'<p class="legend">{"".join(parts)}</p>'


def line_key(css: str) -> str:
    """Return a piece of a line of this class, for a legend."""
    return (
        f'<svg class="linekey" viewBox="0 0 24 8" aria-hidden="true"><path class="{css}" d="M0 4H24"/></svg>'
    )


class Plot:
    """A plot area with axes, to which lines and marks are added."""

    def __init__(
        self,
        x: Scale,
        y: Scale,
        *,
        height: int,
        labels: tuple[str, str],
        css: str = "",
    ) -> None:
        self._x, self._y = x, y
        self._height = height
        self._labels = labels
        self._css = css
        self._lines: list[str] = []
        self._marks: list[str] = []

    def line(self, points: Sequence[tuple[float, float]], css: str, title: str = "") -> None:
        """Add a line through points of data."""
        path = " ".join(f"{self._x.at(x) * _UNITS:.0f},{(1 - self._y.at(y)) * _UNITS:.0f}" for x, y in points)
        self._lines.append(f'<polyline class="{css}" points="{path}">{hint(title)}</polyline>')

    def mark(self, x: float, y: float, state: str, title: str = "", *, css: str = "") -> None:
        """Add the mark of a state, unless it lies outside the plot."""
        at, up = self._x.at(x), self._y.at(y)
        if -0.02 <= at <= 1.02 and -0.02 <= up <= 1.02:
            attributes = f' class="{css}"' if css else ""
            place = f'x="{percent(at)}" y="{percent(1 - up)}"'
            end = f">{hint(title)}</use>" if title else "/>"
            self._marks.append(f'<use href="#m-{state}"{attributes} {place}{end}')

    def rule(self, x: float, css: str, title: str = "") -> None:
        """Add a line across the plot, from the bottom to the top."""
        at = percent(self._x.at(x))
        self._marks.append(f'<line class="{css}" x1="{at}" x2="{at}" y1="0%" y2="100%">{hint(title)}</line>')

    def dash(self, x: float, y: float, css: str, title: str = "") -> None:
        """Add a short horizontal line at a point, 2% of the width to either side."""
        at, up = self._x.at(x), self._y.at(y)
        if 0 <= up <= 1:
            ends = f'x1="{percent(max(0.0, at - 0.02))}" x2="{percent(min(1.0, at + 0.02))}"'
            level = percent(1 - up)
            self._marks.append(f'<line class="{css}" {ends} y1="{level}" y2="{level}">{hint(title)}</line>')

    def html(self) -> str:
        """Return the plot as HTML."""
        name = f"{self._labels[1]} against {self._labels[0]}"
        return "".join(
            [
                f'<div class="plot {self._css}">',
                f'<div class="yname">{text(self._labels[1])}</div>',
                f'<div class="area" style="height:{self._height}px">',
                f'<svg class="chart" role="img" aria-label="{text(name)}">',
                *_y_ticks(self._y),
                *x_ticks(self._x),
                f'<svg class="lines" viewBox="0 0 {_UNITS} {_UNITS}" preserveAspectRatio="none" '
                'width="100%" height="100%">',
                *self._lines,
                "</svg>",
                *self._marks,
                f'</svg></div><div class="xname">{text(self._labels[0])}</div></div>',
            ]
        )


def x_ticks(scale: Scale, *, y: str = "100%") -> list[str]:
    """Return the tick marks and labels below a horizontal axis."""
    parts = [f'<line class="axis" x1="0%" x2="100%" y1="{y}" y2="{y}"/>']
    for value, label in scale.ticks:
        at = scale.at(value)
        if -0.001 <= at <= 1.001:
            place = percent(at)
            parts.append(f'<use href="#tick" x="{place}" y="{y}"/>')
            parts.append(f'<text x="{place}" y="{y}" dy="17">{text(label)}</text>')
    return parts


def _y_ticks(scale: Scale) -> list[str]:
    parts = []
    for value, label in scale.ticks:
        up = scale.at(value)
        if -0.001 <= up <= 1.001:
            level = percent(1 - up)
            parts.append(f'<line class="grid" x1="0%" x2="100%" y1="{level}" y2="{level}"/>')
            parts.append(f'<text class="y" x="0%" y="{level}" dx="-7" dy="4">{text(label)}</text>')
    return parts


def percent(share: float) -> str:
    return f"{round(share * 100, 2):g}%"


def hint(title: str) -> str:
    return f"<title>{text(title)}</title>" if title else ""
