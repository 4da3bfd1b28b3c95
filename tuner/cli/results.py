"""Verbs about results folders: ``report``, ``evaluate``, ``export``, ``logs``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from tuner.cli.options import (
    INTERRUPTED,
    OK,
    add_results,
    add_trust,
    add_verb,
    count,
    print_json,
    trusting,
)
from tuner.errors import Problem, ResultsError, SpecError

if TYPE_CHECKING:
    from tuner.report import Report


def add_to(verbs: Any) -> None:
    """Add these verbs to the command line."""
    _report_verb(verbs)
    _evaluate_verb(verbs)
    _export_verb(verbs)
    _logs_verb(verbs)


def _report_verb(verbs: Any) -> None:
    report = add_verb(verbs, "report", _report, "show the results of a finished or running sweep")
    add_results(report)
    report.add_argument("--format", choices=("table", "csv", "html"), default="table")
    report.add_argument("--limit", type=int, default=20, metavar="N", help="rows of the table (default: 20)")
    report.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="metrics to show in columns besides the objective; or all, none (default: as many as fit)",
    )
    part = report.add_mutually_exclusive_group()
    part.add_argument("--errors", action="store_true", help="failed trials with their tracebacks")
    part.add_argument(
        "--decisions", action="store_true", help="which trials paused, resumed or stopped, and why"
    )
    part.add_argument(
        "--replay", action="store_true", help="a sweep file that repeats the best trial's schedule"
    )


def _report(options: argparse.Namespace) -> int:
    from tuner.report import Report, renderings

    report = Report.read(options.results)
    if options.json:
        print_json(_data(report, options))
        return OK
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    if options.errors:
        text = renderings.errors(report)
    elif options.decisions:
        text = renderings.decisions(report, width=width, color=color)
    elif options.replay:
        from tuner.sweep import Sweep

        text = Sweep(**report.replay()).to_yaml()
    elif options.format == "csv":
        text = renderings.csv(report)
    elif options.format == "html":
        text = renderings.html(report)
    else:
        metrics = _metrics(report, options.metrics)
        text = renderings.table(report, limit=options.limit, width=width, color=color, metrics=metrics)
    sys.stdout.write(text)
    return OK


def _data(report: Report, options: argparse.Namespace) -> object:
    """Return what ``report --json`` prints: the whole report, or the part that was asked for."""
    if options.errors:
        failed = [trial for trial in report.trials if trial.state == "failed"]
        return [{"trial": trial.number, "config": trial.config, "error": trial.error} for trial in failed]
    if options.decisions:
        return report.decisions()
    if options.replay:
        return report.replay()
    return report.to_dict()


def _evaluate_verb(verbs: Any) -> None:
    evaluate = add_verb(
        verbs,
        "evaluate",
        _evaluate,
        "repeat the best trials over fresh seeds, and score the best on test rows",
    )
    add_results(evaluate)
    evaluate.add_argument("--top", type=count, default=3, metavar="N", help="configurations (default: 3)")
    evaluate.add_argument("--repeats", type=count, default=5, metavar="N", help="seeds of each (default: 5)")
    evaluate.add_argument("--address", help="a running Ray cluster; 'auto' for the one on this machine")
    add_trust(evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from tuner.cluster.progress import for_stream
    from tuner.evaluation.evaluate import evaluate
    from tuner.report import renderings

    def act(trust: bool) -> Report | None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return evaluate(
                options.results,
                top=options.top,
                repeats=options.repeats,
                address=options.address,
                progress=lambda: for_stream(sys.stderr),
                trust=trust,
            )

    report = trusting(options, act)
    if report is None:
        return INTERRUPTED
    if options.json:
        print_json(report.to_dict())
        return OK
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    sys.stdout.write(renderings.evaluation(report, width=width, color=color))
    return OK


def _export_verb(verbs: Any) -> None:
    export = add_verb(verbs, "export", _export, "write the best trial's model for use elsewhere")
    add_results(export)
    export.add_argument("--out", metavar="DIR", required=True, help="folder to write the model to")
    add_trust(export)


def _export(options: argparse.Namespace) -> int:
    from tuner.export import export

    with contextlib.redirect_stdout(sys.stderr):  # the user's module may print
        checkpoint = trusting(options, lambda trust: export(options.results, options.out, trust=trust))
    if options.json:
        print_json({"out": options.out, "checkpoint": str(checkpoint)})
    else:
        print(f"{options.out}: the model of {checkpoint}")
    return OK


def _logs_verb(verbs: Any) -> None:
    logs = add_verb(verbs, "logs", _logs, "show what a trial printed")
    add_results(logs)
    logs.add_argument("trial", type=int, metavar="TRIAL", help="number of the trial")
    logs.add_argument(
        "--rank", type=int, default=0, metavar="N", help="process of a trial of several (default: 0)"
    )


def _logs(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.report import Report
    from tuner.report.phrases import clean

    trials = {trial.number: trial for trial in Report.read(options.results).trials}
    if options.trial not in trials:
        raise ResultsError(f"{options.results}: has no trial {options.trial}; must be below {len(trials)}")
    trial = trials[options.trial]
    processes = max(1, len(trial.ranks))
    if not 0 <= options.rank < processes:
        what = f"trial {options.trial} has no rank {options.rank}; must be below {processes}"
        raise ResultsError(f"{options.results}: {what}")
    of_rank = f"-rank{options.rank}" if options.rank else ""
    path = Path(options.results, "logs", f"{trial.id}{of_rank}.log")
    printed = clean(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else ""
    if options.json:
        rank = {"rank": options.rank} if processes > 1 else {}
        print_json({"trial": options.trial, **rank, "printed": printed})
        return OK
    of_trial = f"rank {options.rank} of trial {options.trial}" if processes > 1 else f"trial {options.trial}"
    if printed:
        sys.stdout.write(printed)
    else:
        print(f"{of_trial} printed nothing", file=sys.stderr)
    if processes > 1:
        print(f"{of_trial}; --rank shows each of its {processes} processes", file=sys.stderr)
    return OK


def _metrics(report: Report, asked: str | None) -> list[str] | None:
    """Return the metrics for the table's columns; ``None`` means as many as fit."""
    from tuner.spec import did_you_mean

    known = report.metrics()
    if asked is None or asked in ("all", "none"):
        return {None: None, "all": known, "none": []}[asked]
    names = [name.strip() for name in asked.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong:
        raise SpecError(
            [Problem("--metrics", f"no trial reported '{n}'{did_you_mean(n, known)}") for n in wrong]
        )
    return names
