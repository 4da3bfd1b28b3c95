"""``Frame``: a ``LiveView`` as lines of text that fit a terminal of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.live import words
from tuner.live.view import LiveView
from tuner.report import phrases

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_LABEL_WIDTH = 12

# A narrower terminal has no column for the names of the lines.
_LEAST_FOR_LABELS = 50

_SHORTEST_BAR, _LONGEST_BAR = 5, 50
_MAX_LINES_OF_BEST = 7

# Characters of a metric's name before the best value, and cells of its column.
_LONGEST_NAME, _LONGEST_METRIC = 24, 16

# Below this, a configuration says nothing.
_LEAST_CONFIG = 12

# (part, lines that it gets if there is room), the most important first. A small terminal shows the first few.
_BY_IMPORTANCE = (
    ("best", 1),
    ("progress", 1),
    ("trials", 1),
    ("best", 1),
    ("failed", 1),
    ("stopping", 1),
    ("workers", 1),
    ("heading", 1),
    ("decisions", 1),
    ("running", 3),
    ("iterations", 1),
    ("best", 1),
    ("running", 2),
    ("decisions", 3),
    ("gap", 1),
    ("failed", 2),
    ("running", 4),
    ("best", _MAX_LINES_OF_BEST),
    ("running", 1_000),
    ("decisions", 6),
)
_FROM_TOP = (
    *("heading", "best", "progress", "trials", "iterations", "workers"),
    *("failed", "stopping", "decisions", "gap", "running"),
)

# Replacements for a terminal without UTF-8.
_PLAIN = str.maketrans({"…": "~", "·": ",", "━": "=", "─": "-"})


class Frame:
    """The picture of a moment. Each drawing uses the size that the console has then."""

    def __init__(self, view: LiveView, heading: str) -> None:
        self._view = view
        self._heading = heading

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        # The last line is left to the cursor.
        lines = self.lines(options.max_width, max(1, options.size.height - 1))
        for line in lines:
            if not options.encoding.startswith("utf"):
                plain = line.plain.translate(_PLAIN)
                line.plain = plain.encode(options.encoding, "replace").decode(options.encoding)
            yield line

    def lines(self, width: int, height: int) -> list[Text]:
        """Return the most important lines: at most ``height``, each of at most ``width`` cells."""
        view, label = self._view, _LABEL_WIDTH if width >= _LEAST_FOR_LABELS else 0
        parts: dict[str, list[Text]] = {
            "heading": [_text((self._heading, "bold"))],
            "best": _best(view, width, label, most=_MAX_LINES_OF_BEST),
            "progress": [_progress(view, width, label)],
            "trials": _label("trials", [words.trials(view)], label),
            "iterations": _label("iterations", [words.iterations(view)], label),
            "workers": _label("workers", [words.workers(view.workers)], label),
            "failed": _failures(view, label),
            "stopping": _label("stopping", [words.reason(view)], label, style="yellow"),
            "decisions": _label("decisions", view.decisions, label),
            "gap": [_text("")] if view.running else [],
        }
        running = view.counts["running"]
        heights = _shares({**{name: len(part) for name, part in parts.items()}, "running": running}, height)
        parts["best"] = _best(view, width, label, most=heights["best"])
        parts["running"] = _running(view, width, heights["running"])
        lines = [line for part in _FROM_TOP for line in parts[part][: heights[part]]]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines


def _shares(wanted: Mapping[str, int], height: int) -> dict[str, int]:
    """Return how many lines each part gets.

    ``wanted``: how many lines each part has; for ``running``, how many trials.
    """
    taken = dict.fromkeys(_FROM_TOP, 0)
    for part, lines in _BY_IMPORTANCE:
        room = height - sum(taken.values())
        most = wanted[part] + 1 if part == "running" and wanted[part] else wanted[part]
        taken[part] += max(0, min(lines, room, most - taken[part]))
        if part == "running" and 0 < taken[part] < min(3, most):
            taken[part] = 0  # the heading, one trial and "and 9 more" need three lines
    return taken


def _best(view: LiveView, width: int, label: int, *, most: int) -> list[Text]:
    """Return the best trial and its configuration in ``most`` lines, or the front and its extremes."""
    leads = _label(
        "best", [words.best(view, longest=_LONGEST_NAME)], label, style="bold green" if view.leaders else ""
    )
    if view.front is None:
        for leader in view.leaders:
            leads += _label("", _wrap(words.pairs(leader.config), width - label, most=most - 1), label)
        return leads
    has_room = most > 2 * len(view.leaders)
    for place, leader in enumerate(view.leaders):
        extreme, config = (words.extreme(view, place), "green"), phrases.changed(leader.config)
        if has_room:
            leads += [_text(" " * label, extreme), _text(" " * label, f"  {config}")]
        else:
            leads.append(_text(" " * label, extreme, f" · {config}"))
    return leads


def _progress(view: LiveView, width: int, label: int) -> Text:
    times = words.times(view)
    name = "progress".ljust(label) if label else ""
    if view.done is None:
        return _text((name, "dim"), times)
    percent = f"{int(view.done * 100):3d} %"
    room = min(_LONGEST_BAR, width - len(name) - len(percent) - len(times) - 3)
    if room < _SHORTEST_BAR:
        return _text((name, "dim"), f"{percent.strip()} · {times}")
    done = round(view.done * room)
    return _text((name, "dim"), ("━" * done, "green"), ("─" * (room - done), "dim"), f" {percent}  {times}")


def _failures(view: LiveView, label: int) -> list[Text]:
    """Return one line for each kind, after a line with all counts if there are several kinds."""
    kinds = [words.failure(failure) for failure in view.failures]
    every = [words.failures(view.failures)] if len(kinds) > 1 else []
    return _label("failed", [*every, *kinds], label, style="red")


def _running(view: LiveView, width: int, height: int) -> list[Text]:
    """Return a table of running trials in ``height`` lines. The last line counts the trials without a row."""
    total = view.counts["running"]
    shown = total if height > total else height - 2
    if shown < 1:
        return []
    rows = view.running[:shown]
    limit = view.trial_iterations
    columns: list[tuple[str, list[str]]] = [("trial", [f"{row.trial:05d}" for row in rows])]
    columns.append(
        ("iteration", [f"{row.iteration:,}/{limit:,}" if limit else f"{row.iteration:,}" for row in rows])
    )
    for place, metric in enumerate(view.metrics):
        cells = [phrases.short(row.values[place]) if row.values else "" for row in rows]
        columns.append((_shorten(phrases.clean(metric), _LONGEST_METRIC), cells))
    if view.front is None:
        columns.append(("best", ["" if row.best is None else phrases.short(row.best) for row in rows]))
    lines = _columns(columns, [phrases.changed(row.config) for row in rows], width)
    lines[0].stylize("dim")
    more = total - len(rows)
    return [*lines, *([_text((f"and {more:,} more", "dim"))] if more > 0 else [])]


def _columns(columns: Sequence[tuple[str, list[str]]], configs: list[str], width: int) -> list[Text]:
    """Return the heading and the rows. Columns without room are left out, from the right."""
    from rich.cells import cell_len

    lines = [""] * (len(configs) + 1)
    for place, (name, cells) in enumerate(columns):
        wide = max(cell_len(cell) for cell in [name, *cells])
        before = cell_len(lines[0]) + (2 if place else 0)
        if place and before + wide > width:
            break
        for number, cell in enumerate([name, *cells]):
            padding = " " * (wide - cell_len(cell))
            lines[number] += f"{'  ' if place else ''}{padding}{cell}"
    else:
        if width - cell_len(lines[0]) - 2 >= _LEAST_CONFIG:
            lines = [f"{a}  {b}" for a, b in zip(lines, ["configuration", *configs], strict=True)]
    return [_text(line) for line in lines]


def _label(name: str, lines: Sequence[str], label: int, *, style: str = "") -> list[Text]:
    """Return the lines that are not empty, the first one after its name.

    ``label``: the width of the column of names; 0 in a narrow terminal.
    """
    names = [name.ljust(label) if label or not name else f"{name} "]
    return [_text((names.pop() if names else " " * label, "dim"), (line, style)) for line in lines if line]


def _wrap(pairs: Sequence[str], width: int, *, most: int) -> list[str]:
    """Return ``pairs`` in at most ``most`` lines of ``width``. The last line may be too long."""
    from rich.cells import cell_len

    lines: list[str] = []
    for number, pair in enumerate(pairs):
        if lines and cell_len(lines[-1]) + 1 + cell_len(pair) <= width:
            lines[-1] += f" {pair}"
        elif lines and len(lines) >= most:
            lines[-1] = " ".join([lines[-1], *pairs[number:]])
            break
        else:
            lines.append(pair)
    return lines


def _shorten(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _text(*parts: Any) -> Text:
    """Join parts, each a text or (text, style), to one line. Line breaks become spaces."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis", end="\n")
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(" ".join(text.splitlines()).expandtabs(1), style=style)
    return line
