"""Verbs about sweeps: ``check``, ``run``, ``resume``, ``stop``, ``plan``."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tuner.cli.options import (
    INTERRUPTED,
    OK,
    add_results,
    add_run_arguments,
    add_sweep_arguments,
    add_trust,
    add_verb,
    counts,
    exit_code,
    placed,
    print_json,
    trusting,
)
from tuner.errors import Problem, ResultsError, SpecError

if TYPE_CHECKING:
    from tuner.report import Report
    from tuner.sweep import Sweep


def add_to(verbs: Any) -> None:
    """Add these verbs to the command line."""
    _check_verb(verbs)
    _run_verb(verbs)
    _resume_verb(verbs)
    _stop_verb(verbs)
    _plan_verb(verbs)


def _check_verb(verbs: Any) -> None:
    check = add_verb(verbs, "check", _check, "check a sweep file and describe what it would run")
    add_sweep_arguments(check)


def _check(options: argparse.Namespace) -> int:
    from tuner.cluster.progress import opening
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):  # the user's module may print
        sweep = Sweep.read(options.sweep, options.overrides)
        _build_loggers(sweep)
        resources = sweep.resources
        alone = resources.lanes == 1 or resources.has_gangs or resources.depends
        lanes = None if alone else sweep.trainable.lanes(sweep.samples)
    summary = opening(sweep, None)
    if options.json:
        print_json({"summary": summary, "lanes": lanes, "sweep": sweep.to_dict()})
        return OK
    print(f"{options.sweep}: {summary}")
    if lanes is not None:
        print(f"lanes: {lanes}")
    return OK


def _run_verb(verbs: Any) -> None:
    run = add_verb(verbs, "run", _run, "run a sweep and print its best configuration")
    run.epilog = (
        "A script needs no sweep file: tuner run train.py --lr 1e-4..1e-1:log --hidden 16,32,64 "
        "--metric val_loss:min --trials 32 [--iterations N] [--seconds S] [--searcher S] [--scheduler S] "
        "[--cpu N] [--gpu N] [--seed N]"
    )
    add_sweep_arguments(run)
    run.add_argument(
        "--name", help="name of the results folder (default: the sweep's, numbered if it is taken)"
    )
    run.add_argument("--out", metavar="DIR", help="parent of the results folder (default: the sweep's)")
    add_run_arguments(run)


def _run(options: argparse.Namespace) -> int:
    from tuner.cluster.runner import run
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):
        sweep = placed(Sweep.read(options.sweep, options.overrides, check=False), options)
    return _carry_out(options, run, sweep, exclusive=options.name is not None)


def _resume_verb(verbs: Any) -> None:
    resume = add_verb(verbs, "resume", _resume, "continue a sweep that was killed or interrupted")
    resume.add_argument("results", metavar="DIR", help="its results folder")
    add_run_arguments(resume)
    add_trust(resume)


def _resume(options: argparse.Namespace) -> int:
    from tuner.cluster.resuming import resume

    return trusting(options, lambda trust: _carry_out(options, resume, options.results, trust=trust))


def _stop_verb(verbs: Any) -> None:
    stop = add_verb(verbs, "stop", _stop, "interrupt a running sweep; resume continues it")
    add_results(stop)


def _stop(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.storage.lock import interrupt_owner

    folder = Path(options.results)
    if not folder.is_dir():
        raise ResultsError(f"{folder}: there is no such folder")
    pid = interrupt_owner(folder)
    if options.json:
        print_json({"results": options.results, "pid": pid})
    else:
        print(f"{options.results}: process {pid} ends its running trials; tuner resume continues the sweep")
    return OK


def _plan_verb(verbs: Any) -> None:
    plan = add_verb(
        verbs, "plan", _plan, "forecast value, time and worker-hours for each scheduler, by simulation"
    )
    add_sweep_arguments(plan)
    plan.add_argument(
        "--workers",
        type=counts,
        default="1,8,64",
        metavar="N,N,...",
        help="numbers of workers (default: 1,8,64)",
    )
    plan.add_argument(
        "--curves",
        metavar="DIR",
        help="results of a sweep without early stopping (default: a short pilot is run)",
    )
    plan.add_argument(
        "--out", metavar="DIR", help="parent of the pilot's results folder (default: the sweep's)"
    )
    plan.add_argument("--address", help="a running Ray cluster for the pilot")


def _plan(options: argparse.Namespace) -> int:
    from pathlib import Path

    from tuner.cluster.progress import for_stream
    from tuner.cluster.runner import run
    from tuner.report import renderings
    from tuner.simulation.curves import RecordedCurves
    from tuner.simulation.plan import pilot_of, plan, table
    from tuner.sweep import Sweep

    with contextlib.redirect_stdout(sys.stderr):
        sweep = placed(Sweep.read(options.sweep, options.overrides), options)
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
    if options.json:
        print_json([forecast.to_dict() for forecast in forecasts])
        return OK
    width, color = shutil.get_terminal_size((120, 24)).columns, sys.stdout.isatty()
    sys.stdout.write(renderings.drawn(table(forecasts, sweep.objective.metric), width=width, color=color))
    return OK


def _build_loggers(sweep: Sweep) -> None:
    """Build each callback, because some problems appear only then. Raises SpecError with all of them."""
    problems: list[Problem] = []
    for number, logger in enumerate(sweep.loggers):
        if logger.tracker() is not None:
            continue
        try:
            logger.build()
        except SpecError as error:
            problems += [problem.inside(f"loggers.{number}") for problem in error.problems]
    if problems:
        raise SpecError(problems)


def _carry_out(
    options: argparse.Namespace, action: Callable[..., Report], subject: Any, **arguments: Any
) -> int:
    """Run or resume a sweep and print its outcome before Ray stops. Return the exit code.

    ``action`` is called with ``subject``: a sweep to run, or a results folder to resume.
    """
    from tuner.cluster.progress import for_stream
    from tuner.report import renderings

    stdout = sys.stdout

    def print_outcome(report: Report) -> None:
        stdout.write(renderings.json(report) if options.json else renderings.summary(report))
        stdout.flush()

    # Ray prints node events on stdout, whatever its settings.
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(sys.stderr if options.verbose else nowhere),
    ):
        report = action(
            subject,
            address=options.address,
            progress=for_stream(sys.stderr),
            verbose=options.verbose,
            on_report=print_outcome,
            **arguments,
        )
    return exit_code(report)
