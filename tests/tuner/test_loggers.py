"""The calls that loggers receive, the CSV files, and the error for an unusable logger."""

from __future__ import annotations

import csv
import json
import threading
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from ray.tune import Callback
from ray.tune.logger import LoggerCallback

from tuner import Budget, Float, Objective, SpecError, Sweep
from tuner.cli import main
from tuner.cluster import loggers
from tuner.cluster.loggers import Loggers
from tuner.errors import LoggerError
from tuner.logger import LoggerSpec
from tuner.trackers._csv import FILE_NAME, CsvLogger

HERE = Path(__file__)


class Trial(SimpleNamespace):
    """The attributes of a trial that Ray's loggers use."""

    def __init__(self, number: int, folder: Path | None = None) -> None:
        super().__init__(
            trial_id=f"{number:05d}",
            local_path=str(folder),
            config={},
            experiment_dir_name="checkpoints",
            checkpoint=None,
        )

    def init_local_path(self) -> None:
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    __hash__ = object.__hash__  # type: ignore[assignment]


class Recorder(LoggerCallback):
    """A logger that records every call."""

    calls: ClassVar[list[str]] = []

    def log_trial_start(self, trial: Any) -> None:
        self.calls.append(f"start {trial.trial_id} {trial} of {trial.experiment_dir_name}")

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        self.calls.append(f"result {trial.trial_id} {result}")

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self.calls.append(f"end {trial.trial_id}")

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        self.calls.append(f"over {[trial.trial_id for trial in trials]}")


class Hanging(Callback):
    """A logger that never closes, as if its server did not answer."""

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        threading.Event().wait()


class Broken(Callback):
    """A logger whose every call raises."""

    def setup(self, **info: Any) -> None:
        raise ValueError("no key found")

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        raise OSError("no network")

    def on_experiment_end(self, trials: Any, **info: Any) -> None:
        raise OSError("no network")


class Lacking(Callback):
    """A logger whose library is not installed."""

    def __init__(self) -> None:
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401


def sweep(*kinds: Any, name: str = "digits") -> Sweep:
    return Sweep(
        trainable="mlp",
        space={"lr": Float(0.1, 0.5)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=2),
        loggers=kinds,
        name=name,
    )


def named(what: str) -> str:
    return f"{HERE}:{what}"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    LoggerSpec(kind=named("Recorder")).build()  # a sweep that names the file loads it as another module
    import sys

    recorder = sys.modules[LoggerSpec(kind=named("Recorder")).check().__module__].Recorder
    recorder.calls = []
    found: list[str] = recorder.calls
    return found


def test_trial_names_belong_to_one_sweep_only(calls: list[str]) -> None:
    for sweep_id in ("aaaa", "bbbb"):
        one = Loggers(sweep(named("Recorder")), sweep_id)
        trial = Trial(0)
        one.started(trial, iteration=1, trials=[trial])
        one.result(trial, {"loss": 1.0}, iteration=1, trials=[trial])
        one.ended(trial, iteration=1, trials=[trial])
    assert calls == [
        line
        for name in ("digits_aaaa_00000", "digits_bbbb_00000")
        for line in (
            f"start {name} {name} of digits",
            f"result {name} {{'loss': 1.0, 'trial_id': '{name}'}}",
            f"end {name}",
        )
    ]


def test_trials_left_open_by_an_interruption_are_closed(calls: list[str]) -> None:
    one = Loggers(sweep(named("Recorder")), "aaaa")
    trials = [Trial(0), Trial(1)]
    one.started(trials[0], iteration=1, trials=trials)
    assert one.close(trials, interrupted=True) == []
    assert calls[1:] == ["end digits_aaaa_00000", "over ['digits_aaaa_00000', 'digits_aaaa_00001']"]


def test_a_trial_that_never_ran_is_not_ended(calls: list[str]) -> None:
    one = Loggers(sweep(named("Recorder")), "aaaa")
    one.ended(Trial(0), iteration=1, trials=[])
    assert calls == []


def test_a_logger_that_does_not_close_is_abandoned_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loggers, "_SECONDS_TO_CLOSE_WHEN_INTERRUPTED", 0.1)
    warnings = Loggers(sweep(named("Hanging")), "aaaa").close([], interrupted=True)
    assert warnings == [
        f"logger '{named('Hanging')}' was cut off after 0.1 s; it may not have sent everything"
    ]


def test_a_failing_logger_is_named_with_its_error() -> None:
    broken = Loggers(sweep(named("Broken")), "aaaa")
    with pytest.raises(LoggerError) as refused:
        broken.setup()
    assert str(refused.value) == f"loggers: '{named('Broken')}' cannot be set up: ValueError: no key found"
    with pytest.raises(LoggerError, match=r"failed in on_trial_result of trial 00000: OSError: no network$"):
        broken.result(Trial(0), {}, iteration=1, trials=[])
    assert broken.close([], interrupted=False) == [
        f"logger '{named('Broken')}' failed to close: OSError: no network"
    ]


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        ("ray.air.integrations.wandb:WandbLoggerCallback", "wandb"),
        ("ray.air.integrations.mlflow:MLflowLoggerCallback", "mlflow"),
        ("ray.air.integrations.comet:CometLoggerCallback", "comet-ml"),
        ("ray.tune.logger.aim:AimLoggerCallback", "aim"),
        ("ray.tune.logger:TBXLoggerCallback", "tensorboardX"),
    ],
)
def test_a_logger_without_its_library_is_refused_with_the_remedy(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.logger.find_spec", lambda name: None)
    with pytest.raises(SpecError) as refused:
        LoggerSpec(kind=kind).check()
    assert str(refused.value) == f"'{kind}' needs {package}, which is not installed; pip install {package}"


@pytest.mark.parametrize(
    ("kind", "library"),
    [
        ("mlflow", "mlflow"),
        ("wandb", "wandb"),
        ("trackio", "trackio"),
        ("tensorboard", "tensorboardX"),
    ],
)
def test_a_tracker_without_its_library_is_refused_with_the_remedy(
    kind: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.logger.find_spec", lambda name: None)
    with pytest.raises(SpecError) as refused:
        LoggerSpec(kind=kind).check()
    what = f"'{kind}' needs {library}, which is not installed"
    assert str(refused.value) == f"{what}; pip install 'tuner-ray[{kind}]'"


@pytest.mark.parametrize(
    ("logger", "problem"),
    [
        (
            {"kind": "mlflow", "experiment_name": "a"},
            "unknown key 'experiment_name'; write 'experiment'",
        ),
        ({"kind": "wandb", "mode": "ofline"}, "mode: unknown value 'ofline'; did you mean 'offline'?"),
        ({"kind": "trackio", "checkpoint": "no"}, "checkpoint: must be true or false, got the text 'no'"),
        (
            {"kind": "mlflow", "tracking_uri": "file:mlruns"},
            "tracking_uri: MLflow 3 refuses a folder as its store, got file:mlruns; "
            "write sqlite:///mlflow.db, or set MLFLOW_ALLOW_FILE_STORE=true",
        ),
        (
            {"kind": "wandb", "mode": "online"},
            "W&B has no API key; run 'wandb login', set WANDB_API_KEY, or write {kind: wandb, mode: offline}",
        ),
    ],
    ids=str,
)
def test_a_wrong_setting_of_a_tracker_is_named_with_the_remedy(
    logger: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(logger["kind"]) is None:
        pytest.skip(f"{logger['kind']} is not installed")
    for name in ("MLFLOW_ALLOW_FILE_STORE", "WANDB_API_KEY", "WANDB_MODE", "TRACKIO_SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(SpecError) as refused:
        LoggerSpec.parse(logger).check()
    assert str(refused.value) == problem


def test_a_tracker_that_is_named_twice_is_refused() -> None:
    twice = sweep({"kind": "tensorboard"}, "csv", "tensorboard")
    with pytest.raises(SpecError, match=r"loggers\.2: duplicate of loggers\.0"):
        twice.check()


def test_check_creates_the_loggers_and_names_missing_packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        sweep(named("Lacking"))
        .to_yaml()
        .replace("kind: mlp", "kind: mlp\n  dataset: wine")
        .replace("metric: loss", "metric: val_loss")
    )
    assert main(["check", str(file), "--set", "budget.iterations=2"]) == 2
    assert capsys.readouterr().err == (
        f"error: loggers.0: cannot build '{named('Lacking')}': ModuleNotFoundError: No module named "
        "'no_such_library'; is it installed? pip install no_such_library\n"
    )


# CSV


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / FILE_NAME).open(newline="") as file:
        return list(csv.DictReader(file))


def test_late_metrics_get_a_column_and_none_is_lost(tmp_path: Path) -> None:
    logger, trial = CsvLogger(), Trial(0, tmp_path / "00000")
    for iteration in range(1, 6):
        result = {"training_iteration": iteration, "loss": 1 / iteration, "config": {"lr": 1}}
        logger.log_trial_result(
            iteration,
            trial,
            result
            | ({"f1": 0.5} if iteration >= 3 else {})
            | ({"note": 'a "b",\nc'} if iteration == 4 else {}),
        )
    logger.log_trial_end(trial)
    found = rows(tmp_path / "00000")
    assert list(found[0]) == ["training_iteration", "loss", "f1", "note"]
    assert [row["f1"] for row in found] == ["", "", "0.5", "0.5", "0.5"]
    assert [row["note"] for row in found] == ["", "", "", 'a "b",\nc', ""]
    assert [float(row["loss"]) for row in found] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]


def test_a_trial_that_is_started_again_continues_its_file(tmp_path: Path) -> None:
    trial = Trial(0, tmp_path / "00000")
    first = CsvLogger()
    first.log_trial_result(1, trial, {"training_iteration": 1, "=x": "=1"})
    first.log_trial_end(trial)
    with (tmp_path / "00000" / FILE_NAME).open("a") as file:
        file.write("2,un")  # written by a process that was killed
    second = CsvLogger()
    second.log_trial_start(trial)
    second.log_trial_result(2, trial, {"=x": "b", "training_iteration": 2, "f1": -1})
    second.log_trial_end(trial)
    assert rows(tmp_path / "00000") == [
        {"training_iteration": "1", "'=x": "'=1", "f1": ""},
        {"training_iteration": "2", "'=x": "b", "f1": "-1"},
    ]


def test_ray_s_other_loggers_keep_late_metrics(tmp_path: Path) -> None:
    trial = Trial(0, tmp_path / "00000")
    trial.evaluated_params = {"lr": 0.1}
    trial.init_local_path()
    for kind in ("json", "ray.tune.logger:TBXLoggerCallback"):
        logger = LoggerSpec(kind=kind).build()
        logger.log_trial_start(trial)
        for iteration in range(1, 4):
            late = {"late": 0.5} if iteration == 3 else {}
            logger.log_trial_result(iteration, trial, {"training_iteration": iteration, "loss": 1.0, **late})
        logger.log_trial_end(trial)
    lines = [json.loads(line) for line in (tmp_path / "00000" / "result.json").read_text().splitlines()]
    assert [line.get("late") for line in lines] == [None, None, 0.5]
    [events] = (tmp_path / "00000").glob("events.out.tfevents.*")
    assert b"ray/tune/late" in events.read_bytes()
