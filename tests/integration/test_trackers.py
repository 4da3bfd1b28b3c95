"""Trackers of real sweeps: killed and resumed, and down from the beginning to the end."""

from __future__ import annotations

import re
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.running import killed, sweep_of
from tests.tuner.tracker_runs import check
from tuner import Float, resume, run
from tuner.cli import main
from tuner.journal import read
from tuner.logger import LoggerSpec

# Libraries warn about their own use of other libraries.
pytestmark = pytest.mark.filterwarnings("ignore")


def trackers(folder: Path) -> list[dict[str, str]]:
    """Return every tracker that is installed, each with a store in ``folder``."""
    found = [
        {"kind": "mlflow", "tracking_uri": f"sqlite:///{folder}/mlflow.db"},
        {"kind": "wandb", "mode": "offline"},
        {"kind": "trackio", "project": folder.name},
        {"kind": "tensorboard"},
    ]
    return [each for each in found if find_spec(each["kind"]) is not None]


def test_a_killed_and_resumed_sweep_is_in_every_tracker_once(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts in the current folder
    loggers = trackers(tmp_path)
    sweep = sweep_of(
        "Toy", tmp_path, space={"x": Float(0.0, 0.9)}, trials=9, scheduler="asha", loggers=loggers
    )
    folder = killed(sweep, "result", 12, cluster)
    assert sum(event.kind == "result" for event in read(folder)) < 16
    report = resume(folder)
    assert report.reason == "trials"
    for logger in loggers:
        runs = check(LoggerSpec.parse(logger), folder)
        assert len(runs) == 10
        if logger["kind"] != "tensorboard":
            assert [Path(name).name for name in runs[None].files] == ["steps.json"]


def test_a_tracker_that_is_down_delays_no_trial_and_is_caught_up_later(
    cluster, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    down = {"kind": "mlflow", "tracking_uri": f"http://127.0.0.1:{port}"}
    plain = sweep_of("Toy", tmp_path / "plain", space={"x": Float(0.0, 0.5)})
    with_tracker = sweep_of("Toy", tmp_path, space={"x": Float(0.0, 0.5)}, loggers=[down])
    expected, report = run(plain, progress=False), run(with_tracker, progress=False)
    assert [trial.curve for trial in report.trials] == [trial.curve for trial in expected.trials]
    assert report.seconds < expected.seconds + 5
    warning = capsys.readouterr().err
    assert re.search(
        r"warning: mlflow has not received everything: .*send the rest with: tuner sync", warning
    )
    database = f"sqlite:///{tmp_path}/mlflow.db"
    command = ["sync", str(report.folder), "--to", "mlflow", "--set", f"tracking_uri={database}"]
    for _ in range(2):
        assert main(command) == 0
        check(LoggerSpec(kind="mlflow", settings={"tracking_uri": database}), report.folder)
