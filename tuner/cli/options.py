"""Exit codes, arguments and output that several verbs share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tuner.errors import UntrustedError

if TYPE_CHECKING:
    from tuner.report import Report
    from tuner.sweep import Sweep

_T = TypeVar("_T")

OK, NOTHING_FINISHED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""


def complain(about: object) -> None:
    """Print an error on stderr."""
    from tuner.report.phrases import clean

    print(f"error: {clean(str(about))}", file=sys.stderr)


def print_json(answer: object) -> None:
    """Print an answer on stdout as strict JSON."""
    print(json.dumps(answer, indent=2, allow_nan=False))


def add_verb(verbs: Any, name: str, function: Any, summary: str) -> argparse.ArgumentParser:
    """Add a verb that calls a function with the parsed options."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.add_argument("--json", action="store_true", help="print the answer, or the error, as JSON")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(verb=function)
    return parser


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust``."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the code that the folder names even if another user or machine began its sweep",
    )


def trusting(options: argparse.Namespace, act: Callable[[bool], _T]) -> _T:
    """Call ``act`` with whether the results folder is trusted. At a terminal, ask the user if it must be."""
    try:
        return act(options.trust)
    except UntrustedError as error:
        if options.trust or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        complain(error)
        print("Trust this folder and run its code? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise
    return act(True)


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the results folder."""
    parser.add_argument("results", metavar="DIR", help="a results folder")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that run or resume a sweep."""
    parser.add_argument("--address", help="a running Ray cluster; 'auto' for the one on this machine")
    parser.add_argument("--verbose", action="store_true", help="show what Ray and the trials print")


def add_sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sweep file and ``--set``."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep file (YAML)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change one setting, e.g. budget.trials=8; can be given again",
    )


def count(text: str) -> int:
    """Return a whole number of at least 1. Raises ArgumentTypeError for anything else."""
    found = counts(text)
    if len(found) > 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got '{text}'")
    return found[0]


def counts(text: str) -> list[int]:
    """Return whole numbers of at least 1, given with commas. Raises ArgumentTypeError for anything else."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise argparse.ArgumentTypeError(f"must be whole numbers from 1, as in 1,8,64, got '{text}'")
    return counts


def placed(sweep: Sweep, options: argparse.Namespace) -> Sweep:
    """Return the sweep with the name and folder that the command line gives."""
    changed = {key: value for key in ("name", "out") if (value := getattr(options, key, None)) is not None}
    return sweep.with_parts(**changed) if changed else sweep


def exit_code(report: Report) -> int:
    """Return the exit code for a sweep's outcome."""
    counts = report.counts()
    if report.reason == "interrupted":
        return INTERRUPTED
    if report.reason == "failures" or counts["completed"] + counts["stopped"] == 0 or report.best() is None:
        return NOTHING_FINISHED
    # Every trial ran, and each was stopped or failed.
    if report.reason == "trials" and not counts["completed"] and counts["failed"]:
        return NOTHING_FINISHED
    return OK
