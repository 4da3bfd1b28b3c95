"""``LocalNode``: a Ray on this machine for one process, which starts and stops in little time."""

from __future__ import annotations

import contextlib
from typing import Any

from tuner.ray_internals.core import Node, psutil


class LocalNode(Node):
    """Ray's processes on this machine, without those that a sweep does not use.

    A dashboard, an autoscaler and a reader of logs would take a second of two cores to start. All processes
    die with the driver, and nothing in them outlives it, so they are killed instead of asked to stop.
    """

    def start_monitor(self) -> None:
        """Start no autoscaler: there are no machines to add."""

    def start_api_server(self, **options: Any) -> None:
        """Start no dashboard."""
        self._webui_url = None

    def start_log_monitor(self) -> None:
        """Start no reader of logs: the driver prints none of them."""

    def kill_all_processes(
        self, check_alive: bool = True, allow_graceful: bool = False, wait: bool = False
    ) -> None:
        """Kill Ray's processes and all that they have started."""
        started = [each for own in self._pids() for each in _descendants(own)]
        super().kill_all_processes(check_alive=check_alive, allow_graceful=False, wait=wait)
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _pids(self) -> list[int]:
        return [info.process.pid for infos in self.all_processes.values() for info in infos]


class VerboseLocalNode(LocalNode):
    """The same with the reader of logs, which prints what trials and Ray write."""

    def start_log_monitor(self) -> None:
        """Start the reader of logs."""
        Node.start_log_monitor(self)


def _descendants(pid: int) -> list[Any]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []
