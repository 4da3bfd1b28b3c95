"""The top of the page: the best value, claimed and repeated, its configuration, counts, next commands."""

from __future__ import annotations

import time
from collections.abc import Iterable

from tuner.report.page._plot import state_label
from tuner.report.page._words import brief, text
from tuner.report.page.data import PageData, TrialData
from tuner.report.phrases import changed, duration, full, since

_MAX_METRICS = 40


def headline(page: PageData) -> str:
    """Return the name of the sweep, its state and its outcome."""
    cards = [_best_card(page), _configuration_card(page), _counts_card(page)]
    return f'<h1>{text(page.name)}</h1>{_status(page)}<div class="head">{"".join(cards)}</div>'


def next_commands(page: PageData) -> str:
    """Return the section of helpful commands."""
    rows = "".join(
        f"<dt><code>{text(each.command)}</code></dt><dd>{text(each.purpose)}</dd>" for each in page.commands
    )
    where = f"Run these where the folder <code>{text(page.folder)}</code> is."
    commands = f'<p class="soft">{where}</p><dl class="commands">{rows}</dl>'
    return f'<section id="next"><h2>Next</h2>{commands}</section>'


def facts(pairs: Iterable[tuple[str, str]], *, css: str = "") -> str:
    """Return a list of terms; both sides are HTML."""
    items = "".join(f"<dt>{term}</dt><dd>{value}</dd>" for term, value in pairs)
    return f'<dl class="{css}">{items}</dl>'


def _status(page: PageData) -> str:
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(page.started))
    if page.has_ended:
        state = f"ran for {duration(page.seconds)}"
    else:
        how = "running" if page.is_running else "killed or interrupted"
        state = f"{how}: this page shows the first {duration(page.seconds)}"
    return f'<p class="soft">Started {started}; {state}.</p>'


def _best_card(page: PageData) -> str:
    best = page.best_trial
    metric = text(page.metric)
    if best is None:
        return f'<div class="card"><h2>Outcome</h2><p>No trial has a value of {metric}.</p></div>'
    goal = "highest" if page.maximises else "lowest"
    is_final = page.has_ended and page.counts["completed"] + page.counts["stopped"]
    of_front = "Of the Pareto front, best " if len(page.objectives) > 1 else "Best "
    where = f"iteration {best.best_iteration:,} of {best.iterations:,}"
    return (
        f'<div class="card main"><h2>{of_front}{metric}{"" if is_final else " so far"} ({goal})</h2>'
        f'<div class="big" title="{text(full(best.value))}">{text(brief(best.value))}</div>'
        f'<p class="soft">trial {best.id}, {where}</p>{_honest(page)}'
        f"{facts([('checkpoint', text(page.checkpoint))])}{_other_metrics(best)}</div>"
    )


def _honest(page: PageData) -> str:
    """Return the claimed value and the values of repeats."""
    found = page.evaluation
    if found is None:
        if len(page.objectives) > 1 or len(page.trials) < 2:
            return ""
        remedy = "run its configuration again with other seeds."
        if page.can_be_evaluated:
            remedy = "<code>tuner evaluate</code> measures it again."
        what = f"The best of many noisy values is optimistic; {remedy}"
        return f'<p class="soft">{what}</p>'
    chosen = next(each for each in found["candidates"] if each["trial"] == found["chosen"])
    test = found["test"]
    rows = [
        ("claimed by the search", text(brief(chosen["claimed"]))),
        (f"mean of {found['repeats']} repeats", _mean(chosen)),
        (f"{text(test['metric'])} on test rows", _mean(test)),
    ]
    other = (
        "" if page.best is None or chosen["trial"] == f"{page.best:05d}" else " (not the best of the search)"
    )
    winner = f'<p class="winner">Winner after repeats: trial {text(chosen["trial"])}{other}</p>'
    return winner + facts(rows, css="honest")


def _mean(found: dict[str, float | None]) -> str:
    spread = found.get("spread")
    after = "" if spread is None else f" ± {float(spread):.2g}"
    mean = found.get("mean")
    return "none" if mean is None else f"<b>{text(brief(float(mean)))}</b>{text(after)}"


def _other_metrics(trial: TrialData) -> str:
    if not trial.metrics:
        return ""
    pairs = [(text(name), text(brief(value))) for name, value in trial.metrics.items()]
    return f"<h3>Its other metrics</h3>{facts(pairs[:_MAX_METRICS])}"


def _configuration_card(page: PageData) -> str:
    best = page.best_trial
    if best is None:
        return ""
    pairs = [
        (text(name), f'<span title="{text(full(value))}">{text(brief(value))}</span>')
        for name, value in best.config.items()
    ]
    return f'<div class="card"><h2>Its configuration</h2>{facts(pairs, css="config")}{_schedule(page)}</div>'


def _schedule(page: PageData) -> str:
    if not page.schedule:
        return ""
    pairs = [(since(at), text(changed(config))) for at, config in page.schedule]
    return f"<h3>Its schedule: these are the last values</h3>{facts(pairs)}"


def _counts_card(page: PageData) -> str:
    states = [(state_label(state), f"{count:,}") for state, count in page.counts.items() if count]
    facts_of_sweep = [(text(term), text(value)) for term, value in page.facts]
    count = len(page.trials)
    return (
        f'<div class="card"><h2>{count:,} trial{"" if count == 1 else "s"}</h2>{facts(states)}'
        f"{facts(facts_of_sweep)}</div>"
    )
