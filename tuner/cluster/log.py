"""``tuner.log``: what happens to workers and trials, line by line, in the results folder."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_NAME = "tuner.log"

log = logging.getLogger("tuner")


class _File(logging.FileHandler):
    """A log that a full disk cannot stop: whatever cannot be written is left out."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name of logging's)
        return


@contextlib.contextmanager
def written(results_dir: Path, *, verbose: bool) -> Iterator[None]:
    """A context in which the log is appended to ``tuner.log``, and with ``verbose`` shown on stderr."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if verbose else []
    with contextlib.suppress(OSError):  # the journal says what is wrong with the folder
        handlers.append(_File(results_dir / FILE_NAME, encoding="utf-8"))
    level, passes_on = log.level, log.propagate
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.setLevel(level)
        log.propagate = passes_on
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
