"""MLflow: one experiment, a parent run per sweep, and a nested run per trial."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import Field

from tuner.errors import Problem
from tuner.logger import Identity, TrackerSpec
from tuner.trackers.sender import Checkpoint
from tuner.trackers.updates import CONFIG, RunUpdate

if TYPE_CHECKING:
    from mlflow import MlflowClient

_T = TypeVar("_T")

_MAX_METRICS = 800
"""MLflow accepts 1,000 metrics, parameters and tags in one request, and at most 100 of each of the latter."""
_MAX_PARAMS = 100
_MAX_TAGS = 90

_MAX_KEY, _MAX_PARAM, _MAX_TAG = 250, 6000, 5000
"""MLflow's limits, in characters. The shortest limit of its stores for tags is 5,000."""

_SWEEP, _TRIAL, _PARENT = "tuner.sweep", "tuner.trial", "mlflow.parentRunId"

_TRIAL_STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED", "running": "RUNNING"}
"""State of a trial -> MLflow's status. Paused and pending trials are ``SCHEDULED``."""

_SWEEP_STATUS = {"running": "RUNNING", "interrupted": "KILLED", "failures": "FAILED"}
"""State of a sweep -> MLflow's status. Any other is ``FINISHED``."""

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow would retry for minutes. We try again later, and want to tell the user soon."""


class MlflowSpec(TrackerSpec):
    """A tracking server, a database or a folder of MLflow (3.x)."""

    kind: ClassVar[str] = "mlflow"
    library: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    tracking_uri: str | None = Field(
        default=None,
        description="address of the tracking server, or a database such as sqlite:///mlflow.db; none: "
        "MLFLOW_TRACKING_URI, or MLflow's default",
    )
    experiment: str | None = Field(
        default=None,
        description="name of the experiment; none: MLFLOW_EXPERIMENT_NAME, or the sweep's name without a "
        "final number",
    )

    def problems(self) -> list[Problem]:
        found = super().problems()
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
        allowed = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("1", "true")
        if not found and not allowed and (uri.startswith(("file:", ".", "/")) and "://" not in uri[5:]):
            what = f"MLflow 3 refuses a folder as its store, got {uri}; write sqlite:///mlflow.db, or set"
            found.append(Problem("tracking_uri", f"{what} MLFLOW_ALLOW_FILE_STORE=true"))
        return found

    def destination(self, identity: Identity) -> str:
        return f"experiment '{self._experiment(identity)}' of MLflow at {self._uri()}"

    def open(self, identity: Identity) -> MlflowTracker:
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        return MlflowTracker(MlflowClient(self._uri()), self._experiment(identity), identity)

    def _experiment(self, identity: Identity) -> str:
        return self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or identity.series

    def _uri(self) -> str:
        from mlflow import get_tracking_uri

        return self.tracking_uri or str(get_tracking_uri())


class MlflowTracker:
    """Sends updates to MLflow. Runs are found again by their tags, so a restart creates none twice."""

    confirms = True

    def __init__(self, client: MlflowClient, experiment: str, identity: Identity) -> None:
        self._client = client
        self._identity = identity
        self._experiment = self._find_experiment(experiment)
        self._deleted: set[str] = set()  # runs that the user deleted in MLflow
        self._runs = self._find_runs()
        self._known: dict[str, dict[str, str]] = {}  # the tags that each run has for certain
        self._status: dict[str, tuple[str, float | None]] = {}

    def is_empty(self) -> bool:
        return None not in self._runs

    def send(self, updates: Sequence[RunUpdate], *, verify: bool) -> None:
        for update in updates:
            is_new = update.trial not in self._runs
            run = self._create(update) if is_new else self._runs[update.trial]
            if run in self._deleted:
                continue
            if is_new or verify:
                self._send_params(run, update)
            self._send_points(run, update, verify=verify)
            self._send_state(run, update)

    def send_checkpoint(self, best: Checkpoint) -> None:
        parent = self._runs[None]
        trial = best.path.parent.name
        if parent in self._deleted:
            return
        self._client.log_artifacts(
            parent, str(best.path), artifact_path=f"checkpoint/{trial}/{best.path.name}"
        )
        self._client.set_tag(parent, "best_trial", trial)
        self._client.set_tag(parent, "best_run_id", self._runs[best.trial])

    def close(self) -> None:
        return

    def _find_experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found is not None else self._client.create_experiment(name))

    def _find_runs(self) -> dict[int | None, str]:
        """Return the runs of this sweep by trial."""
        from mlflow.entities import LifecycleStage, ViewType

        runs: dict[int | None, str] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{_SWEEP}` = '{self._identity.id}'",
                run_view_type=ViewType.ALL,
                max_results=1000,
                page_token=token,
            )
            for run in page:
                trial = run.data.tags.get(_TRIAL)
                runs[None if trial is None else int(trial)] = run.info.run_id
                if run.info.lifecycle_stage == LifecycleStage.DELETED:
                    self._deleted.add(run.info.run_id)
            token = page.token
            if not token:
                return runs

    def _create(self, update: RunUpdate) -> str:
        tags = {_SWEEP: self._identity.id, "group": self._identity.name}
        if update.trial is not None:
            tags |= {_TRIAL: str(update.trial), _PARENT: self._runs[None]}
        run = self._client.create_run(
            self._experiment, start_time=_milliseconds(update.began), tags=tags, run_name=update.name
        )
        self._runs[update.trial] = str(run.info.run_id)
        return self._runs[update.trial]

    def _send_params(self, run: str, update: RunUpdate) -> None:
        from mlflow.entities import Param

        params = [
            Param(_key(name), _text(value, _MAX_PARAM)) for name, value in sorted(update.params.items())
        ]
        for part in _parts(params, _MAX_PARAMS):
            self._client.log_batch(run, params=part)

    def _send_points(self, run: str, update: RunUpdate, *, verify: bool) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(_key(name), float(value), _milliseconds(point.time), point.step)
            for point in update.points
            for name, value in point.metrics.items()
        ]
        if verify:
            names = {metric.key for metric in metrics}
            arrived = {
                (metric.key, metric.step, metric.timestamp)
                for name in names
                for metric in self._client.get_metric_history(run, name)
            }
            metrics = [each for each in metrics if (each.key, each.step, each.timestamp) not in arrived]
        for part in _parts(metrics, _MAX_METRICS):
            self._client.log_batch(run, metrics=part)

    def _send_state(self, run: str, update: RunUpdate) -> None:
        from mlflow.entities import RunTag

        known = self._known.setdefault(run, {})
        current = {name: _text(value, _MAX_TAG) for name, value in update.tags.items()}
        current |= {f"{CONFIG}{name}": _text(value, _MAX_TAG) for name, value in update.changed.items()}
        tags = [RunTag(_key(name), value) for name, value in current.items() if known.get(name) != value]
        for part in _parts(tags, _MAX_TAGS):
            self._client.log_batch(run, tags=part)
        known |= current
        status = _status(update)
        if self._status.get(run) == (status, update.ended):
            return
        if update.ended is None:
            self._client.update_run(run, status=status)
        else:
            self._client.set_terminated(run, status=status, end_time=_milliseconds(update.ended))
        self._status[run] = (status, update.ended)


def _status(update: RunUpdate) -> str:
    """Return MLflow's status of a run."""
    if update.trial is not None:
        return _TRIAL_STATUS.get(update.state, "SCHEDULED")
    return _SWEEP_STATUS.get(update.state, "FINISHED")


def _milliseconds(time: float) -> int:
    return int(time * 1000)


def _key(name: str) -> str:
    """Return a name with only the characters that MLflow allows."""
    return re.sub(r"[^/\w.\- ]", "_", name)[:_MAX_KEY].strip("/") or "_"


def _text(value: Any, most: int) -> str:
    return (value if isinstance(value, str) else str(value))[:most]


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
