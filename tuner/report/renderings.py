"""A report as text: JSON, CSV, tables for a terminal, the summary at the end of a sweep, a web page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from csv import writer
from io import StringIO
from json import dumps
from typing import TYPE_CHECKING, Any

from tuner.report import _evaluation
from tuner.report._page import html
from tuner.report._report import Report, Trial
from tuner.report.words import clean, counted, duration, ended, full, left_behind, savings, several, short

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["csv", "decisions", "drawn", "errors", "evaluation", "html", "json", "summary", "table"]

# A narrower terminal wraps the lines itself; columns of a few characters would be unreadable.
_MIN_WIDTH = 80

_FRONT_SHOWN = 12

_CHANGES = ("pause", "resume", "stop")


def json(report: Report) -> str:
    """``Report.to_dict`` as strict, indented JSON."""
    return dumps(report.to_dict(), indent=2, allow_nan=False) + "\n"


def csv(report: Report) -> str:
    """A header and one row per trial; lists and mappings as JSON, nothing for what a trial does not have."""
    out = StringIO()
    rows = writer(out, lineterminator="\n")
    rows.writerow(map(clean, report.columns()))
    rows.writerows([_cell(value) for value in row.values()] for row in report.rows())
    return out.getvalue()


def table(report: Report, *, limit: int = 20, width: int = 100, color: bool = False) -> str:
    """The best ``limit`` trials, best first, then the counts by state; ``width`` in characters."""
    shown = report.ranked()[:limit]
    counts = (
        f"{several(len(report.trials), 'trial')}: {counted(report.counts())}"
        if report.trials
        else "no trials yet"
    )
    if not shown:
        return counts + "\n"
    if len(shown) < len(report.trials):
        counts = f"the best {len(shown)} of {counts}"
    text = _drawn(_trial_table(report, shown, columns=True), width=width, color=color)
    if text is None:  # too many hyperparameters for columns of their own
        text = _drawn(_trial_table(report, shown, columns=False), width=width, color=color, fold=True)
    return f"{text}{counts}\n{_evaluated(report, width=width, color=color)}"


def evaluation(report: Report, *, width: int = 100, color: bool = False) -> str:
    """What ``tuner evaluate`` found; nothing where it did not run."""
    if report.evaluation is None:
        return ""
    text = drawn(_evaluation.rows(report.evaluation), width=width, color=color)
    return f"{_evaluation.title(report.evaluation)}\n{text}{_evaluation.verdict(report.evaluation)}\n"


def errors(report: Report) -> str:
    """Each failed trial: its id, its configuration, the whole traceback."""
    failed = [trial for trial in report.trials if trial.state == "failed"]
    if not failed:
        return "no trial failed\n"
    return "\n".join(
        f"trial {trial.id} failed after {several(trial.iterations, 'iteration')}\n{_config(trial, '  ')}\n"
        f"{clean(trial.error or 'no error was recorded').rstrip()}\n"
        for trial in failed
    )


def decisions(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Who was paused, resumed or stopped, when (seconds since the start), and what led to it."""
    rows = [_decision(report, each) for each in report.decisions() if each.get("action") in _CHANGES]
    if not rows:
        return "no trial was paused, resumed or stopped\n"
    return drawn(rows, width=width, color=color)


def drawn(rows: Sequence[Mapping[str, str]], *, width: int = 100, color: bool = False) -> str:
    """At least one row as a table; columns in which all are empty are left out, words stand at the left."""
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    table = _new_table()
    for name in used:
        words = name in ("trial", "action", "reason", "scheduler", "outcome")
        table.add_column(name, justify="left" if words else "right", no_wrap=name != "reason")
    for row in rows:
        table.add_row(*(row[name] for name in used))
    return _drawn(table, width=width, color=color, fold=True) or ""


def summary(report: Report) -> str:
    """What a user is told when a sweep ends."""
    lines = [*_headline(report), ""]
    counts = report.counts()
    facts = [("trials", f"{len(report.trials):,}: {counted(counts)}" if report.trials else "none")]
    waiting = [
        f"{counts['pending']:,} pending (paused, or not yet started)" if counts["pending"] else "",
        f"{counts['running']:,} running" if counts["running"] else "",
    ]
    if report.reason is not None and any(waiting):
        facts.append(("unfinished", f"{' and '.join(filter(None, waiting))} when the sweep ended"))
    facts += [
        ("iterations", savings(report.iterations, report.iterations_without_stopping)),
        ("wall time", duration(report.seconds)),
        ("ended", ended(report.reason)),
        ("results", str(report.folder)),
    ]
    if failure := _commonest_error(report):
        facts.insert(1, ("errors", failure))
    if report.leaks:
        facts.insert(-3, ("memory", left_behind(report.leaks)))
    lines += [f"{name:<12}{clean(value)}" for name, value in facts]
    return "\n".join(lines) + "\n"


