"""The process that sends one sweep to one tracker: ``python -m tuner.trackers``.

``tuner.trackers.process`` starts it. It reads a ``Job`` from the first line of stdin, and answers with one
JSON object per line on stdout. The output of the tracker's library goes to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

from tuner.trackers.process import Job
from tuner.trackers.service import Service

_NICENESS = 10
"""Trials come first on a busy machine."""


def main() -> None:
    """Send until the sweep has ended and everything has arrived."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print on stdout
    service = Service(Job(**json.loads(sys.stdin.readline())), answers)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=service.leave, daemon=True).start())
    threading.Thread(target=service.listen, args=(sys.stdin,), name="tuner-driver", daemon=True).start()
    service.run()
    sys.stderr.flush()
    os._exit(0)  # a library's thread or exit handler may wait for ever


if __name__ == "__main__":
    main()
