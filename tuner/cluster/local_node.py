"""``LocalNode``: a Ray node on this machine for one process, which starts and stops quickly."""

from __future__ import annotations

import contextlib
from typing import Any

from tuner.ray_internals.core import Node, psutil


class LocalNode(Node):
    """Ray's processes on this machine, without those that a sweep does not use.

    A dashboard, an autoscaler and a log monitor would need a second of two cores to start. All processes end
    with the driver and keep no data, so we kill them instead of asking them to stop.
    """

    def start_monitor(self) -> None:
        """Start no autoscaler, since no machine can be added."""

    def start_api_server(self, **options: Any) -> None:
        """Start no dashboard."""
        self._webui_url = None

    def start_log_monitor(self) -> None:
        """Start no log monitor, since the driver prints no logs."""

    def kill_all_processes(
        self, check_alive: bool = True, allow_graceful: bool = False, wait: bool = False
    ) -> None:
        """Kill Ray's processes and their descendants."""
        descendants = [each for pid in self._pids() for each in _descendants(pid)]
        super().kill_all_processes(check_alive=check_alive, allow_graceful=False, wait=wait)
        for process in descendants:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _pids(self) -> list[int]:
        return [info.process.pid for infos in self.all_processes.values() for info in infos]


class VerboseLocalNode(LocalNode):
    """A ``LocalNode`` with the log monitor, which prints the output of trials and of Ray."""

    def start_log_monitor(self) -> None:
        """Start the log monitor."""
        Node.start_log_monitor(self)


def _descendants(pid: int) -> list[Any]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []
