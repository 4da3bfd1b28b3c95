"""Hydra's sweeps as dimensions, and its apps as trials of a real sweep."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hydra")

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.tuner_sweeper.sweeper import BudgetConf, ResourcesConf, dimension
from tests.integrations.trial import Trial
from tuner import Budget, Report, Resources
from tuner.integrations.hydra import ReportReturnValue
from tuner.journal import read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.001, 1.0)", {"float": [0.001, 1.0]}),
        ("tag(log, interval(0.001, 1.0))", {"float": [0.001, 1.0], "log": True}),
        ("interval(1, 8)", {"float": [1.0, 8.0]}),
        ("tag(log, int(interval(1, 8)))", {"int": [1, 8], "log": True}),
        ("range(1, 5)", {"int": [1, 4]}),
        ("range(1, 10, 3)", {"int": [1, 7], "step": 3}),
        ("range(0, 1, 0.25)", {"float": [0.0, 0.75], "step": 0.25}),
        ("choice(16, 32)", {"choice": [16, 32]}),
        ("sgd,adam", {"choice": ["sgd", "adam"]}),
        ("'a b',c", {"choice": ["a b", "c"]}),
        ("choice([1, 2], [3])", {"choice": [[1, 2], [3]]}),
        ("true,false", {"choice": [True, False]}),
    ],
)
def test_each_sweep_of_hydra_is_a_dimension(text, expected):
    [override] = OverridesParser.create().parse_overrides([f"x={text}"])
    found = dimension(override)
    assert found == expected
    assert [type(each) for each in next(iter(found.values()))] == [
        type(each) for each in next(iter(expected.values()))
    ]


def ended(value: Any, reports: int = 0) -> list[dict[str, Any]]:
    """Return what the callback reports for an app that returns a value after some reports."""
    trial = Trial({}, reported=reports)
    with trial.running():
        returned = JobReturn(_return_value=value, status=JobStatus.COMPLETED)
        ReportReturnValue(["loss", "size"]).on_job_end(None, returned)
    return trial.reports


def test_the_return_value_is_reported_unless_the_app_has_reported():
    assert ended((0.5, 3)) == [{"loss": 0.5, "size": 3}]
    assert ended({"loss": 1, "size": 2, "more": 3}) == [{"loss": 1, "size": 2, "more": 3}]
    assert ended(None, reports=2) == []
    with pytest.raises(TypeError, match=r"must return loss, size or call tuner.client.report, got 0.5"):
        ended(0.5)


def test_the_sweeper_has_each_budget_and_resource_of_a_sweep_file():
    assert [each.name for each in fields(BudgetConf)] == list(Budget.model_fields)
    assert {each.name for each in fields(ResourcesConf)} == Resources.model_fields.keys() - {"custom"}


CONFIG = """
defaults: [_self_, optimizer: sgd]
epochs: 4
data: {size: 3}
"""

APP = """
import json, os
from pathlib import Path
import hydra
from tuner import client

@hydra.main(config_path="conf", config_name="config", version_base=None)
def main(cfg):
    if cfg.get("returns"):
        return cfg.data.size * cfg.optimizer.lr
    epoch = client.restore().get("epoch", 0)
    while epoch < cfg.epochs:
        epoch += 1
        client.report({"loss": cfg.optimizer.lr / epoch, "momentum": cfg.optimizer.momentum}, epoch=epoch)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text(CONFIG)
    for name, momentum in (("sgd", 0.0), ("nesterov", 0.9)):
        (tmp_path / "conf" / "optimizer" / f"{name}.yaml").write_text(f"lr: 0.1\nmomentum: {momentum}\n")
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def launched(app: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "app.py", "-m", "hydra/sweeper=tuner", "hydra.sweep.dir=out", *words]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(command, cwd=app, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.ray
def test_an_app_is_swept_with_pauses(app, cluster):
    done = launched(
        app,
        *("optimizer=sgd,nesterov", "optimizer.lr=tag(log, interval(0.01, 1.0))", "+data.name='a b'"),
        *("hydra.sweeper.objective={metric: loss, mode: min}", "hydra.sweeper.scheduler={kind: asha}"),
        *("hydra.sweeper.budget={trials: 5, iterations: 4}", f"hydra.sweeper.address={cluster}"),
        "hydra.sweeper.seed=1",
    )
    assert done.returncode == 0, done.stderr
    events: list[Any] = list(read(app / "out" / "sweep"))
    started = [event.trial for event in events if event.kind == "started"]
    assert len(started) > len(set(started)) == 5
    report = Report.read(app / "out" / "sweep")
    assert {trial.error for trial in report.trials} == {None}
    for trial in report.trials:
        assert trial.metrics["momentum"] == {"sgd": 0.0, "nesterov": 0.9}[trial.config["optimizer"]]
        assert trial.curve[0][1] == pytest.approx(trial.config["optimizer.lr"])
    found = OmegaConf.load(app / "out" / "optimization_results.yaml")
    best = report.best()
    assert best is not None
    assert found.best_evaluated_result == best.value
    assert (app / "out" / "sweep" / "trials" / "00000" / ".hydra" / "overrides.yaml").exists()


@pytest.mark.ray
def test_an_app_that_returns_its_value_needs_no_change(app, cluster):
    done = launched(
        app,
        *(
            "optimizer.lr=0.25,0.5",
            "data.size=range(1, 3)",
            "+returns=true",
            f"hydra.sweeper.address={cluster}",
        ),
        *("hydra.sweeper.searcher=grid", "hydra.sweeper.budget={trials: 4}"),
    )
    assert done.returncode == 0, done.stderr
    found = OmegaConf.load(app / "out" / "optimization_results.yaml")
    assert found.best_evaluated_result == 0.25


def test_a_wrong_setting_of_the_sweeper_is_one_line(app):
    done = launched(app, "optimizer.lr=0.25,0.5", "hydra.sweeper.scheduler=asa")
    assert done.returncode == 2
    assert "error: scheduler: unknown scheduler 'asa'" in done.stderr
    assert "Traceback" not in done.stderr
