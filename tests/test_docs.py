"""The examples in ``docs`` run as they are written."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import most_at_once
from tuner import Sweep, run

DOCS = Path(__file__).resolve().parent.parent / "docs"


def write_examples(page: str, folder: Path) -> dict[str, str]:
    """Write each code block of a page that names its file in the first line; name -> text."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = {
        name: f"# {name}\n{code}" for name, code in re.findall(r"```\w+\n# (\S+)\n(.*?)```", text, re.DOTALL)
    }
    for name, code in found.items():
        (folder / name).write_text(code)
    return found


@pytest.mark.ray
def test_a_trainable_with_lanes_is_short_and_trains_in_lanes(cluster, tmp_path, monkeypatch):
    examples = write_examples("lanes.md", tmp_path)
    assert len(examples["linear.py"].strip().splitlines()) - 1 <= 40
    monkeypatch.chdir(tmp_path)
    report = run(Sweep.read("linear.yaml"))
    assert report.counts()["failed"] == 0
    assert report.best().value < 1.0
    assert most_at_once(report) > 4  # CPUs of the cluster


def test_a_trainable_with_lanes_meets_the_contract(tmp_path):
    write_examples("lanes.md", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_linear.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_page_of_settings_is_what_their_descriptions_say():
    page = runpy.run_path(str(DOCS / "settings.py"))["page"]
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == page(), "run python docs/settings.py"
