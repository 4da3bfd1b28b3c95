"""Write ``tuner.log``: one line for each event of workers and trials, in the results folder."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_NAME = "tuner.log"

log = logging.getLogger("tuner")


class _File(logging.FileHandler):
    """A log file that drops lines when the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name that logging uses)
        return


@contextlib.contextmanager
def written(results_dir: Path, *, verbose: bool) -> Iterator[None]:
    """Append the log to ``tuner.log`` while the context is open. ``verbose`` also shows it on stderr."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if verbose else []
    with contextlib.suppress(OSError):  # the journal reports a folder that is not writable
        handlers.append(_File(results_dir / FILE_NAME, encoding="utf-8"))
    level, propagate = log.level, log.propagate
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.setLevel(level)
        log.propagate = propagate
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
