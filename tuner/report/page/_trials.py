"""The table of all trials.

The HTML holds the best trials. The page's script replaces them with all trials from ``data``, and can sort
and filter these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from json import dumps
from typing import Any, Literal, Self

from tuner.report.page._plot import state_label
from tuner.report.page._words import brief, cut, rounded, text
from tuner.report.page.data import PageData
from tuner.report.phrases import clean

_MAX_ROWS = 100
"""Rows without scripts."""

# Maximum number of characters of embedded data. A page of 10,000 trials then stays below 3 MB.
_MAX_DATA = 1_100_000

# Number of trials from which the size of all is estimated.
_SAMPLE = 200

# In a column with more different texts, each cell holds its own text (see ``_pack``).
_MAX_REPEATED = 1_000

_MAX_COLUMNS = 120
_LONGEST_CELL = 60
_LONGEST_HINT = 600


@dataclass(frozen=True)
class Column:
    """A column of the table of trials."""

    name: str
    cells: Sequence[Any]
    """One for each trial, in the order of the table; ``None``: empty."""
    kind: Literal["text", "number", "state"]


@dataclass(frozen=True)
class TrialsTable:
    """The trials as a table, best first."""

    page: PageData
    columns: tuple[Column, ...]
    left_out: int
    """The number of columns that only the CSV has."""

    @classmethod
    def of(cls, page: PageData) -> Self:
        """Return the table of a page."""
        columns = _columns(page)
        return cls(page, tuple(columns[:_MAX_COLUMNS]), max(0, len(columns) - _MAX_COLUMNS))

    def short(self, limit: int) -> str:
        """Return a plain table of the best trials; empty if there are none."""
        if not self.page.trials:
            return ""
        return f'<div class="scroll"><table>{self._html(limit)}</table></div>'

    def section(self) -> str:
        """Return the section of the page."""
        count = len(self.page.trials)
        if not count:
            none = '<p class="none">No trial has been suggested yet.</p>'
            return f'<section id="trials"><h2>Trials</h2>{none}</section>'
        notes = []
        if count > _MAX_ROWS:
            shown = f"The best {_MAX_ROWS:,} of {count:,}"
            notes.append(f'<span class="nojs">{shown}; the CSV has all.</span>')
        if self.rows_in_data < count:
            shown = f"The best {self.rows_in_data:,} of {count:,}"
            notes.append(f'<span class="js">{shown}; the CSV has all.</span>')
        if self.left_out:
            total = len(self.columns) + self.left_out
            notes.append(f"{len(self.columns)} of {total:,} columns; the CSV has all.")
        numbers = [column.name for column in self.columns if column.kind == "number"]
        return (
            f'<section id="trials"><h2>Trials</h2><p class="soft">{" ".join(notes)}</p>'
            f'<p class="controls js"><label>filter <input id="filter" type="search" size="28" '
            f'placeholder="{text(numbers[0])} &gt; 0.5"></label><span id="shown" class="soft"></span></p>'
            '<p class="soft js">A filter is text, or a column with &lt;, &gt; or =. '
            "Separate filters by commas. Click on the head of a column to sort by it.</p>"
            f'<div class="scroll"><table id="table">{self._html(_MAX_ROWS)}</table></div>'
            '<p class="js"><button id="more" type="button">show more</button></p></section>'
        )

    def data(self) -> dict[str, Any]:
        """Return as many trials as fit, by column. ``top`` lists the rows on the Pareto front."""
        count, front = self.rows_in_data, set(self.page.front)
        return {
            "columns": [{**each, "cells": each["cells"][:count]} for each in self._packed_columns],
            "top": [row for row, number in enumerate(self.page.ranked[:count]) if number in front],
        }

    @cached_property
    def rows_in_data(self) -> int:
        """The number of trials in the embedded data."""
        count = len(self.page.trials)
        if not count:
            return 0
        sample = range(0, count, max(1, count // _SAMPLE))
        size = sum(len(dumps(each["cells"][row])) + 1 for each in self._packed_columns for row in sample)
        return min(count, int(_MAX_DATA * len(sample) / size))

    @cached_property
    def _packed_columns(self) -> list[dict[str, Any]]:
        return [_pack(column) for column in self.columns]

    def _html(self, limit: int) -> str:
        """Return the head of the table and the rows of the best trials."""
        front = set(self.page.front)
        head = "".join(f'<th scope="col"{_css(column)}>{text(column.name)}</th>' for column in self.columns)
        rows = []
        for row, number in enumerate(self.page.ranked[:limit]):
            top = ' class="top"' if number in front else ""
            rows.append(
                f"<tr{top}>{''.join(_cell(column, column.cells[row]) for column in self.columns)}</tr>"
            )
        return f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"


def _columns(page: PageData) -> list[Column]:
    """Return the columns of the table, whose rows are the trials, best first."""
    by_number = {trial.number: trial for trial in page.trials}
    trials = [by_number[number] for number in page.ranked]
    found = [Column("trial", [trial.id for trial in trials], "text")]
    found.append(Column("state", [trial.state for trial in trials], "state"))
    if len(page.objectives) > 1:
        front = set(page.front)
        found.append(Column("front", ["yes" if each.number in front else None for each in trials], "text"))
    for position, objective in enumerate(page.objectives):
        found.append(Column(objective.metric, [trial.values[position] for trial in trials], "number"))
    found.append(Column("iterations", [trial.iterations for trial in trials], "number"))
    found.append(Column("seconds", [round(trial.seconds, 1) for trial in trials], "number"))
    for dimension in page.dimensions:
        cells = [trial.config.get(dimension.name) for trial in trials]
        found.append(Column(dimension.name, cells, "number" if dimension.kind == "number" else "text"))
    for name in page.metrics:
        cells = [trial.metrics.get(name) for trial in trials]
        is_number = all(each is None or isinstance(each, (int, float)) for each in cells)
        found.append(Column(name, cells, "number" if is_number else "text"))
    if any(trial.cause for trial in trials):
        found.append(Column("error", [trial.cause for trial in trials], "text"))
    return found


def _css(column: Column) -> str:
    return ' class="n"' if column.kind == "number" else ""


def _cell(column: Column, value: Any) -> str:
    if column.kind == "state":
        return f"<td>{state_label(value)}</td>"
    shown = "" if value is None else brief(value)
    title = f' title="{text(cut(shown, _LONGEST_HINT))}"' if len(shown) > _LONGEST_CELL else ""
    return f"<td{_css(column)}{title}>{text(cut(shown, _LONGEST_CELL))}</td>"


def _pack(column: Column) -> dict[str, Any]:
    """Return a column for the script. Repeated texts are listed once; cells are then their positions."""
    packed: dict[str, Any] = {"name": clean(column.name), "kind": column.kind}
    cells = [_embedded(cell) for cell in column.cells]
    positions: dict[tuple[type, Any], int] = {}
    for cell in cells:
        positions.setdefault((type(cell), cell), len(positions))
    if column.kind == "number" or len(positions) > _MAX_REPEATED or 2 * len(positions) > len(cells):
        return {**packed, "cells": cells}
    values = [value for _, value in positions]
    return {**packed, "values": values, "cells": [positions[type(cell), cell] for cell in cells]}


def _embedded(value: Any) -> Any:
    kept = rounded(value)
    return cut(kept, _LONGEST_HINT) if isinstance(kept, str) else kept
