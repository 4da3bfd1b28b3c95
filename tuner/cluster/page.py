"""``LivePage``: writes the report page of a sweep repeatedly while it runs, and at its end."""

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

_MAX_SHARE = 0.02
"""Writing pages takes at most this fraction of a CPU. The page of a large sweep takes one CPU second."""


def write_page(folder: Path) -> Report:
    """Write ``report.html`` atomically, and return its report.

    Raises ResultsError if the journal cannot be read or the page cannot be written.
    """
    report = Report.read(folder)
    unfinished = folder / f".{REPORT_FILE}.part"
    with writing(folder):
        unfinished.write_text(html(report), encoding="utf-8")
        unfinished.replace(folder / REPORT_FILE)
    return report


class LivePage:
    """A context that keeps ``report.html`` of a results folder up to date."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="tuner-page", daemon=True)

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            write_page(self._folder)
        except ResultsError as unwritten:
            # If the sweep ended with an error, that error is more important than the page.
            if error is None:
                remedy = f"the outcome is in the journal: tuner report {self._folder}"
                print(f"warning: {REPORT_FILE}: {unwritten}; {remedy}", file=sys.stderr)

    def _follow(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            began = time.thread_time()
            with contextlib.suppress(ResultsError):  # the last page reports an error that persists
                write_page(self._folder)
            pause = max(_SECONDS_BETWEEN_PAGES, (time.thread_time() - began) / _MAX_SHARE)
