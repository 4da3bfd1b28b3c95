"""Read back what real trackers hold, in one form for all of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tuner.logger import Identity, TrackerSpec
from tuner.trackers._mlflow import MlflowSpec
from tuner.trackers.updates import RunUpdate


@dataclass
class StoredRun:
    """A run as a tracker stores it."""

    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(step, value) of each metric, sorted."""
    files: list[str] = field(default_factory=list)
    """The names of the files of the winner's checkpoint."""
    name: str = ""
    status: str = ""


def expected(updates: list[RunUpdate]) -> dict[int | None, StoredRun]:
    """Return the runs that a tracker must hold after these updates of a whole sweep."""
    runs: dict[int | None, StoredRun] = {}
    for update in updates:
        metrics = defaultdict(list)
        for point in update.points:
            for name, value in point.metrics.items():
                metrics[name].append((point.step, float(value)))
        runs[update.trial] = StoredRun(
            params={name: str(value) for name, value in update.params.items()},
            tags=dict(update.tags),
            metrics={name: sorted(values) for name, values in metrics.items()},
            name=update.name,
        )
    return runs


def stored(spec: TrackerSpec, identity: Identity) -> dict[int | None, StoredRun]:
    """Return the runs of a sweep that a tracker holds, by trial. Fails if a trial has two."""
    if isinstance(spec, MlflowSpec):
        return _of_mlflow(spec, identity)
    raise AssertionError(spec)


def _of_mlflow(spec: MlflowSpec, identity: Identity) -> dict[int | None, StoredRun]:
    from mlflow import MlflowClient

    client = MlflowClient(spec.tracking_uri)
    found = client.get_experiment_by_name(spec.experiment or identity.series)
    runs: dict[int | None, StoredRun] = {}
    ids: dict[int | None, str] = {}
    parents: dict[int | None, Any] = {}
    for run in client.search_runs([found.experiment_id], max_results=1000) if found else ():
        tags = run.data.tags
        if tags.get("tuner.sweep") != identity.id:
            continue
        trial = int(tags["tuner.trial"]) if "tuner.trial" in tags else None
        assert trial not in runs
        ids[trial], parents[trial] = run.info.run_id, tags.get("mlflow.parentRunId")
        metrics = {
            name: sorted((each.step, each.value) for each in client.get_metric_history(run.info.run_id, name))
            for name in run.data.metrics
        }
        folders = [""]
        files: list[str] = []
        while folders:
            for entry in client.list_artifacts(run.info.run_id, folders.pop()):
                (folders if entry.is_dir else files).append(entry.path)
        runs[trial] = StoredRun(
            params=run.data.params,
            tags=tags,
            metrics=metrics,
            files=files,
            name=run.info.run_name,
            status=run.info.status,
        )
    assert {parent for trial, parent in parents.items() if trial is not None} <= {ids.get(None)}
    return runs
