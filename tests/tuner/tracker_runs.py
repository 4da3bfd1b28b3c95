"""Read back what real trackers hold, in one form for all of them."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.present import present
from tuner.journal import read
from tuner.logger import Identity, LoggerSpec, TrackerSpec
from tuner.trackers._mlflow import MlflowSpec
from tuner.trackers._tensorboard import TensorBoardSpec
from tuner.trackers._trackio import TrackioSpec
from tuner.trackers._wandb import WandbSpec, records
from tuner.trackers.service import began_of
from tuner.trackers.updates import Feed, RunUpdate

_TRACKIO = tempfile.TemporaryDirectory(prefix="tuner-trackio-")
# Trackio reads it once, at its import, in this process and in those that it starts.
os.environ["TRACKIO_DIR"] = _TRACKIO.name


@dataclass
class StoredRun:
    """A run as a tracker stores it."""

    params: dict[str, Any] = field(default_factory=dict)
    """Each is the value or its text."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Parameters that have changed since. MLflow keeps the first values."""
    tags: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """(step, value) of each metric, sorted."""
    files: list[str] = field(default_factory=list)
    """The names of the files of the winner's checkpoint."""
    name: str = ""
    status: str = ""


def identity_of(folder: Path) -> Identity:
    began = began_of(folder)
    return Identity(str(began.id), str(began.settings["name"]), folder)


def check(logger: LoggerSpec, folder: Path) -> dict[int | None, StoredRun]:
    """Compare the store with the journal, and return what it holds."""
    feed = Feed()
    feed.add(read(folder))
    wanted = expected(feed.take())
    found = stored(present(logger.tracker()), identity_of(folder))
    assert found.keys() == wanted.keys()
    for trial, run in wanted.items():
        store = found[trial]
        if logger.kind == "tensorboard":  # it stores numbers in 32 bits, and hyperparameters in an own form
            state = ", ".join(f"{name}: {value}" for name, value in run.tags.items() if value)
            assert store.tags["state"] == state
            for name, values in run.metrics.items():
                run.metrics[name] = [(step, float(np.float32(value))) for step, value in values]
        else:
            assert store.name == run.name
            params = run.params if logger.kind == "mlflow" else {**run.params, **run.changed}
            assert all(store.params[name] in (value, str(value)) for name, value in params.items())
            assert run.tags.items() <= store.tags.items()
        assert {name: store.metrics.get(name) for name in run.metrics} == run.metrics
    return found


def expected(updates: list[RunUpdate]) -> dict[int | None, StoredRun]:
    """Return the runs that a tracker must hold after these updates of a whole sweep."""
    runs: dict[int | None, StoredRun] = {}
    for update in updates:
        metrics = defaultdict(list)
        for point in update.points:
            for name, value in point.metrics.items():
                metrics[name].append((point.step, float(value)))
        runs[update.trial] = StoredRun(
            params=dict(update.params),
            changed=dict(update.changed),
            tags=dict(update.tags),
            metrics={name: sorted(values) for name, values in metrics.items()},
            name=update.name,
        )
    return runs


def stored(spec: TrackerSpec, identity: Identity) -> dict[int | None, StoredRun]:
    """Return the runs of a sweep that a tracker holds, by trial. Fails if a trial has two."""
    if isinstance(spec, MlflowSpec):
        return _of_mlflow(spec, identity)
    if isinstance(spec, WandbSpec):
        return _of_wandb(identity)
    if isinstance(spec, TrackioSpec):
        return _of_trackio(spec, identity)
    assert isinstance(spec, TensorBoardSpec)
    return _of_tensorboard(identity)


def _trial(run: str) -> int | None:
    return int(run) if run.isdecimal() else None


def _sorted(metrics: dict[str, list[tuple[int, float]]]) -> dict[str, list[tuple[int, float]]]:
    return {name: sorted(values) for name, values in metrics.items()}


def _of_wandb(identity: Identity) -> dict[int | None, StoredRun]:
    """Read the files of offline runs. W&B merges the files of one run in the order of their start."""
    runs: dict[int | None, StoredRun] = {}
    steps: dict[int | None, list[int]] = defaultdict(list)
    for path in sorted((identity.folder / "wandb").glob(f"*run-*-{identity.id}-*/*.wandb")):
        trial = _trial(path.stem.rpartition("-")[2])
        run = runs.setdefault(trial, StoredRun())
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                assert record.run.run_group == f"{identity.name}-{identity.id}"
                assert record.run.job_type == ("sweep" if trial is None else "trial")
                run.name = record.run.display_name
                run.status = ", ".join(record.run.tags)
                run.params |= _values(record.run.config.update)
            elif kind == "config":
                run.tags |= {f"config/{name}": value for name, value in _values(record.config.update).items()}
            elif kind == "summary":
                run.tags |= _values(record.summary.update)
            elif kind == "history":
                row = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                steps[trial].append(record.history.step.num)
                for name, value in row.items():
                    if name != "iteration" and not name.startswith("_"):
                        run.metrics.setdefault(name, []).append((row["iteration"], value))
            elif kind == "artifact":
                run.files = [each.path for each in record.artifact.manifest.contents]
            elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
                run.files = [each.path for each in record.request.log_artifact.artifact.manifest.contents]
    for trial, numbers in steps.items():
        assert numbers == list(range(1, len(numbers) + 1)), trial
    for run in runs.values():
        run.metrics = _sorted(run.metrics)
    return runs


def _values(items: Any) -> dict[str, Any]:
    values = {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _of_trackio(spec: TrackioSpec, identity: Identity) -> dict[int | None, StoredRun]:
    from trackio.sqlite_storage import SQLiteStorage

    project = spec.project or identity.series
    runs: dict[int | None, StoredRun] = {}
    for found in SQLiteStorage.get_run_records(project):
        config = SQLiteStorage.get_run_config(project, found["name"], run_id=found["id"])
        assert config["_Group"] == f"{identity.name}-{identity.id}"
        metrics = defaultdict(list)
        for row in SQLiteStorage.get_logs(project, found["name"], run_id=found["id"]):
            for name, value in row.items():
                if name not in ("step", "timestamp"):
                    metrics[name].append((row["step"], float(value)))
        trial = _trial(found["id"].rpartition("-")[2])
        assert trial not in runs
        artifacts = SQLiteStorage.get_run_artifacts(project, found["name"], run_id=found["id"])["output"]
        manifests = [
            SQLiteStorage.get_artifact_manifest(project, each["name"], f"v{each['version']}")
            for each in artifacts
        ]
        files = [entry["path"] for manifest in manifests for entry in manifest["manifest"]]
        runs[trial] = StoredRun(
            config, tags=config, metrics=_sorted(metrics), files=files, name=found["name"]
        )
    return runs


def _of_tensorboard(identity: Identity) -> dict[int | None, StoredRun]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs: dict[int | None, StoredRun] = {}
    for folder in filter(Path.is_dir, (identity.folder / "logs").iterdir()):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        events.Reload()
        metrics = {
            name: sorted((each.step, each.value) for each in events.Scalars(name))
            for name in events.Tags()["scalars"]
        }
        texts = {
            name.removesuffix("/text_summary"): events.Tensors(name)[-1].tensor_proto.string_val[0].decode()
            for name in events.Tags()["tensors"]
            if name.endswith("/text_summary")
        }
        runs[_trial(folder.name)] = StoredRun(metrics=metrics, tags=texts)
    return runs


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
