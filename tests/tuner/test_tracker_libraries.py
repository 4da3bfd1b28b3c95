"""Recorded sweeps arrive in real stores of each tracker's library, whole and once."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.present import present
from tests.tuner.tracker_runs import check, identity_of
from tuner import Report
from tuner.journal import FILE_NAME
from tuner.logger import LoggerSpec, TrackerSpec
from tuner.trackers.position import Position
from tuner.trackers.process import TrackerProcess
from tuner.trackers.sender import Sender

# Libraries warn about their own use of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")

RECORDED = Path(__file__).with_name("journals")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of MLflow's database. Its creation takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(params=["mlflow database", "mlflow folder", "wandb", "trackio", "tensorboard"])
def logger(
    request: pytest.FixtureRequest,
    database: str,
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


def tracker_of(logger: LoggerSpec) -> TrackerSpec:
    return present(logger.tracker())


def send_here(logger: LoggerSpec, folder: Path) -> int:
    """Send a sweep from this process, and return the number of batches."""
    spec, identity = tracker_of(logger), identity_of(folder)
    position = Position(folder, spec.kind, spec.destination(identity))
    sender = Sender(folder, lambda: spec.open(identity), position, checkpoint=spec.checkpoint)
    batches = 0
    while sender.step():
        batches += 1
    sender.close()
    return batches


def test_a_finished_sweep_is_sent_whole_and_once(logger: LoggerSpec, folder: Path) -> None:
    assert [send_here(logger, folder) for _ in range(2)] == [1, 0]
    check(logger, folder)
    shutil.rmtree(folder / "trackers")  # then it is unknown how much has arrived
    assert send_here(logger, folder) == 1
    runs = check(logger, folder)
    best = present(Report.read(folder).best())
    if best.checkpoint is not None and logger.kind != "tensorboard":
        assert [name.rpartition("/")[2] for name in runs[None].files] == ["weights.bin"]


def test_a_process_that_is_killed_again_and_again_sends_nothing_twice(
    logger: LoggerSpec, tmp_path: Path
) -> None:
    if logger.settings.get("tracking_uri", "").startswith("file:"):
        pytest.skip("MLflow writes the files of this store in place, so a kill can leave it unreadable")
    folder = recorded("pbt", tmp_path)
    kills = [killed_while_sending(logger, folder, delay=delay) for delay in (0.2, 0.0)]
    assert any(kills)
    assert send_here(logger, folder) > 0
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
