"""The command ``tuner``: verbs in, exit codes out. Data goes to stdout, talk to stderr.

Exit codes: 0, the sweep has a finished trial and stayed inside its failure budget (other verbs: done); 1, it
has none, or too many failed, or no trial completed while some failed; 2, wrong input, found before any trial
started; 130, interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import tuner
from tuner.errors import Problem, ResultsError, SpecError, TunerError, UntrustedError

if TYPE_CHECKING:
    from tuner.report import Report
    from tuner.sweep import Sweep

_T = TypeVar("_T")

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
            _complain(problem)
        return WRONG_INPUT
    except TunerError as error:
        if options.debug:
            raise
        _complain(error)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, `head` say, has seen enough
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return OK
    return code


def _complain(about: object) -> None:
    from tuner.report.words import clean

    print(f"error: {clean(str(about))}", file=sys.stderr)


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
    _add_trust(resume)
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
    report.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="columns of the table for these metrics beside the objective; all, none (default: what fits)",
    )
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

    _add_trust(evaluate)

    export = _verb(verbs, "export", _export, "write the best trial's model for use elsewhere")
    export.add_argument("results", metavar="DIR", help="a results folder")
    export.add_argument("--out", metavar="DIR", required=True, help="where it is written")
    _add_trust(export)

    logs = _verb(verbs, "logs", _logs, "show what a trial has printed")
    logs.add_argument("results", metavar="DIR", help="a results folder")
    logs.add_argument("trial", type=int, metavar="TRIAL", help="its number")

    listing = _verb(verbs, "list", _list, "list what a sweep file can say, with settings and defaults")
    listing.add_argument("what", choices=("sweep", "searchers", "schedulers", "trainables"))

    _verb(verbs, "schema", _schema, "print the JSON Schema of a sweep file, for editors")
    return parser


def _verb(verbs: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(verb=function)
    return parser


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code that the folder names, although another user or machine began its sweep",
    )


def _trusting(options: argparse.Namespace, act: Callable[[bool], _T]) -> _T:
    """Do what may need trust in a results folder, which a user at a terminal is asked for."""
    try:
        return act(options.trust)
    except UntrustedError as error:
        if options.trust or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        _complain(error)
        print("Trust this folder and run its code? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
    return act(True)


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
    from tuner.cluster.progress import opening
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):  # what the user's module prints is talk
        sweep = Sweep.read(options.sweep, options.overrides)
        _build_loggers(sweep)
        lanes = sweep.trainable.lanes(sweep.samples) if sweep.resources.lanes != 1 else None
    print(f"{options.sweep}: {opening(sweep, None)}")
    if lanes is not None:
        print(f"lanes: {lanes}")
    return OK


def _build_loggers(sweep: Sweep) -> None:
    """Raise SpecError when a logger cannot be made, which only making it shows."""
    problems: list[Problem] = []
    for number, logger in enumerate(sweep.loggers):
        try:
            logger.build()
        except SpecError as error:
            problems += [problem.inside(f"loggers.{number}") for problem in error.problems]
    if problems:
        raise SpecError(problems)


def _run(options: argparse.Namespace) -> int:
    from tuner.cluster.runner import run
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):
        sweep = _placed(Sweep.read(options.sweep, options.overrides), options)
    return _carried_out(options, run, sweep, exclusive=options.name is not None)


def _resume(options: argparse.Namespace) -> int:
    from tuner.cluster.resuming import resume

    return _trusting(options, lambda trust: _carried_out(options, resume, options.results, trust=trust))


def _carried_out(
    options: argparse.Namespace, carry_out: Callable[..., Report], what: Any, **parts: Any
) -> int:
    """Run or resume a sweep, and print what came of it."""
    from tuner.cluster.progress import for_stream
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

    from tuner.cluster.progress import for_stream
    from tuner.cluster.runner import run
    from tuner.report import renderings
    from tuner.simulation.curves import RecordedCurves
    from tuner.simulation.plan import pilot_of, plan, table
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
    # Every trial was run, and whoever was not stopped failed.
    if report.reason == "trials" and not counts["completed"] and counts["failed"]:
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
        metrics = _metrics(report, options.metrics)
        text = renderings.table(report, limit=options.limit, width=width, color=color, metrics=metrics)
    sys.stdout.write(text)
    return OK


def _metrics(report: Report, asked: str | None) -> list[str] | None:
    """The metrics that the table is to have; ``None``: those that fit."""
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

    report = _trusting(options, act)
    if report is None:
        return INTERRUPTED
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    sys.stdout.write(renderings.evaluation(report, width=width, color=color))
    return OK


def _export(options: argparse.Namespace) -> int:
    from tuner.export import export

    with contextlib.redirect_stdout(sys.stderr):  # what the user's module prints is talk
        checkpoint = _trusting(options, lambda trust: export(options.results, options.out, trust=trust))
    print(f"{options.out}: the model of {checkpoint}")
    return OK


def _logs(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.report import Report
    from tuner.report.words import clean

    trials = {trial.number: trial for trial in Report.read(options.results).trials}
    if options.trial not in trials:
        raise ResultsError(f"{options.results}: has no trial {options.trial}; must be below {len(trials)}")
    path = Path(options.results, "logs", f"{trials[options.trial].id}.log")
    if path.is_file():
        sys.stdout.write(clean(path.read_text(encoding="utf-8", errors="replace")))
    else:
        print(f"trial {options.trial} has printed nothing", file=sys.stderr)
    return OK


def _list(options: argparse.Namespace) -> int:
    from tuner.listing import LISTS

    for line in LISTS[options.what](shutil.get_terminal_size().columns):
        print(line)
    return OK


def _schema(options: argparse.Namespace) -> int:
    from tuner.schema import sweep_schema

    print(json.dumps(sweep_schema(), indent=2))
    return OK


if __name__ == "__main__":
    sys.exit(main())
