"""Verbs about what a sweep file can say: ``list``, ``schema``."""

from __future__ import annotations

import argparse
import json
import shutil
from typing import Any

from tuner.cli.options import OK, add_verb


def add_to(verbs: Any) -> None:
    """Add these verbs to the command line."""
    _list_verb(verbs)
    _schema_verb(verbs)


def _list_verb(verbs: Any) -> None:
    listing = add_verb(verbs, "list", _list, "list what a sweep file can say, with settings and defaults")
    listing.add_argument("what", choices=("sweep", "searchers", "schedulers", "trainables"))


def _list(options: argparse.Namespace) -> int:
    from tuner.listing import LISTS

    for line in LISTS[options.what](shutil.get_terminal_size().columns):
        print(line)
    return OK


def _schema_verb(verbs: Any) -> None:
    add_verb(verbs, "schema", _schema, "print the JSON Schema of a sweep file, for editors")


def _schema(options: argparse.Namespace) -> int:
    from tuner.schema import sweep_schema

    print(json.dumps(sweep_schema(), indent=2))
    return OK
