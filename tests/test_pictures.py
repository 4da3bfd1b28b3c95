"""The script for the documentation's pictures, and the picture it made."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.tuner.watched import Watched
from tuner.live import WorkerCounts

DOCS = Path(__file__).resolve().parent.parent / "docs"


def texts(svg):
    """Return the lines of a picture, from top to bottom."""
    return [
        "".join(part.itertext()).replace("\xa0", " ")
        for part in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_picture_shows_what_the_terminal_shows():
    sweep = Watched(running=4, workers=WorkerCounts(2, 0, 2, 4, 4))
    sweep.report(0, 1, 0.25)
    svg = runpy.run_path(str(DOCS / "pictures.py"))["svg"](sweep.view(), "digits: 4 trials", title="run")
    shown = texts(svg)
    assert "digits: 4 trials" in shown
    assert "loss 0.25 (trial 00000, iteration 1)" in shown
    assert not re.search(r"url\(.?http", svg)  # the picture loads nothing from elsewhere


def test_without_a_browser_the_picture_of_the_page_stays_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = tmp_path / "report.png"
    picture.write_bytes(b"earlier")
    with pytest.raises(SystemExit, match=r"no browser \(chromium, .*\): report.png is left as it is"):
        runpy.run_path(str(DOCS / "pictures.py"))["photograph"](tmp_path / "report.html", picture)
    assert picture.read_bytes() == b"earlier"


@pytest.mark.parametrize("part", ["best", "progress", "trials", "workers", "decisions"])
def test_the_picture_of_the_documentation_has_every_part(part):
    shown = texts((DOCS / "images" / "live.svg").read_text(encoding="utf-8"))
    assert any(text.strip() == part for text in shown)
