"""A ``LiveView`` as HTML for the output of a notebook's cell, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tuner.live import words
from tuner.live.view import LiveView
from tuner.report import phrases

_MAX_ROWS = 10
_MAX_DECISIONS = 6
_MAX_KINDS = 5
_MAX_NOTES = 5

# The text has the notebook's own colours. The colours below are visible on white and on black.
_STYLE = """
.tuner-live{max-width:60em;font-size:13px;line-height:1.45;color:inherit}
.tuner-live .bar{height:6px;border-radius:3px;background:rgba(128,128,128,.3);margin:.4em 0}
.tuner-live .bar div{height:6px;border-radius:3px;background:#2e9e5b}
.tuner-live dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em;margin:.4em 0}
.tuner-live dt{opacity:.65;font-weight:normal}
.tuner-live dd{margin:0;min-width:0;overflow-wrap:anywhere}
.tuner-live dd div{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.tuner-live table{border-collapse:collapse;width:100%;table-layout:auto;margin:.4em 0;font-size:12px}
.tuner-live th,.tuner-live td{text-align:right;padding:1px 10px 1px 0;white-space:nowrap;
background:none;border:0;border-bottom:1px solid rgba(128,128,128,.25)}
.tuner-live th:last-child,.tuner-live td:last-child{text-align:left;width:100%;max-width:0;
overflow:hidden;text-overflow:ellipsis}
.tuner-live .soft{opacity:.65}
.tuner-live .note{border-left:3px solid #d08a00;padding-left:.6em;margin:.2em 0}
.tuner-live .failed{color:#d5443f}
"""


def html(view: LiveView, heading: str, notes: Sequence[str] = ()) -> str:
    """Return the cell's HTML. ``notes``: warnings; the latest five are shown."""
    lists = [
        ("best", [words.best(view), *_configurations(view)]),
        ("progress", [words.times(view)]),
        ("trials", [words.trials(view)]),
        ("iterations", [words.iterations(view)]),
        ("workers", [words.workers(view.workers)]),
        ("failed", _failures(view)),
        ("stopping", [words.reason(view)]),
        ("decisions", list(view.decisions[:_MAX_DECISIONS])),
    ]
    items = "".join(_item(label, lines) for label, lines in lists if any(lines))
    told = "".join(f'<div class="note">{_text(note)}</div>' for note in notes[-_MAX_NOTES:])
    return (
        f'<div class="tuner-live"><style>{_STYLE}</style><b>{_text(heading)}</b>'
        f"{told}{_bar(view)}<dl>{items}</dl>{_table(view)}</div>"
    )


def opening(heading: str) -> str:
    """Return the cell before any worker is ready."""
    return f'<div class="tuner-live"><b>{_text(heading)}</b><br>starting workers</div>'


def _failures(view: LiveView) -> list[str]:
    """Return a line for each of the most frequent kinds of failures, and the number of other kinds."""
    more = len(view.failures) - _MAX_KINDS
    shown = [words.failure(failure) for failure in view.failures[:_MAX_KINDS]]
    return [*shown, f"and {phrases.several(more, 'other kind')}"] if more > 0 else shown


def _configurations(view: LiveView) -> list[str]:
    if view.front is None:
        return [phrases.changed(leader.config) for leader in view.leaders]
    return [
        f"{words.extreme(view, place)} · {phrases.changed(leader.config)}"
        for place, leader in enumerate(view.leaders)
    ]


def _item(label: str, lines: Sequence[str]) -> str:
    style = ' class="failed"' if label == "failed" else ""
    texts = [_text(line) for line in lines if line]
    if label in ("failed", "decisions"):
        items = "".join(f'<div title="{text}">{text}</div>' for text in texts)
    else:
        items = "<br>".join(texts)
    return f"<dt>{label}</dt><dd{style}>{items}</dd>"


def _bar(view: LiveView) -> str:
    if view.done is None:
        return ""
    percent = int(view.done * 100)
    about = f'role="progressbar" aria-valuenow="{percent}" aria-valuemin="0" aria-valuemax="100"'
    return f'<div class="bar" {about}><div style="width:{percent}%"></div></div>'


def _table(view: LiveView) -> str:
    rows = view.running[:_MAX_ROWS]
    if not rows:
        return ""
    names = ["trial", "iteration", *view.metrics, *(["best"] if view.front is None else []), "configuration"]
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    limit = f"/{view.trial_iterations:,}" if view.trial_iterations else ""
    body = ""
    for row in rows:
        values = [phrases.short(value) for value in row.values] or [""] * len(view.metrics)
        best = [] if view.front is not None else ["" if row.best is None else phrases.short(row.best)]
        config = _text(phrases.changed(row.config))
        cells = [f"{row.trial:05d}", f"{row.iteration:,}{limit}", *values, *best]
        numbers = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
        body += f'<tr>{numbers}<td title="{config}">{config}</td></tr>'
    more = view.counts["running"] - len(rows)
    left = f'<div class="soft">and {more:,} more</div>' if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{left}"


def _text(text: str) -> str:
    return escape(phrases.clean(text), quote=True)
