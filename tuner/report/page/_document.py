"""Puts figures and tables together to one HTML file, or to a snippet for a notebook."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from tuner.report._report import Report
from tuner.report.page import _decisions, _headline
from tuner.report.page._architectures import architectures
from tuner.report.page._bars import importance, timeline
from tuner.report.page._candidates import candidates
from tuner.report.page._curves import incumbent, learning_curves
from tuner.report.page._heatmap import cells_data, heat_map
from tuner.report.page._parallel import parallel_coordinates
from tuner.report.page._plot import Figure, symbols
from tuner.report.page._population import lineage, schedules
from tuner.report.page._scatter import fronts, scatters
from tuner.report.page._trials import TrialsTable
from tuner.report.page._words import brief, text
from tuner.report.page.data import PageData
from tuner.report.page.gather import page_data

FIGURES: tuple[tuple[str, Callable[[PageData], Figure | None]], ...] = (
    ("Evaluation", candidates),
    ("Pareto front", fronts),
    ("Curves", learning_curves),
    ("Best so far", incumbent),
    ("Importance", importance),
    ("Heat map", heat_map),
    ("Parallel coordinates", parallel_coordinates),
    ("Hyperparameters", scatters),
    ("Schedules", schedules),
    ("Lineage", lineage),
    ("Architectures", architectures),
    ("Timeline", timeline),
)
"""Name in the list of contents, and what draws the figure; in the order of the page."""

_SNIPPET_ROWS = 5


def html(report: Report) -> str:
    """Return the page of a report as one self-contained HTML file."""
    page = page_data(report)
    drawn = [(name, figure) for name, draw in FIGURES if (figure := draw(page)) is not None]
    script = _asset("page.js")
    table = TrialsTable.of(page)
    data = {"trials": table.data(), "cells": cells_data(page)}
    name = text(page.name)
    settings = text(json.dumps(page.sweep, indent=2, ensure_ascii=False))
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">',
            f"<title>{name}</title><style>{_asset('style.css')}</style></head>",
            f'<body class="tuner">{_symbols()}<main>',
            _headline.headline(page),
            _contents(page, drawn),
            _headline.next_commands(page),
            *(_figure(figure) for _, figure in drawn),
            "" if any(figure.key == "curves" for _, figure in drawn) else _no_result(),
            table.section(),
            _decisions.decisions(page),
            _decisions.errors(page),
            '<section id="sweep"><h2>Sweep</h2><details><summary>Every setting, defaults included</summary>',
            f"<pre>{settings}</pre></details></section></main>",
            f'<script type="application/json" id="data">{_embed(data)}</script>',
            f"<script>{script}</script></body></html>\n",
        ]
    )


def html_snippet(report: Report) -> str:
    """Return a short form for a notebook: the best, the top trials and the learning curves."""
    page = page_data(report, with_importances=False)
    best = page.best_trial
    if best is None:
        outcome = f"No trial has a value of {text(page.metric)}."
    else:
        config = " ".join(f"{name}={brief(value)}" for name, value in best.config.items())
        outcome = (
            f"best {text(page.metric)}: <b>{text(brief(best.value))}</b>, trial {best.id}, "
            f"iteration {best.best_iteration:,} of {best.iterations:,}<br><code>{text(config)}</code>"
        )
    curves = learning_curves(page)
    counts = (
        ", ".join(f"{count:,} {state}" for state, count in page.counts.items() if count) or "no trials yet"
    )
    return (
        f'<div class="tuner snippet"><style>{_asset("style.css")}</style>{_symbols()}'
        f'<h2>{text(page.name)}</h2><p>{outcome}</p><p class="soft">{counts}</p>'
        f"{TrialsTable.of(page).short(_SNIPPET_ROWS)}{'' if curves is None else _figure(curves)}</div>"
    )


def _figure(figure: Figure) -> str:
    notes = f"<figcaption>{text(' '.join(figure.notes))}</figcaption>" if figure.notes else ""
    return (
        f'<section id="{figure.key}"><h2>{text(figure.title)}</h2><figure>{figure.legend}{figure.body}{notes}'
        "</figure></section>"
    )


def _no_result() -> str:
    what = '<p class="none">No trial has reported a result.</p>'
    return f'<section id="curves"><h2>Learning curves</h2>{what}</section>'


def _contents(page: PageData, drawn: list[tuple[str, Figure]]) -> str:
    links = [("next", "Next"), *((figure.key, name) for name, figure in drawn), ("trials", "Trials")]
    links += [("decisions", "Decisions")] if page.decisions else []
    links += [("errors", "Errors")] if page.errors else []
    links.append(("sweep", "Sweep"))
    items = "".join(f'<a href="#{key}">{text(name)}</a>' for key, name in links)
    return f'<nav aria-label="contents">{items}</nav>'


def _symbols() -> str:
    """Return the marks, ticks and arrows that the figures use."""
    return symbols().replace(
        "</defs>",
        '<path id="tick" class="tuner-tick" d="M0 0v4"/>'
        '<path id="arrow-down" d="M-4-7L0-1L4-7"/><path id="arrow-up" d="M-4 7L0 1L4 7"/></defs>',
    )


def _policy(script: str) -> str:
    """Return a policy under which a browser loads nothing and runs only this script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _embed(data: object) -> str:
    """JSON that no browser takes for HTML."""
    packed = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return packed.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _asset(name: str) -> str:
    return files("tuner.report.page").joinpath(name).read_text(encoding="utf-8")
