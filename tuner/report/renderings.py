"""A report as text: JSON, CSV, tables for a terminal, the summary at the end of a sweep, a web page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from csv import writer
from io import StringIO
from json import dumps
from typing import TYPE_CHECKING, Any

from tuner.report import _evaluation
from tuner.report._errors import commonest, tracebacks
from tuner.report._report import CHANGES, Report
from tuner.report._trial import Trial, checkpoint, reached_at
from tuner.report.page import html
from tuner.report.phrases import (
    NO_ERROR,
    cell,
    changed,
    clean,
    counted,
    duration,
    ended,
    full,
    left_behind,
    savings,
    several,
    short,
    since,
    where,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["csv", "decisions", "drawn", "errors", "evaluation", "html", "json", "summary", "table"]

# A narrower terminal wraps the lines itself, since columns of a few characters are unreadable.
_MIN_WIDTH = 80

# The least width of a configuration in one column: without, and with columns of metrics after it.
_LEAST_LINE = (20, 36)

# The least width of any other column, with the space around it.
_LEAST_COLUMN = 4

_FRONT_SHOWN = 12


def json(report: Report) -> str:
    """Return ``Report.to_dict`` as strict, indented JSON."""
    return dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"


def csv(report: Report) -> str:
    """Return a header and one row per trial.

    Lists and mappings are JSON, a missing value is empty. An apostrophe precedes text that a spreadsheet
    would read as a formula.
    """
    out = StringIO()
    rows = writer(out, lineterminator="\n")
    rows.writerow(map(cell, report.columns()))
    rows.writerows(map(cell, row.values()) for row in report.rows())
    return out.getvalue()


def table(
    report: Report,
    *,
    limit: int = 20,
    width: int = 100,
    color: bool = False,
    metrics: Sequence[str] | None = None,
) -> str:
    """Return the best trials, best first, then the counts by state.

    Args:
        report: The report.
        limit: The most rows.
        width: Characters in a line.
        color: Whether to use terminal colours.
        metrics: The metrics that have columns, apart from the objectives; ``None``: those that fit.
    """
    shown = report.ranked()[:limit]
    counts = (
        f"{several(len(report.trials), 'trial')}: {counted(report.counts())}"
        if report.trials
        else "no trials yet"
    )
    if report.is_unfinished:
        how = "interrupted" if report.reason else "killed: no process runs it"
        counts += f"\nthe sweep was {how}; continue with: {report.resumption()}"
    if failure := commonest(report):
        counts += f"\nerrors: {clean(failure)} (--errors shows tracebacks)"
    if not shown:
        return counts + "\n"
    if len(shown) < len(report.trials):
        counts = f"the best {len(shown)} of {counts}"
    text, more = _trials_drawn(report, shown, metrics, width=width, color=color)
    counts += f"\nmore metrics: {', '.join(map(clean, more))} (--metrics NAME,...)" if more else ""
    return f"{text}{counts}\n{_evaluation_table(report, width=width, color=color)}"


def _trials_drawn(
    report: Report, trials: list[Trial], metrics: Sequence[str] | None, *, width: int, color: bool
) -> tuple[str, list[str]]:
    """Return the trials as a table, and the metrics that did not fit."""
    known = report.metrics()
    # Try fewer and fewer metrics until each hyperparameter has a column.
    most = min(len(known), width // _LEAST_COLUMN)
    tries = [list(metrics)] if metrics is not None else [known[:count] for count in range(most, -1, -1)]
    for names in tries:
        text = _drawn(_trial_table(report, trials, names, columns=True), width=width, color=color)
        if text is not None:
            return text, [] if metrics is not None else known[len(names) :]
    # There is no room for a column for each hyperparameter.
    tables = [(names, _trial_table(report, trials, names, columns=False)) for names in tries]
    names, table = next((each for each in tables if _least_width(each[1]) <= width), tables[-1])
    text = _drawn(table, width=width, color=color, fold=True) or ""
    return text, [] if metrics is not None else known[len(names) :]


def evaluation(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Return the results of ``tuner evaluate``; empty if it did not run."""
    if report.evaluation is None:
        return ""
    text = drawn(_evaluation.rows(report.evaluation), width=width, color=color)
    title, verdict = _evaluation.title(report.evaluation), _evaluation.verdict(report.evaluation)
    return f"{clean(title)}\n{text}{clean(verdict)}\n"


def errors(report: Report) -> str:
    """Return the id, the configuration and the whole traceback of each failed trial."""
    failed = [trial for trial in report.trials if trial.state == "failed"]
    if not failed:
        return "no trial failed\n"
    return "\n".join(
        f"trial {trial.id} failed after {several(trial.iterations, 'iteration')}\n{_config(trial, '  ')}\n"
        f"{clean(trial.error or NO_ERROR).rstrip()}\n"
        for trial in failed
    )


