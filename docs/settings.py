"""Writes ``settings.md`` beside this file: all settings, from their descriptions in the code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def page() -> str:
    """Return the page."""
    text = "# Settings\n\nWhat a sweep file can say, as `tuner list` shows it.\n"
    for what in ("sweep", "searchers", "schedulers", "trainables"):
        command = [sys.executable, "-m", "tuner.cli", "list", what]
        environment = {**os.environ, "COLUMNS": "100"}
        listed = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
        text += f"\n## `tuner list {what}`\n\n```text\n{listed.rstrip()}\n```\n"
    return text


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page(), encoding="utf-8")
