"""Recorded sweeps arrive in real stores of each tracker's library, whole and once."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.present import present
from tests.tuner.tracker_runs import StoredRun, expected, stored
from tuner import Report
from tuner.journal import FILE_NAME, read
from tuner.logger import Identity, LoggerSpec, TrackerSpec
from tuner.trackers.position import Position
from tuner.trackers.process import Message, TrackerProcess
from tuner.trackers.service import began_of
from tuner.trackers.updates import Feed

# Libraries warn about their own use of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

RECORDED = Path(__file__).with_name("journals")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of MLflow's database. Its creation takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def trackio_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Trackio. It reads the variable for it once, at its import."""
    folder = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(folder))
        if find_spec("trackio") is not None:
            import trackio.utils

            return Path(trackio.utils.TRACKIO_DIR)
    return folder


@pytest.fixture(params=["mlflow database", "mlflow folder", "wandb", "trackio", "tensorboard"])
def logger(
    request: pytest.FixtureRequest,
    database: str,
    trackio_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> LoggerSpec:
    """A tracker whose store is empty."""
    if find_spec(request.param.split()[0]) is None:
        pytest.skip(f"{request.param.split()[0]} is not installed")
    monkeypatch.chdir(tmp_path)
    if request.param == "mlflow database":
        return LoggerSpec(kind="mlflow", settings={"tracking_uri": database, "experiment": tmp_path.name})
    if request.param == "mlflow folder":
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        return LoggerSpec(kind="mlflow", settings={"tracking_uri": f"file:{tmp_path}/mlruns"})
    if request.param == "trackio":
        monkeypatch.setenv("TRACKIO_DIR", str(trackio_dir))
        return LoggerSpec(kind="trackio", settings={"project": tmp_path.name})
    return LoggerSpec(kind=request.param, settings={"mode": "offline"} if request.param == "wandb" else {})


@pytest.fixture(params=["asha", "pbt"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A results folder with a recorded journal and the winner's checkpoint."""
    return recorded(request.param, tmp_path)


def recorded(name: str, tmp_path: Path) -> Path:
    results = tmp_path / name
    results.mkdir()
    shutil.copy(RECORDED / f"{name}.sqlite", results / FILE_NAME)
    kept = present(Report.read(results).best()).gone
    if kept is not None:
        (results / kept).mkdir(parents=True)
        (results / kept / "weights.bin").write_bytes(b"weights")
    return results


def identity_of(folder: Path) -> Identity:
    began = began_of(folder)
    return Identity(str(began.id), str(began.settings["name"]), folder)


def tracker_of(logger: LoggerSpec) -> TrackerSpec:
    return present(logger.tracker())


def check(logger: LoggerSpec, folder: Path) -> dict[int | None, StoredRun]:
    """Compare the store with the journal, and return what it holds."""
    feed = Feed()
    feed.add(read(folder))
    wanted = expected(feed.take())
    found = stored(tracker_of(logger), identity_of(folder))
    assert found.keys() == wanted.keys()
    for trial, run in wanted.items():
        store = found[trial]
        if logger.kind == "tensorboard":  # it stores numbers in 32 bits, and hyperparameters in an own form
            state = ", ".join(f"{name}: {value}" for name, value in run.tags.items())
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


def send(logger: LoggerSpec, folder: Path) -> Message:
    process = TrackerProcess(folder, logger, follows=False, hear=lambda message: None)
    return process.wait(100)


def test_a_finished_sweep_is_sent_whole_and_once(logger: LoggerSpec, folder: Path) -> None:
    events = len(list(read(folder)))
    for _ in range(2):
        assert send(logger, folder) == Message("done", number=events)
        runs = check(logger, folder)
    best = present(Report.read(folder).best())
    if best.checkpoint is not None and logger.kind != "tensorboard":
        assert [name.rpartition("/")[2] for name in runs[None].files] == ["weights.bin"]


def test_a_lost_position_leads_to_no_duplicates(logger: LoggerSpec, tmp_path: Path) -> None:
    folder = recorded("pbt", tmp_path)
    for _ in range(2):
        assert send(logger, folder).about == "done"
        check(logger, folder)
        shutil.rmtree(folder / "trackers")


def test_a_process_that_is_killed_again_and_again_sends_nothing_twice(
    logger: LoggerSpec, tmp_path: Path
) -> None:
    if logger.settings.get("tracking_uri", "").startswith("file:"):
        pytest.skip("MLflow writes the files of this store in place, so a kill can leave it unreadable")
    folder = recorded("pbt", tmp_path)
    kills = [killed_while_sending(logger, folder, delay=delay) for delay in (0.0, 0.1, 0.2, 0.4)]
    assert any(kills)
    assert send(logger, folder).about == "done"
    check(logger, folder)


def killed_while_sending(logger: LoggerSpec, folder: Path, *, delay: float) -> bool:
    """Start a process, and kill it this long after it began to send. Return whether it was still sending."""
    spec = tracker_of(logger)
    position = Position(folder, spec.kind, spec.destination(identity_of(folder)))
    position.path.unlink(missing_ok=True)
    process = TrackerProcess(folder, logger, follows=True, hear=lambda message: None)
    while position.read().begun is None:
        time.sleep(0.01)
    time.sleep(delay)
    process._process.kill()
    process.wait(10)
    return position.read().sent == 0
