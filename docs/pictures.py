"""Writes the pictures of ``images/`` beside this file, of a real sweep.

``live.svg``: the terminal while ``sweeps/digits.yaml`` runs, at 80 x 24. ``report.png``: the page of its
report, where Chromium is installed.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from tuner import Sweep, run
from tuner.cluster.driver import SweepDriver
from tuner.cluster.page import REPORT_FILE, write_page
from tuner.cluster.progress import opening
from tuner.live import LiveView, Viewer
from tuner.live.terminal import Frame

IMAGES = Path(__file__).with_name("images")
ROOT = Path(__file__).resolve().parent.parent

_WIDTH, _HEIGHT = 80, 24

# Down to the end of the learning curves.
_PAGE_SIZE = "1200,1350"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# The sweep is shown when this share of it is done.
_MOMENT = 0.6
_SECONDS_BETWEEN_LOOKS = 0.25


class Photographer:
    """A display that draws nothing and keeps the view of one moment."""

    def __init__(self) -> None:
        self.heading = ""
        self.view: LiveView | None = None
        self._viewer = Viewer()
        self._looked = 0.0
        self._slots = 1

    def open(self, sweep: Sweep, folder: Path, slots: int) -> None:
        self.heading = f"{sweep.name}: {opening(sweep, slots)}"
        self._slots = slots

    def show(self, driver: SweepDriver) -> None:
        self._viewer.see(driver.state, before=driver.seconds_before)
        if self._is_late_enough() or time.monotonic() - self._looked < _SECONDS_BETWEEN_LOOKS:
            return
        self._looked = time.monotonic()
        workers = None if driver.count_workers is None else driver.count_workers()
        view = self._viewer.view(driver.state, driver.recent, workers)
        if len(view.running) >= self._slots and view.leaders:
            self.view = view

    def close(self) -> None:
        return

    def _is_late_enough(self) -> bool:
        return self.view is not None and (self.view.done or 0.0) >= _MOMENT


def svg(view: LiveView, heading: str, *, title: str) -> str:
    """Return the picture of a terminal that shows a view. It has no links to other files."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=_WIDTH,
        height=_HEIGHT,
        force_terminal=True,
        color_system="truecolor",
    )
    console.print(Frame(view, heading))
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title=title, code_format=template, unique_id="live")


def photograph(page: Path, to: Path) -> None:
    """Take a screenshot of a page. Raises SystemExit without a browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser ({', '.join(_BROWSERS)}): {to.name} is left as it is")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"]
    size = [f"--window-size={_PAGE_SIZE}", f"--screenshot={to}"]
    subprocess.run([browser, *options, *size, page.resolve().as_uri()], check=True, capture_output=True)


def main() -> None:
    """Run the sweep and take both pictures, or only the picture of a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, help="only take report.png, of this results folder")
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    if options.results is not None:
        write_page(options.results)
        photograph(options.results / REPORT_FILE, IMAGES / "report.png")
        return
    with tempfile.TemporaryDirectory() as out:
        path = ROOT / "sweeps" / "digits.yaml"
        photographer = Photographer()
        report = run(Sweep.read(path, [f"out={out}"]), progress=photographer)
        if photographer.view is None:
            raise SystemExit("the sweep ended before a trial ran long enough for a picture")
        title = f"tuner run {path.relative_to(ROOT)}"
        drawn = svg(photographer.view, photographer.heading, title=title)
        (IMAGES / "live.svg").write_text(drawn, encoding="utf-8")
        photograph(report.folder / REPORT_FILE, IMAGES / "report.png")


if __name__ == "__main__":
    main()
