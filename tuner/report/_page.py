"""``html``: a report as one page that needs no network and no scripts."""

from __future__ import annotations

import json
import time
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from tuner.report import _evaluation
from tuner.report._charts import Chart, curves, fronts, progress, scatters
from tuner.report._report import Report
from tuner.report._style import STYLE
from tuner.report._trial import Trial, checkpoint, reached_at
from tuner.report.phrases import changed, clean, duration, ended, full, left_behind, savings, short, since

# Limits that keep the page of a very large sweep small; each is named on the page where it bites.
_MAX_ROWS = 1_000
_MAX_ERRORS = 20
_MAX_ERROR_LENGTH = 8_000
_MAX_CELL_LENGTH = 60
_MAX_TITLE_LENGTH = 600
_MAX_METRICS = 40


def html(report: Report) -> str:
    """One self-contained page: headline, charts, trials, errors, and the sweep itself."""
    name = _text(str(report.sweep.get("name") or report.folder.name))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}</title><style>{STYLE}</style></head><body>",
            f"<h1>{name}</h1>",
            *_headline(report),
            *_fronts(report),
            *_evaluated(report),
            *_learning_curves(report),
            *_progress(report),
            *_scatters(report),
            *_trials(report),
            *_errors(report),
            "<h2>Sweep</h2><details><summary>Every setting, defaults included</summary>",
            f"<pre>{_text(json.dumps(_sweep(report), indent=2, ensure_ascii=False))}</pre></details>",
            "</body></html>\n",
        ]
    )


def _sweep(report: Report) -> dict[str, Any]:
    """The sweep without its place: the page moves with its folder."""
    return {name: part for name, part in report.sweep.items() if name != "out"}


def _headline(report: Report) -> list[str]:
    best = report.best()
    counts = report.counts()
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(report.start))
    metric = _text(report.objective.metric)
    goal = "highest" if report.objective.mode == "max" else "lowest"
    cards = ['<div class="card">']
    if best is None:
        cards.append(f"<p>No trial has a value of {metric}.</p></div>")
    else:
        best_of = "Of the Pareto front, best " if report.objective.others else "Best "
        final = report.reason is not None and counts["completed"] + counts["stopped"]
        cards += [
            f"<p>{best_of}{metric}{'' if final else ' so far'} ({goal})</p>",
            f'<div class="big">{_text(short(best.value))}</div>',
            f'<p class="soft">{_text(full(best.value))}, trial {best.id}, {reached_at(best)}</p>',
            _facts([("checkpoint", _text(_checkpoint(report, best)))]),
            *_metrics(best),
            '</div><div class="card"><p>Its configuration</p>',
            _facts([(_text(key), _text(full(value))) for key, value in best.config.items()], css="config"),
            *_schedule(report, best),
            "</div>",
        ]
    states = [(_state(state), f"{count:,}") for state, count in counts.items() if count]
    cards += [f'<div class="card"><p>{len(report.trials):,} trials</p>', _facts(states)]
    facts = [
        ("iterations", savings(report.iterations, report.iterations_without_stopping)),
        *([("memory", left_behind(report.leaks))] if report.leaks else []),
        ("wall time", duration(report.seconds)),
        ("ended", _text(ended(report.reason, counts))),
    ]
    return [
        f'<p class="soft">Started {started}{_as_of(report)}</p><div class="head">',
        *cards,
        _facts(facts),
        "</div></div>",
    ]


def _as_of(report: Report) -> str:
    """How old the page is, where the sweep has not ended."""
    if report.reason is not None:
        return ""
    return f"; this page shows the first {duration(report.seconds)} and is written anew now and then"


def _checkpoint(report: Report, trial: Trial) -> str:
    """Where a trial's checkpoint is, seen from the page, which lies in the same folder."""
    if trial.gone is not None or trial.checkpoint is None:
        return checkpoint(trial)
    return Path(trial.checkpoint).relative_to(report.folder).as_posix()