def decisions(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Return a table of the trials that were paused, resumed or stopped: when, and why.

    Times are seconds since the start.
    """
    rows = [_decision(report, each) for each in report.decisions() if each.get("action") in CHANGES]
    if not rows:
        return "no trial was paused, resumed or stopped\n"
    return drawn(rows, width=width, color=color)


def drawn(rows: Sequence[Mapping[str, str]], *, width: int = 100, color: bool = False) -> str:
    """Return the rows, at least one, as a table. It omits empty columns, and aligns words to the left."""
    from rich.text import Text

    used = [name for name in rows[0] if any(row[name] for row in rows)]
    table = _new_table()
    for name in used:
        words = name in ("trial", "action", "reason", "scheduler", "outcome")
        table.add_column(Text(clean(name)), justify="left" if words else "right", no_wrap=name != "reason")
    for row in rows:
        table.add_row(*(Text(clean(row[name])) for name in used))
    return _drawn(table, width=width, color=color, fold=True) or ""


def summary(report: Report) -> str:
    """Return the summary that a sweep prints at its end."""
    lines = [*_headline(report), ""]
    counts = report.counts()
    facts = [("trials", f"{len(report.trials):,}: {counted(counts)}" if report.trials else "none")]
    waiting = counted({state: counts[state] for state in ("running", "paused", "pending")})
    if report.reason is not None and waiting:
        facts.append(("unfinished", f"{waiting} when the sweep ended"))
    facts += [
        ("iterations", savings(report.iterations, report.iterations_without_stopping)),
        ("wall time", duration(report.seconds)),
        ("ended", ended(report.reason, counts, is_running=report.is_running)),
        ("results", str(report.folder)),
        *([("continue", report.resumption())] if report.is_unfinished else []),
    ]
    if failure := commonest(report):
        facts.insert(1, ("errors", failure))
        facts.append(("tracebacks", tracebacks(report)))
    if (ahead := _failed_ahead(report)) is not None:
        at = f"{clean(report.objective.metric)} {short(ahead.value)} in iteration {ahead.best_iteration}"
        facts.insert(2, ("failed", f"trial {ahead.id} reached {at} before its error"))
    if report.leaks:
        facts.insert([name for name, _ in facts].index("wall time"), ("memory", left_behind(report.leaks)))
    lines += [f"{name:<12}{clean(value)}" for name, value in facts]
    return "\n".join(lines) + "\n"


def _failed_ahead(report: Report) -> Trial | None:
    """Return the best of the failed trials if it was better than all other trials."""
    failed = [trial for trial in report.trials if trial.state == "failed" and trial.value is not None]
    if not failed or report.objective.others:
        return None
    leader = max(failed, key=lambda trial: report.objective.score(trial.value or 0.0))
    best = report.best()
    value = None if best is None else best.value
    return leader if report.objective.better(leader.value or 0.0, value) else None


def _evaluation_table(report: Report, *, width: int, color: bool) -> str:
    text = evaluation(report, width=width, color=color)
    return f"\n{text}" if text else ""


def _headline(report: Report) -> list[str]:
    best = report.best()
    counts = report.counts()
    lines = []
    finished = counts["completed"] + counts["stopped"]
    if not finished:
        lines.append("No trial has finished." if report.reason is None else "No trial finished.")
    elif report.reason is not None and not counts["completed"] and counts["failed"]:
        lines.append("No trial completed.")
    metric = clean(report.objective.metric)
    if best is None:
        if finished:
            lines.append(f"No trial reported a value of {metric}.")
        return lines
    if report.objective.others:
        return lines + _front_lines(report)
    so_far = "" if finished and report.reason is not None else " so far"
    lines += [
        f"best {metric}{so_far}: {full(best.value)} ({report.objective.mode}), trial {best.id}, "
        f"{reached_at(best)}",
        _config(best, "  "),
        *_schedule_lines(report, best),
        *([f"{'metrics':<12}{changed(best.metrics)}"] if best.metrics else []),
        *([f"{'ranks':<12}{clean(where(best.ranks))}"] if best.ranks else []),
        f"{'checkpoint':<12}{clean(checkpoint(best))}",
    ]
    return lines


def _schedule_lines(report: Report, trial: Trial) -> list[str]:
    """Return lines on the changes of hyperparameters up to the trial's best; none if nothing changed."""
    changes = report.changes(trial)
    if len(changes) < 2:
        return []
    return [
        f"{'schedule':<12}the hyperparameters changed during training; these are the last ones",
        *(f"  {since(at)}: {changed(new)}" for at, new in changes),
        f"  to train it again: tuner report {clean(str(report.folder))} --replay > replay.yaml",
    ]


def _front_lines(report: Report) -> list[str]:
    front = sorted(report.front(), key=lambda trial: -report.objective.score(trial.value or 0.0))
    of = " and ".join(clean(metric) for metric in report.objective.metrics)
    lines = [f"{several(len(front), 'trial')} of the best trade-offs (Pareto front) of {of}:"]
    for trial in front[:_FRONT_SHOWN]:
        values = ", ".join(short(value) for value in report.values(trial))
        lines.append(f"  {trial.id}  {values}  {clean(checkpoint(trial))}")
    if len(front) > _FRONT_SHOWN:
        lines.append(f"  and {len(front) - _FRONT_SHOWN} more; tuner report has all")
    return lines


def _config(trial: Trial, indent: str) -> str:
    """Return the configuration, one hyperparameter per line."""
    names = {name: clean(name) for name in trial.config}
    longest = max(map(len, names.values()), default=0)
    return "\n".join(
        f"{indent}{names[name]:<{longest}}  {full(value)}" for name, value in trial.config.items()
    )


def _decision(report: Report, decision: dict[str, Any]) -> dict[str, str]:
    rank, of = decision.get("rank"), decision.get("of")
    numbers = {
        name: "" if decision.get(key) is None else short(decision[key])
        for name, key in (
            (report.resource, "resource"),
            ("value", "value"),
            ("cut-off", "cutoff"),
            ("rung", "rung"),
            ("bracket", "bracket"),
        )
    }
    return {
        "seconds": f"{report.elapsed(decision['time']):.1f}",
        "trial": decision["trial"],
        "action": decision["action"],
        report.resource: numbers[report.resource],
        "value": numbers["value"],
        "cut-off": numbers["cut-off"],
        "rank": "" if rank is None else f"{rank} of {of}" if of is not None else str(rank),
        "rung": numbers["rung"],
        "bracket": numbers["bracket"],
        "reason": decision.get("reason") or "",
    }


def _trial_table(report: Report, trials: list[Trial], metrics: Sequence[str], *, columns: bool) -> Table:
    from rich.text import Text

    names = list(report.searched())
    front = report.front()
    drawn = _new_table()
    drawn.add_column("trial", no_wrap=True)
    drawn.add_column("state", no_wrap=True)
    if report.objective.others:
        drawn.add_column("front", no_wrap=True)
    for name in (*report.objective.metrics, "iterations", "seconds"):
        drawn.add_column(Text(clean(name)), justify="right", no_wrap=True)
    least = _LEAST_LINE[bool(metrics)]
    for name in names if columns else ["configuration"]:
        drawn.add_column(
            Text(clean(name)), no_wrap=columns, overflow="fold", min_width=None if columns else least
        )
    for name in metrics:
        drawn.add_column(Text(clean(name)), justify="right", no_wrap=True)
    for trial in trials:
        pairs = {name: short(trial.config[name]) if name in trial.config else "" for name in names}
        line = " ".join(f"{clean(name)}={value}" for name, value in pairs.items() if value)
        drawn.add_row(
            trial.id,
            "interrupted" if trial.state == "running" and report.is_unfinished else trial.state,
            *((["yes" if trial in front else ""]) if report.objective.others else []),
            *("" if value is None else short(value) for value in report.values(trial)),
            str(trial.iterations),
            f"{trial.seconds:.1f}",
            *(Text(value) for value in (pairs.values() if columns else [line])),
            *(Text(_metric(trial, name)) for name in metrics),
        )
    return drawn


def _metric(trial: Trial, name: str) -> str:
    value = trial.metrics.get(name)
    return "" if value is None else short(value)


def _new_table() -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _drawn(drawn: Table, *, width: int, color: bool, fold: bool = False) -> str | None:
    """Return the table as text; ``None`` if it is too wide and must not be folded."""
    out = StringIO()
    console = _console(out, width=width, color=color)
    unbounded = console.options.update(max_width=100_000)
    if not fold and console.measure(drawn, options=unbounded).maximum > max(width, _MIN_WIDTH):
        return None
    console.print(drawn)
    return re.sub(r"[ ]+$", "", out.getvalue(), flags=re.MULTILINE)


def _least_width(drawn: Table) -> int:
    console = _console(StringIO(), width=_MIN_WIDTH, color=False)
    return console.measure(drawn, options=console.options.update(max_width=100_000)).minimum


def _console(out: StringIO, *, width: int, color: bool) -> Console:
    from rich.console import Console

    return Console(
        file=out,
        width=max(width, _MIN_WIDTH),
        force_terminal=color,
        no_color=not color,
        legacy_windows=False,
        _environ={},
    )
