"""The verb that sends results to trackers: ``sync``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.cli.options import OK, add_results, add_trust, add_verb, print_json, trusting
from tuner.errors import Problem, ResultsError, SpecError, UntrustedError

if TYPE_CHECKING:
    from tuner.logger import LoggerSpec

_LONGEST = 7 * 86400.0
"""Seconds. A large checkpoint may take hours, and Ctrl-C ends the command at any time."""


def add_to(verbs: Any) -> None:
    """Add the verb to the command line."""
    sync = add_verb(verbs, "sync", _sync, "send the results of a sweep to a tracker, each result once")
    add_results(sync)
    sync.add_argument(
        "--to",
        action="append",
        metavar="TRACKER",
        help="mlflow, wandb, trackio or tensorboard; can be given again (default: the trackers of the sweep)",
    )
    sync.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="a setting of the tracker, e.g. project=digits; can be given again",
    )
    add_trust(sync)


def _sync(options: argparse.Namespace) -> int:
    folder = Path(options.results)
    chosen = trusting(options, lambda trust: _chosen(folder, options, trust=trust))
    # Settings of the sweep file refer to the folder in which the sweep was started.
    cwd = None if options.overrides else _started_in(folder)
    answers = [_send(folder, spec, cwd=cwd) for spec in chosen]
    if options.json:
        print_json({"results": options.results, "trackers": answers})
    return OK


def _send(folder: Path, spec: LoggerSpec, *, cwd: Path | None) -> dict[str, Any]:
    """Send everything to one tracker. Raises ResultsError if something did not arrive.

    ``cwd``: the folder that relative paths in the settings refer to; ``None``: the current one.
    """
    from tuner.trackers.process import Message, TrackerProcess

    def hear(message: Message) -> None:
        if message.about == "note":  # an error is also the last message
            print(f"{spec.kind}: {message.text}", file=sys.stderr)

    process = TrackerProcess(folder, spec, follows=False, hear=hear, cwd=cwd)
    last = process.wait(_LONGEST)
    if last.about == "failed":
        raise ResultsError(f"{spec.kind}: {last.text}; details: {process.log_path}")
    print(f"{spec.kind} has all {last.number:,} events of {folder}", file=sys.stderr)
    return {"tracker": spec.kind, "events": last.number}


def _started_in(folder: Path) -> Path | None:
    """Return the folder in which a sweep was started, if it still exists."""
    from tuner.trackers.service import began_of

    started = began_of(folder).folder
    return Path(started) if isinstance(started, str) and Path(started).is_dir() else None


def _chosen(folder: Path, options: argparse.Namespace, *, trust: bool) -> list[LoggerSpec]:
    """Return the trackers to send to, checked.

    Raises SpecError for a wrong one, and UntrustedError if another user's sweep names the address.
    """
    from tuner.logger import TRACKERS, LoggerSpec
    from tuner.spec import did_you_mean
    from tuner.trackers.service import began_of
    from tuner.trust import is_own
    from tuner.yaml12 import override

    recorded = [LoggerSpec.parse(entry) for entry in began_of(folder).settings.get("loggers") or []]
    own = {spec.kind: spec for spec in recorded if spec.kind in TRACKERS}
    if unknown := [kind for kind in options.to or () if kind not in TRACKERS]:
        what = f"unknown tracker '{unknown[0]}'{did_you_mean(unknown[0], TRACKERS)}"
        raise SpecError([Problem("--to", what)])
    kinds = list(dict.fromkeys(options.to or own))
    if not kinds:
        raise SpecError([Problem("--to", "must be given, because the sweep's loggers name no tracker")])
    if options.overrides and len(kinds) > 1:
        raise SpecError([Problem("--set", f"must be for a single tracker, got {', '.join(kinds)}")])
    chosen, problems = [], []
    for kind in kinds:
        spec = own.get(kind) or LoggerSpec(kind=kind)
        if spec.settings and not trust and not is_own(folder):
            what = f"sync would connect as {spec.to_dict()}, but another user or machine began this sweep"
            raise UntrustedError(f"{folder}: {what}; if you trust it, add --trust")
        settings = dict(spec.settings)
        for each in options.overrides:
            override(settings, each)
        chosen.append(LoggerSpec(kind=kind, settings=settings))
        try:
            chosen[-1].check()
        except SpecError as error:
            problems += [problem.inside(kind) for problem in error.problems]
    if problems:
        raise SpecError(problems)
    return chosen