def _metrics(trial: Trial) -> list[str]:
    if not trial.metrics:
        return []
    pairs = [(_text(name), _text(short(value))) for name, value in trial.metrics.items()]
    return ["<p>Its other metrics</p>", _facts(pairs[:_MAX_METRICS])]


def _schedule(report: Report, trial: Trial) -> list[str]:
    """When hyperparameters changed on the way to the trial's best, and how to train it again."""
    changes = report.changes(trial)
    if len(changes) < 2:
        return []
    pairs = [(since(at), _text(changed(new))) for at, new in changes]
    again = "<code>tuner report DIR --replay</code> writes the sweep that trains it again."
    return ["<p>Its schedule: these are the last values</p>", _facts(pairs), f'<p class="soft">{again}</p>']


def _fronts(report: Report) -> list[str]:
    charts = fronts(report)
    if not charts:
        return []
    return [
        f"<h2>Pareto front: {_text(report.objective.metric)} against the other objectives</h2>",
        f'<p class="soft">{len(report.front()):,} trials, the large dots, are beaten by no other in all '
        'objectives at once.</p><div class="small">',
        *(_figure(chart) for chart in charts),
        "</div>",
    ]


def _evaluated(report: Report) -> list[str]:
    if report.evaluation is None:
        return []
    rows = _evaluation.rows(report.evaluation)
    head = "".join(f"<th>{name}</th>" for name in rows[0])
    body = [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row.values())}</tr>" for row in rows]
    title = _evaluation.title(report.evaluation)
    return [
        f"<h2>{_text(title[0].upper() + title[1:])}</h2><table><thead><tr>{head}</tr></thead><tbody>",
        *body,
        f"</tbody></table><p>{_text(_evaluation.verdict(report.evaluation))}</p>",
    ]


def _learning_curves(report: Report) -> list[str]:
    chart = curves(report)
    if chart is None:
        return ["<h2>Learning curves</h2><p>No trial has reported a result.</p>"]
    key = ['<span><i class="b"></i>best trial</span>'] if report.best() is not None else []
    key += ["<span><i></i>other trials</span>"] if len(report.trials) > 1 else []
    if report.counts()["failed"]:
        key.append('<span><i class="f"></i>failed</span>')
    return [
        f"<h2>Learning curves: {_text(report.objective.metric)} by iteration</h2>",
        f'<p class="key">{"".join(key)}</p>',
        _figure(chart, css="wide many" if len(report.trials) > 300 else "wide"),
    ]


def _progress(report: Report) -> list[str]:
    chart = progress(report)
    return [] if chart is None else ["<h2>Best so far over time</h2>", _figure(chart, css="wide")]


def _scatters(report: Report) -> list[str]:
    charts = scatters(report)
    if not charts:
        return []
    failed = " A red cross is a failed trial." if report.counts()["failed"] else ""
    return [
        f"<h2>{_text(report.objective.metric)} against each hyperparameter</h2>",
        f'<p class="soft">A dot is a trial, the large one the best.{failed}</p><div class="small">',
        *(_figure(chart) for _, chart in charts),
        "</div>",
    ]


def _trials(report: Report) -> list[str]:
    if not report.trials:
        return ["<h2>Trials</h2><p>None has been suggested.</p>"]
    names = list(report.searched())
    front = report.front()
    failed = bool(report.counts()["failed"])
    shown = report.ranked()[:_MAX_ROWS]
    head = ["<th>trial</th><th>state</th>"]
    head += [
        f'<th class="n">{_text(name)}</th>' for name in (*report.objective.metrics, "iterations", "seconds")
    ]
    head += [f"<th>{_text(name)}</th>" for name in names]
    metrics = report.metrics()
    head += [f'<th class="n">{_text(name)}</th>' for name in metrics[:_MAX_METRICS]]
    head += ["<th>error</th>"] if failed else []
    tops = {trial.number for trial in front}
    rows = [
        _row(
            trial,
            report.values(trial),
            names,
            metrics[:_MAX_METRICS],
            top=trial.number in tops,
            error=failed,
        )
        for trial in shown
    ]
    notes = []
    if len(shown) < len(report.trials):
        notes.append(f"The best {len(shown):,} of {len(report.trials):,}; the CSV has all.")
    if len(metrics) > _MAX_METRICS:
        notes.append(f"{_MAX_METRICS} of {len(metrics):,} metrics; the CSV has all.")
    note = f'<p class="soft">{" ".join(notes)}</p>' if notes else ""
    return [
        f'<h2>Trials</h2>{note}<div class="scroll"><table><thead><tr>{"".join(head)}</tr></thead><tbody>',
        *rows,
        "</tbody></table></div>",
    ]


