"""The command ``tuner``. Data goes to stdout, messages go to stderr.

Exit codes:

- 0: the sweep has a finished trial and stayed within its failure budget, or another verb did its work
- 1: the sweep has no finished trial, too many trials failed, or none completed while some failed
- 2: wrong input, found before a trial started
- 130: interrupted
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict

import tuner
from tuner.cli import reference, results, scripts, starting, sweeps, syncing
from tuner.cli.options import INTERRUPTED, NOTHING_FINISHED, OK, WRONG_INPUT, complain, print_json
from tuner.cli.parsing import CommandParser
from tuner.errors import Problem, SpecError, TunerError

__all__ = ["INTERRUPTED", "NOTHING_FINISHED", "OK", "WRONG_INPUT", "main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = argparse.Namespace(json="--json" in words, debug="--debug" in words)
    try:
        with scripts.with_sweep_file(words) as arguments:
            options = parser().parse_args(arguments)
            code: int = options.verb(options)
    except TunerError as error:
        if options.debug:
            raise
        problems = error.problems if isinstance(error, SpecError) else [Problem("", str(error))]
        for problem in problems:
            complain(problem)
        if options.json:
            print_json({"error": type(error).__name__, "problems": [asdict(problem) for problem in problems]})
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout, such as `head`, has closed it
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return OK
    return code


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    command = CommandParser(
        prog="tuner", description="Tune hyperparameters: one sweep file, from a laptop to a cluster."
    )
    command.add_argument("--version", action="version", version=f"tuner {tuner.__version__}")
    verbs = command.add_subparsers(title="verbs", required=True, metavar="VERB")
    for group in (starting, sweeps, results, syncing, reference):
        group.add_to(verbs)
    return command
