"""The table of trials, the decisions, and the errors.

The HTML holds the best trials. The page's script replaces them by all trials from ``rows_data``, which it can
sort and filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any, Literal

from tuner.objective import ITERATIONS
from tuner.report.page._plot import state_label
from tuner.report.page._words import brief, cut, rounded, text
from tuner.report.page.data import DecisionData, PageData
from tuner.report.phrases import clean, ordinal, several

_MOST_ROWS = 100
"""Rows without scripts."""

# The most characters of embedded data. A page of 10,000 trials stays below 3 MB.
_MOST_DATA = 1_200_000

_MOST_COLUMNS = 120
_LONGEST_CELL = 60
_LONGEST_HINT = 600
_RECENT = 20
_MOST_DECISIONS = 800


@dataclass(frozen=True)
class Column:
    """A column of the table of trials."""

    name: str
    cells: Sequence[Any]
    """One for each trial, in the order of the table; ``None``: empty."""
    kind: Literal["text", "number", "state"]


def columns(page: PageData) -> list[Column]:
    """Return the columns of the table, its rows best first."""
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


def top_table(page: PageData, limit: int) -> str:
    """Return a plain table of the best trials; empty if there are none."""
    if not page.trials:
        return ""
    used = columns(page)[:_MOST_COLUMNS]
    rows = "".join(
        f"<tr>{''.join(_cell(column, column.cells[row]) for column in used)}</tr>"
        for row in range(min(limit, len(page.trials)))
    )
    return (
        f'<div class="scroll"><table><thead><tr>{_head(used)}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def trials_table(page: PageData) -> str:
    """Return the section of all trials."""
    if not page.trials:
        none = '<p class="none">No trial has been suggested yet.</p>'
        return f'<section id="trials"><h2>Trials</h2>{none}</section>'
    known = columns(page)
    used = known[:_MOST_COLUMNS]
    best = set(page.front)
    rows = []
    for row in range(min(_MOST_ROWS, len(page.trials))):
        top = ' class="top"' if page.ranked[row] in best else ""
        rows.append(f"<tr{top}>{''.join(_cell(column, column.cells[row]) for column in used)}</tr>")
    in_data = rows_in_data(page)
    notes = []
    if len(rows) < len(page.trials):
        notes.append(
            f'<span class="nojs">The best {len(rows):,} of {len(page.trials):,}; the CSV has all.</span>'
        )
    if in_data < len(page.trials):
        notes.append(
            f'<span class="js">The best {in_data:,} of {len(page.trials):,}; the CSV has all.</span>'
        )
    if len(used) < len(known):
        notes.append(f"{len(used)} of {len(known):,} columns; the CSV has all.")
    names = [column.name for column in used if column.kind == "number"]
    example = f"{names[0]} > 0.5" if names else "stopped"
    return (
        f'<section id="trials"><h2>Trials</h2><p class="soft">{" ".join(notes)}</p>'
        f'<p class="controls js"><label>filter <input id="filter" type="search" size="28" '
        f'placeholder="{text(example)}"></label><span id="shown" class="soft"></span></p>'
        '<p class="soft js">A filter is text, or a column with &lt;, &gt; or =. Commas join several. '
        "A click on a column sorts by it.</p>"
        f'<div class="scroll"><table id="table"><thead><tr>{_head(used)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="js"><button id="more" type="button">show more</button></p></section>'
    )


def rows_data(page: PageData) -> dict[str, Any]:
    """Return the trials for the page's script, column by column, as many as there is room for."""
    count = rows_in_data(page)
    front = set(page.front)
    return {
        "columns": [
            {
                "name": clean(column.name),
                "kind": column.kind,
                "cells": [_data(cell) for cell in column.cells[:count]],
            }
            for column in columns(page)[:_MOST_COLUMNS]
        ],
        "top": [row for row, number in enumerate(page.ranked[:count]) if number in front],
    }


