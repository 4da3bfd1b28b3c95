"""The command ``tuner``: verbs in, exit codes out. Data goes to stdout, talk to stderr.

Exit codes: 0, the sweep has a finished trial and stayed inside its failure budget (other verbs: done);
1, it has none, or too many failed; 2, wrong input, found before any trial started; 130, interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import tuner
from tuner.errors import SpecError, TunerError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tuner.report import Report
    from tuner.sweep import Sweep

OK, NOTHING_FINISHED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.verb(options)
    except SpecError as error:
        if options.debug:
            raise
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return WRONG_INPUT
    except TunerError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, `head` say, has seen enough
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return OK
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tuner", description="Tune hyperparameters: one sweep file, from a laptop to a cluster."
    )
    parser.add_argument("--version", action="version", version=f"tuner {tuner.__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    check = _verb(verbs, "check", _check, "check a sweep file and say what it would run")
    _add_sweep_arguments(check)

    run = _verb(verbs, "run", _run, "run a sweep and print its best configuration")
    _add_sweep_arguments(run)
    run.add_argument(
        "--name", help="name of the results folder (default: the sweep's, numbered if it is taken)"
    )
    run.add_argument("--out", metavar="DIR", help="where results folders are made (default: the sweep's)")
    run.add_argument("--address", help="a running Ray cluster; 'auto' for the one on this machine")
    run.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    run.add_argument("--verbose", action="store_true", help="show what Ray and the trials print")

    resume = _verb(verbs, "resume", _resume, "go on with a sweep that was killed or interrupted")
    resume.add_argument("results", metavar="DIR", help="its results folder")
    resume.add_argument("--address", help="a running Ray cluster; 'auto' for the one on this machine")
    resume.add_argument("--json", action="store_true", help="print the outcome as one JSON object")
    resume.add_argument("--verbose", action="store_true", help="show what Ray and the trials print")

    plan = _verb(
        verbs, "plan", _plan, "forecast value, time and worker-hours for each scheduler, by simulation"
    )
    _add_sweep_arguments(plan)
    plan.add_argument(
        "--workers",
        type=_counts,
        default="1,8,64",
        metavar="N,N,...",
        help="how many workers (default: 1,8,64)",
    )
    plan.add_argument(
        "--curves",
        metavar="DIR",
        help="results of a sweep without early stopping (default: a short pilot is run)",
    )
    plan.add_argument(
        "--out", metavar="DIR", help="where the pilot's results folder is made (default: the sweep's)"
    )
    plan.add_argument("--address", help="a running Ray cluster for the pilot")
    plan.add_argument("--format", choices=("table", "json"), default="table")

    report = _verb(verbs, "report", _report, "show the results of a sweep, also while it runs")
    report.add_argument("results", metavar="DIR", help="a results folder")
    report.add_argument("--format", choices=("table", "json", "csv"), default="table")
    report.add_argument("--limit", type=int, default=20, metavar="N", help="rows of the table (default: 20)")
    what = report.add_mutually_exclusive_group()
    what.add_argument("--errors", action="store_true", help="the failed trials with their tracebacks")
    what.add_argument("--decisions", action="store_true", help="who was paused, resumed or stopped, and why")
    what.add_argument(
        "--replay", action="store_true", help="a sweep file that trains the best trial's schedule once more"
    )

    evaluate = _verb(
        verbs,
        "evaluate",
        _evaluate,
        "repeat the best trials over fresh seeds, and score the best on test rows",
    )
    evaluate.add_argument("results", metavar="DIR", help="a results folder")
    evaluate.add_argument("--top", type=_count, default=3, metavar="N", help="configurations (default: 3)")
    evaluate.add_argument("--repeats", type=_count, default=5, metavar="N", help="seeds of each (default: 5)")
    evaluate.add_argument("--address", help="a running Ray cluster; 'auto' for the one on this machine")

    export = _verb(verbs, "export", _export, "write the best trial's model for use elsewhere")
    export.add_argument("results", metavar="DIR", help="a results folder")
    export.add_argument("--out", metavar="DIR", required=True, help="where it is written")

    listing = _verb(verbs, "list", _list, "list what a sweep file can name, with settings and defaults")
    listing.add_argument("what", choices=("searchers", "schedulers", "trainables"))
    return parser


def _verb(verbs: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(verb=function)
    return parser


def _add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep file (YAML)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change one setting, e.g. budget.trials=8; can be given again",
    )


def _check(options: argparse.Namespace) -> int:
    from tuner.engine.progress import opening
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):  # what the user's module prints is talk
        sweep = Sweep.read(options.sweep, options.overrides)
        lanes = sweep.trainable.lanes(sweep.samples()) if sweep.resources.lanes != 1 else None
    print(f"{options.sweep}: {opening(sweep, None)}")
    if lanes is not None:
        print(f"lanes: {lanes}")
    return OK


def _run(options: argparse.Namespace) -> int:
    from tuner.engine.runner import run
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):
        sweep = _placed(Sweep.read(options.sweep, options.overrides), options)
    return _carried_out(options, run, sweep, exclusive=options.name is not None)


def _resume(options: argparse.Namespace) -> int:
    from tuner.engine.resuming import resume

    return _carried_out(options, resume, options.results)


def _carried_out(
    options: argparse.Namespace, carry_out: Callable[..., Report], what: Any, **parts: Any
) -> int:
    """Run or resume a sweep, and print what came of it."""
    from tuner.engine.progress import for_stream
    from tuner.report import renderings

    # Ray prints what happens to its nodes on stdout, whatever it was told.
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(sys.stderr if options.verbose else nowhere),
    ):
        report = carry_out(
            what,
            address=options.address,
            progress=for_stream(sys.stderr),
            verbose=options.verbose,
            **parts,
        )
    sys.stdout.write(renderings.json(report) if options.json else renderings.summary(report))
    return _exit_code(report)


def _plan(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.engine.curves import RecordedCurves
    from tuner.engine.plan import pilot_of, plan, table
    from tuner.engine.progress import for_stream
    from tuner.engine.runner import run
    from tuner.report import renderings
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):
        sweep = _placed(Sweep.read(options.sweep, options.overrides), options)
    folder = options.curves
    if folder is None:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            report = run(pilot_of(sweep), address=options.address, progress=for_stream(sys.stderr))
        if report.reason == "interrupted":
            return INTERRUPTED
        folder = report.folder
        print(f"curves of the pilot: {folder}", file=sys.stderr)
    curves = RecordedCurves.read(Path(folder), space=sweep.space, objective=sweep.objective)
    forecasts = plan(sweep, curves, workers=options.workers)
    if options.format == "json":
        text = json.dumps([forecast.to_dict() for forecast in forecasts], indent=2) + "\n"
    else:
        width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
        text = renderings.drawn(table(forecasts, sweep.objective.metric), width=width, color=color)
    sys.stdout.write(text)
    return OK


def _count(text: str) -> int:
    """A whole number from 1; raises ArgumentTypeError for anything else."""
    counts = _counts(text)
    if len(counts) > 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got '{text}'")
    return counts[0]


def _counts(text: str) -> list[int]:
    """Whole numbers from 1, with commas between them; raises ArgumentTypeError for anything else."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers from 1, as in 1,8,64, got '{text}'")
    return counts


