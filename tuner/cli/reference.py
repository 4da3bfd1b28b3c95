"""Verbs for people and programs that write sweep files: ``list``, ``schema``, ``mcp``."""

from __future__ import annotations

import argparse
import shutil
from importlib.util import find_spec
from typing import Any

from tuner.cli.options import OK, add_verb, print_json
from tuner.errors import Problem, SpecError


def add_to(verbs: Any) -> None:
    """Add these verbs to the command line."""
    _list_verb(verbs)
    _schema_verb(verbs)
    _mcp_verb(verbs)


def _mcp_verb(verbs: Any) -> None:
    add_verb(verbs, "mcp", _mcp, "serve the commands to agents as tools (Model Context Protocol, stdio)")


def _mcp(options: argparse.Namespace) -> int:
    if find_spec("mcp") is None:
        what = "needs the official MCP SDK, which is not installed; pip install 'tuner-ray[mcp]'"
        raise SpecError([Problem("tuner mcp", what)])
    from tuner.cli.mcp_server import server

    server.run()
    return OK


def _list_verb(verbs: Any) -> None:
    listing = add_verb(verbs, "list", _list, "list the parts of a sweep file with settings and defaults")
    listing.add_argument("what", choices=("sweep", "searchers", "schedulers", "trainables", "trackers"))


def _list(options: argparse.Namespace) -> int:
    from tuner.listing import LISTS, as_data

    if options.json:
        print_json(as_data(options.what))
        return OK
    for line in LISTS[options.what](shutil.get_terminal_size().columns):
        print(line)
    return OK


def _schema_verb(verbs: Any) -> None:
    add_verb(verbs, "schema", _schema, "print the JSON Schema of a sweep file, for editors")


def _schema(options: argparse.Namespace) -> int:
    from tuner.schema import sweep_schema

    print_json(sweep_schema())
    return OK
