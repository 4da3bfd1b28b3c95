"""``LivePage``: the page of a sweep, written again and again while it runs, and at its end."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from tuner.errors import ResultsError
from tuner.report import Report
from tuner.report.renderings import html
from tuner.storage.disk import writing

REPORT_FILE = "report.html"

_SECONDS_BETWEEN_PAGES = 10.0

# Writing pages takes this share of the time at most. The page of a large sweep takes a second of a core.
_SHARE = 0.02


def write_page(folder: Path) -> Report:
    """Write ``report.html``, whole or not at all, and return what it shows.

    Raises ResultsError when the journal cannot be read or the page cannot be written.
    """
    report = Report.read(folder)
    unfinished = folder / f".{REPORT_FILE}.part"
    with writing(folder):
        unfinished.write_text(html(report), encoding="utf-8")
        unfinished.replace(folder / REPORT_FILE)
    return report


class LivePage:
    """A context in which ``report.html`` follows the journal of the sweep in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tuner-page", daemon=True)

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        try:
            write_page(self._folder)
        except ResultsError as unwritten:
            # The outcome, or the error that ends the sweep, is more important than its page.
            if error is None:
                remedy = f"the outcome is in the journal: tuner report {self._folder}"
                print(f"warning: {REPORT_FILE}: {unwritten}; {remedy}", file=sys.stderr)

    def _follow(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            began = time.thread_time()
            with contextlib.suppress(ResultsError):  # writing the last page reports an error that stays
                write_page(self._folder)
            pause = max(_SECONDS_BETWEEN_PAGES, (time.thread_time() - began) / _SHARE)