def _placed(sweep: Sweep, options: argparse.Namespace) -> Sweep:
    from tuner.sweep import Sweep

    changed = {key: value for key in ("name", "out") if (value := getattr(options, key, None)) is not None}
    return (
        Sweep(**{**{key: getattr(sweep, key) for key in Sweep.model_fields}, **changed}) if changed else sweep
    )


def _exit_code(report: Report) -> int:
    counts = report.counts()
    if report.reason == "interrupted":
        return INTERRUPTED
    if report.reason == "failures" or counts["completed"] + counts["stopped"] == 0 or report.best() is None:
        return NOTHING_FINISHED
    return OK


def _report(options: argparse.Namespace) -> int:
    from tuner.report import Report, renderings

    report = Report.read(options.results)
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    if options.errors:
        text = renderings.errors(report)
    elif options.decisions:
        text = renderings.decisions(report, width=width, color=color)
    elif options.replay:
        from tuner.sweep import Sweep

        text = Sweep(**report.replay()).to_yaml()
    elif options.format == "json":
        text = renderings.json(report)
    elif options.format == "csv":
        text = renderings.csv(report)
    else:
        text = renderings.table(report, limit=options.limit, width=width, color=color)
    sys.stdout.write(text)
    return OK


def _evaluate(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.engine.evaluate import evaluate
    from tuner.engine.progress import for_stream
    from tuner.engine.runner import REPORT_FILE
    from tuner.report import renderings

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        report = evaluate(
            options.results,
            top=options.top,
            repeats=options.repeats,
            address=options.address,
            progress=lambda: for_stream(sys.stderr),
        )
    if report is None:
        return INTERRUPTED
    Path(options.results, REPORT_FILE).write_text(renderings.html(report), encoding="utf-8")
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    sys.stdout.write(renderings.evaluation(report, width=width, color=color))
    return OK


def _export(options: argparse.Namespace) -> int:
    from tuner.export import export

    with contextlib.redirect_stdout(sys.stderr):  # what the user's module prints is talk
        checkpoint = export(options.results, options.out)
    print(f"{options.out}: the model of {checkpoint}")
    return OK


def _list(options: argparse.Namespace) -> int:
    from tuner.schedulers import SCHEDULERS
    from tuner.searchers import SEARCHERS
    from tuner.spec import locate
    from tuner.trainable import trainables

    if options.what == "trainables":
        for name, entry in trainables().items():
            print(f"{name}: {entry.summary}")
            _print_settings("settings (under trainable:)", locate(entry.settings, {}, what="settings"))
            _print_settings("hyperparameters (under space:)", locate(entry.config, {}, what="config"))
        return OK
    table: Mapping[str, type[BaseModel]] = SEARCHERS if options.what == "searchers" else SCHEDULERS
    for name, spec in table.items():
        about = (inspect.getdoc(spec) or "").replace("\n\n", "\n")
        print(f"{name}: {textwrap.indent(about, '  ').strip()}")
        _print_settings("", spec)
    return OK


def _print_settings(title: str, model: type[BaseModel]) -> None:
    fields = {name: field for name, field in model.model_fields.items() if name != "kind"}
    if title and fields:
        print(f"  {title}")
    for name, field in fields.items():
        default = (
            "required" if field.is_required() else f"default {field.get_default(call_default_factory=True)!r}"
        )
        description, values = field.description or "", list(map(str, _values(field.annotation)))
        named = all(value in description for value in values)
        words = "; ".join(filter(None, [description, "" if named else f"one of {', '.join(values)}"]))
        print(f"    {name:<18} {default:<20} {words}".rstrip())


def _values(annotation: Any) -> list[Any]:
    """The values that a field's type lists, alone or beside others."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _values(part)]


if __name__ == "__main__":
    sys.exit(main())
