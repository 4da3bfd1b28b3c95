"""The verb that writes a first sweep: ``init``."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from tuner.cli.options import OK, add_verb, print_json


def add_to(verbs: Any) -> None:
    """Add the verb to the command line."""
    init = add_verb(verbs, "init", _init, "write a first sweep file, which runs at once")
    init.add_argument("kind", nargs="?", default="mlp", metavar="KIND", help="see --list (default: mlp)")
    init.add_argument("--list", action="store_true", help="list the kinds")
    init.add_argument(
        "--out", default=".", metavar="DIR", help="folder to write into (default: the current one)"
    )


def _init(options: argparse.Namespace) -> int:
    from tuner import templates

    if options.list and options.json:
        print_json(templates.kinds())
        return OK
    if options.list:
        for kind, summary in templates.kinds().items():
            print(f"{kind:<12} {summary}")
        return OK
    written = templates.write(options.kind, Path(options.out))
    command = f"tuner run {shlex.quote(str(written[-1]))}"
    if options.json:
        print_json({"files": [str(path) for path in written], "next": command})
        return OK
    for path in written:
        print(path)
    print(f"next: {command}", file=sys.stderr)
    return OK
