"""``Channel``: lets the processes that a function starts call ``tuner.client``, over a Unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from tuner import client
from tuner.worker.session import Session, Stopped, offer_of


class Channel:
    """The socket of a worker. Each connection has a thread, and belongs to the trial that runs when it opens.

    The socket lies in a folder that only this user can read.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tuner-", ignore_cleanup_errors=True)
        self.address = os.path.join(self._folder.name, "trial")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(64)
        self._trial: tuple[Session, client.CurrentTrial] | None = None
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True, name="trial-channel").start()

    def serve(self, session: Session, trial: client.CurrentTrial) -> None:
        """Serve the processes of a trial, until ``close``."""
        self._trial = session, trial

    def close(self) -> None:
        """End the trial's connections."""
        self._trial = None
        for connection in list(self._open):
            with contextlib.suppress(OSError):  # the process has closed it
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if (trial := self._trial) is None:
                connection.close()
                continue
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, *trial), daemon=True).start()

    def _serve(self, connection: socket.socket, session: Session, trial: client.CurrentTrial) -> None:
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            peer = _Peer(stream, session, trial)
            with contextlib.suppress(OSError, ValueError):  # the process has ended
                while line := stream.readline():
                    peer.send(peer.answer(line))
        self._open.discard(connection)


class _Peer:
    """One process of a trial."""

    def __init__(self, stream: TextIO, session: Session, trial: client.CurrentTrial) -> None:
        self._stream = stream
        self._session = session
        self._trial = trial
        self._reports = 0

    def send(self, message: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(message, default=str) + "\n")
        self._stream.flush()

    def answer(self, line: str) -> dict[str, Any]:
        """Return the answer to one request. A wrong request is answered with its error."""
        try:
            request = json.loads(line)
            operation = request["op"]
            if operation == "trial":
                return dict(self._trial.about())
            if operation == "report":
                return {"stop": self._report(request)}
            if operation == "folder":
                return {"folder": self._trial.folder()}
            if operation == "stopping":
                return {"stop": self._session.stopping.is_set()}
            return {"error": f"unknown op {operation!r}; must be trial, report, stopping or folder"}
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _report(self, request: Mapping[str, Any]) -> bool:
        """Pass a report on, and return whether the trial must end."""
        try:
            if request.get("rank"):
                self._reports += 1
                self._session.follow(self._reports)
            else:
                offer = self._save if request.get("offers") else offer_of(request.get("checkpoint"))
                self._session.report(request["metrics"], offer=offer)
        except Stopped:
            return True
        return self._session.stopping.is_set()

    def _save(self, folder: str) -> str:
        """Let the process write a checkpoint. Raises TrialFailed if it cannot."""
        self.send({"save": folder})
        line = self._stream.readline()
        error = json.loads(line).get("error") if line else "its process ended"
        if error is not None:
            raise client.TrialFailed(f"the checkpoint could not be written: {error}")
        return folder
