"""Trackio: a local SQLite file, or a Trackio server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field

from tuner.errors import Problem
from tuner.logger import Identity, TrackerSpec
from tuner.trackers.sender import Checkpoint
from tuner.trackers.updates import RunUpdate

_SPACE = "TRACKIO_SPACE_ID"


class TrackioSpec(TrackerSpec):
    """Trackio, which ``trackio show`` displays."""

    kind: ClassVar[str] = "trackio"
    library: ClassVar[str] = "trackio"
    extra: ClassVar[str] = "trackio"

    project: str | None = Field(
        default=None, description="name of the project; none: the sweep's name without a final number"
    )
    server_url: str | None = Field(
        default=None,
        description="address of a Trackio server, which needs TRACKIO_WRITE_TOKEN; none: TRACKIO_SERVER_URL, "
        "or the local SQLite file in TRACKIO_DIR",
    )

    def problems(self) -> list[Problem]:
        found = super().problems()
        if not found and os.environ.get(_SPACE) and not self.server_url:
            what = f"{_SPACE} is set, but results go to a local file or to a server; unset it, and upload"
            found.append(Problem("", f"{what} the project with 'trackio sync'"))
        return found

    def destination(self, identity: Identity) -> str:
        from trackio.utils import TRACKIO_DIR, parse_trackio_server_url

        url = self._url()
        place = str(TRACKIO_DIR) if url is None else parse_trackio_server_url(url)[0]
        return f"project '{self._project(identity)}' of Trackio at {place}"

    def open(self, identity: Identity) -> TrackioTracker:
        url = self._url()
        return TrackioTracker(identity, self._project(identity), _Local() if url is None else _Server(url))

    def _project(self, identity: Identity) -> str:
        return self.project or identity.series

    def _url(self) -> str | None:
        return self.server_url or os.environ.get("TRACKIO_SERVER_URL")


class TrackioTracker:
    """Writes rows with stable identifiers, so that Trackio ignores a row that it has."""

    confirms = True

    def __init__(self, identity: Identity, project: str, store: _Local | _Server) -> None:
        self._identity = identity
        self._project = project
        self._store = store

    def is_empty(self) -> bool:
        return not any(run.get("id") == self._id(None) for run in self._store.runs(self._project))

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        for update in updates:
            run_id = self._id(update.trial)
            config = {
                **update.params,
                **update.changed,
                **update.tags,
                **update.summary,
                "_Group": f"{self._identity.name}-{self._identity.id}",
                "_Created": _iso(update.began),
            }
            # Trackio stores a configuration with rows only. An update without points sends the empty row 0.
            rows = [
                {
                    "project": self._project,
                    "run": update.name,
                    "run_id": run_id,
                    "metrics": metrics,
                    "step": step,
                    "timestamp": _iso(time),
                    "config": config,
                    "log_id": f"{run_id}-{number}",
                }
                for number, step, time, metrics in (
                    [(each.number, each.step, each.time, _renamed(each.metrics)) for each in update.points]
                    or [(0, 0, update.began, {})]
                )
            ]
            self._store.add(rows)

    def send_checkpoint(self, best: Checkpoint) -> None:
        import trackio

        run = trackio.init(
            project=self._project,
            name=self._identity.name,
            resume="allow",
            server_url=self._store.url,
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        try:
            run.log_artifact(best.path, name=f"{self._identity.name}-checkpoint", type="model")
        finally:
            trackio.finish()

    def close(self) -> None:
        return

    def _id(self, trial: int | None) -> str:
        return f"{self._identity.id}-{'sweep' if trial is None else f'{trial:05d}'}"


class _Local:
    """The local SQLite file. ``trackio.log`` would stamp old results with the present time."""

    url = None

    def runs(self, project: str) -> Sequence[Mapping[str, Any]]:
        """Return the runs of a project."""
        from trackio.sqlite_storage import SQLiteStorage

        records: Sequence[Mapping[str, Any]] = SQLiteStorage.get_run_records(project)
        return records

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows of one run that are not there yet, and return when they are stored."""
        from trackio.sqlite_storage import SQLiteStorage

        first = rows[0]
        SQLiteStorage.bulk_log(
            project=first["project"],
            run=first["run"],
            run_id=first["run_id"],
            metrics_list=[row["metrics"] for row in rows],
            steps=[row["step"] for row in rows],
            timestamps=[row["timestamp"] for row in rows],
            config=first["config"],
            log_ids=[row["log_id"] for row in rows],
        )


class _Server:
    """A Trackio server. It stamps rows with its own time."""

    def __init__(self, url: str) -> None:
        from trackio.remote_client import RemoteClient

        self.url = url
        client = RemoteClient(url, write_token=os.environ.get("TRACKIO_WRITE_TOKEN"), verbose=False)
        self._predict: Callable[..., Any] = client.predict

    def runs(self, project: str) -> Sequence[Mapping[str, Any]]:
        """Return the runs of a project."""
        found = self._predict(api_name="/get_runs_for_project", project=project)
        return [run for run in found or () if isinstance(run, dict)]

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the rows that are not there yet, and return when the server has them."""
        self._predict(api_name="/bulk_log", logs=list(rows), hf_token=None)


def _renamed(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under names that Trackio does not use itself, as ``trackio.log`` renames them."""
    from trackio.utils import RESERVED_KEYS

    return {
        f"__{name}" if name in RESERVED_KEYS or name.startswith("__") else name: value
        for name, value in metrics.items()
    }


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()