def _row(
    trial: Trial,
    values: list[float | None],
    names: list[str],
    metrics: list[str],
    *,
    top: bool,
    error: bool,
) -> str:
    numbers = (
        *("" if value is None else short(value) for value in values),
        f"{trial.iterations:,}",
        f"{trial.seconds:.1f}",
    )
    cells = [f"<td>{trial.id}</td><td>{_state(trial.state)}</td>"]
    cells += [f'<td class="n">{_text(number)}</td>' for number in numbers]
    cells += [_cell(short(trial.config[name]) if name in trial.config else "") for name in names]
    known = [trial.metrics.get(name) for name in metrics]
    cells += [_cell("" if value is None else short(value), css="n") for value in known]
    cells += [_cell(clean(trial.cause or ""))] if error else []
    opening = '<tr class="top">' if top else "<tr>"
    return f"{opening}{''.join(cells)}</tr>"


def _cell(text: str, *, css: str = "") -> str:
    """A cell with a text, cut where it is long; then all of it appears when the mouse rests there."""
    attributes = f' class="{css}"' if css else ""
    if len(text) > _MAX_CELL_LENGTH:
        attributes += f' title="{_text(_shortened(text, _MAX_TITLE_LENGTH))}"'
    return f"<td{attributes}>{_text(_shortened(text, _MAX_CELL_LENGTH))}</td>"


def _errors(report: Report) -> list[str]:
    """Failed trials, those that failed alike together, with one traceback for all of them."""
    failed = [trial for trial in report.trials if trial.state == "failed"]
    if not failed:
        return []
    causes = Counter(trial.cause or "no error was recorded" for trial in failed).most_common()
    blocks = ["<h2>Errors</h2>"]
    for cause, count in causes[:_MAX_ERRORS]:
        first = next(trial for trial in failed if (trial.cause or "no error was recorded") == cause)
        text = clean(first.error or cause)
        cut = "(the beginning is left out)\n…" if len(text) > _MAX_ERROR_LENGTH else ""
        blocks.append(
            f"<details><summary>{count:,} &times; {_text(_shortened(cause, 300))}</summary>"
            f'<p class="soft">Trial {first.id}{" and others" if count > 1 else ""}</p>'
            f"<pre>{cut}{_text(text[-_MAX_ERROR_LENGTH:])}</pre></details>"
        )
    if len(causes) > _MAX_ERRORS:
        blocks.append(f'<p class="soft">The {_MAX_ERRORS} commonest of {len(causes):,} different errors.</p>')
    return blocks


def _figure(chart: Chart, *, css: str = "") -> str:
    note = f"<figcaption>{_text(chart.note)}</figcaption>" if chart.note else ""
    return f'<figure><div class="{css}">{chart.svg}</div>{note}</figure>'


def _facts(pairs: list[tuple[str, str]], *, css: str = "") -> str:
    """A list of terms; both sides are HTML already."""
    items = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in pairs)
    return f'<dl class="{css}">{items}</dl>'


def _state(state: str) -> str:
    name = _text(state)
    return f'<span class="state {name}"><span>{name}</span></span>'


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(text: str) -> str:
    return escape(clean(text))