def rows_in_data(page: PageData) -> int:
    """Return the number of trials in the embedded data."""
    if not page.trials:
        return 0
    sample = columns(page)[:_MOST_COLUMNS]
    count = len(page.trials)
    step = max(1, count // 200)
    size = sum(len(dumps(_data(cell))) + 1 for column in sample for cell in column.cells[::step])
    per_row = size / len(range(0, count, step))
    return min(count, int(_MOST_DATA / per_row))


def decisions(page: PageData) -> str:
    """Return the section of the scheduler's decisions; empty if there are none."""
    if not page.decisions:
        return ""
    recent = page.decisions[-_RECENT:][::-1]
    rest = page.decisions[:-_RECENT][::-1]
    parts = [f'<section id="decisions"><h2>Decisions</h2>{_decision_table(recent, page)}']
    if rest:
        shown = rest[:_MOST_DECISIONS]
        cut_note = f" ({len(shown):,} of them)" if len(shown) < len(rest) else ""
        parts.append(
            f"<details><summary>{len(rest):,} earlier decisions{cut_note}</summary>"
            f"{_decision_table(shown, page)}</details>"
        )
    return "".join([*parts, "</section>"])


def errors(page: PageData) -> str:
    """Return the section of failed trials, grouped by the last lines of their tracebacks."""
    if not page.errors:
        return ""
    blocks = "".join(
        f"<details><summary>{error.count:,} &times; {text(cut(error.cause, 300))}</summary>"
        f'<p class="soft">Trial {error.trial:05d}{" and others" if error.count > 1 else ""}</p>'
        f"<pre>{text(error.text)}</pre></details>"
        for error in page.errors
    )
    failed = len({trial.cause for trial in page.trials if trial.cause})
    more = f"<p class='soft'>The {len(page.errors)} commonest of {failed:,} different errors.</p>"
    return (
        f'<section id="errors"><h2>Errors</h2>{blocks}{more if failed > len(page.errors) else ""}</section>'
    )


def in_words(decision: DecisionData, resource: str) -> str:
    """Return the reasons for a decision in a few words."""
    parts = []
    if decision.rank is not None and decision.of is not None:
        parts.append(f"{ordinal(decision.rank)} of {decision.of}")
    if decision.value is not None:
        parts.append(f"value {brief(float(decision.value))}")
    if decision.cutoff is not None:
        parts.append(f"cut-off {brief(float(decision.cutoff))}")
    if decision.bracket is not None:
        parts.append(f"bracket {decision.bracket}")
    if decision.reason:
        parts.append(clean(decision.reason))
    at = _where(decision, resource)
    return f"{at}: {', '.join(parts)}" if parts else at


def _where(decision: DecisionData, resource: str) -> str:
    if decision.rung is not None:
        return f"at rung {brief(decision.rung)}"
    if resource == ITERATIONS:
        return f"after {several(int(decision.resource), 'iteration')}"
    return f"at {resource} {brief(decision.resource)}"


_PAST = {"pause": "paused", "resume": "resumed", "stop": "stopped"}


def _decision_table(shown: Sequence[DecisionData], page: PageData) -> str:
    rows = "".join(
        f'<tr><td class="n">{each.seconds:,.1f}</td><td>{each.trial:05d}</td>'
        f'<td>{_decided(each.action)}</td><td class="why">{text(in_words(each, page.resource))}</td></tr>'
        for each in shown
    )
    return (
        '<div class="scroll short"><table><thead><tr><th class="n" scope="col">seconds</th>'
        '<th scope="col">trial</th><th scope="col">decision</th><th scope="col">why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _decided(action: str) -> str:
    past = _PAST[action]
    return (
        state_label(past)
        if past != "resumed"
        else state_label("running").replace("running</span>", "resumed</span>")
    )


def _head(used: Sequence[Column]) -> str:
    return "".join(f'<th scope="col"{_numeric(column)}>{text(column.name)}</th>' for column in used)


def _numeric(column: Column) -> str:
    return ' class="n"' if column.kind == "number" else ""


def _cell(column: Column, value: Any) -> str:
    if column.kind == "state":
        return f"<td>{state_label(value)}</td>"
    shown = "" if value is None else brief(value)
    title = f' title="{text(cut(shown, _LONGEST_HINT))}"' if len(shown) > _LONGEST_CELL else ""
    return f"<td{_numeric(column)}{title}>{text(cut(shown, _LONGEST_CELL))}</td>"


def _data(value: Any) -> Any:
    kept = rounded(value)
    return cut(kept, _LONGEST_HINT) if isinstance(kept, str) else kept