def _evaluated(report: Report, *, width: int, color: bool) -> str:
    text = evaluation(report, width=width, color=color)
    return f"\n{text}" if text else ""


def _headline(report: Report) -> list[str]:
    best = report.best()
    counts = report.counts()
    lines = []
    finished = counts["completed"] + counts["stopped"]
    if not finished:
        lines.append("No trial has finished." if report.reason is None else "No trial finished.")
    metric = clean(report.objective.metric)
    if best is None:
        if finished:
            lines.append(f"No trial reported a value of {metric}.")
        return lines
    if report.objective.others:
        return lines + _front_lines(report)
    so_far = "" if finished and report.reason is not None else " so far"
    lines += [
        f"best {metric}{so_far}: {full(best.value)} ({report.objective.mode}), trial {best.id}",
        _config(best, "  "),
        f"{'checkpoint':<12}{clean(best.checkpoint or 'none')}",
    ]
    return lines


def _front_lines(report: Report) -> list[str]:
    front = sorted(report.front(), key=lambda trial: -report.objective.score(trial.value or 0.0))
    of = " and ".join(clean(metric) for metric in report.objective.metrics)
    lines = [f"{several(len(front), 'trial')} of the best trade-offs (Pareto front) of {of}:"]
    for trial in front[:_FRONT_SHOWN]:
        values = ", ".join(short(value) for value in report.values(trial))
        lines.append(f"  {trial.id}  {values}  {clean(trial.checkpoint or '')}")
    if len(front) > _FRONT_SHOWN:
        lines.append(f"  and {len(front) - _FRONT_SHOWN} more; tuner report has all")
    return lines


def _commonest_error(report: Report) -> str | None:
    causes = [
        clean(trial.cause or "no error was recorded") for trial in report.trials if trial.state == "failed"
    ]
    if not causes:
        return None
    (cause, times), *others = Counter(causes).most_common()
    return f"{cause} ({times:,} of {several(len(causes), 'failed trial')})" if others else cause


def _config(trial: Trial, indent: str) -> str:
    """The configuration, one hyperparameter per line."""
    names = {name: clean(name) for name in trial.config}
    longest = max(map(len, names.values()), default=0)
    return "\n".join(
        f"{indent}{names[name]:<{longest}}  {full(value)}" for name, value in trial.config.items()
    )


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    return dumps(value)


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
        "seconds": f"{max(0.0, decision['time'] - report.start):.1f}",
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


def _trial_table(report: Report, trials: list[Trial], *, columns: bool) -> Table:
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
    for name in names if columns else ["configuration"]:
        drawn.add_column(
            Text(clean(name)), no_wrap=columns, overflow="fold", min_width=None if columns else 20
        )
    for trial in trials:
        pairs = {name: short(trial.config[name]) if name in trial.config else "" for name in names}
        line = " ".join(f"{clean(name)}={value}" for name, value in pairs.items() if value)
        drawn.add_row(
            trial.id,
            trial.state,
            *((["yes" if trial in front else ""]) if report.objective.others else []),
            *("" if value is None else short(value) for value in report.values(trial)),
            str(trial.iterations),
            f"{trial.seconds:.1f}",
            *(Text(value) for value in (pairs.values() if columns else [line])),
        )
    return drawn


def _new_table() -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _drawn(drawn: Table, *, width: int, color: bool, fold: bool = False) -> str | None:
    """The table as text; ``None`` when it needs more than ``width`` and must not be folded."""
    from rich.console import Console

    out = StringIO()
    console = Console(
        file=out,
        width=max(width, _MIN_WIDTH),
        force_terminal=color,
        no_color=not color,
        legacy_windows=False,
        _environ={},
    )
    unbounded = console.options.update(max_width=100_000)
    if not fold and console.measure(drawn, options=unbounded).maximum > width:
        return None
    console.print(drawn)
    return re.sub(r"[ ]+$", "", out.getvalue(), flags=re.MULTILINE)
