"""Sweeps of boosting libraries: many trials in one worker, paused and resumed, also after a kill."""

import pytest

from tests.integration.running import events, killed
from tests.present import present
from trainables.sklearn import Estimator
from tuner import Budget, Float, Int, Objective, Report, Resources, Sweep, resume, run

PATHS = {
    "xgboost": "xgboost:XGBClassifier",
    "lightgbm": "lightgbm:LGBMClassifier",
    "catboost": "catboost:CatBoostClassifier",
}


def make(folder, library):
    return Sweep(
        trainable={
            "kind": "sklearn",
            "estimator": PATHS[library],
            "dataset": "wine",
            "iteration": "boosting",
            "growth": 2,
            "metrics": ["log_loss"],
        },
        space={"learning_rate": Float(0.01, 0.5, log=True), "max_depth": Int(1, 5)},
        objective=Objective(metric="val_log_loss", mode="min"),
        budget=Budget(trials=20, iterations=9, concurrent=1),
        scheduler="asha",
        resources=Resources(cpu=1),
        seed=4,
        out=str(folder),
    )


def table(report: Report):
    return [(trial.config, trial.state, trial.iterations, trial.curve) for trial in report.trials]


@pytest.mark.parametrize("library", [*PATHS])
def test_twenty_trials_in_one_worker_pause_and_resume_as_if_alone(library, cluster, tmp_path):
    pytest.importorskip(library, reason=f"needs the extra '{library}'")
    report = run(make(tmp_path, library), progress=None)
    assert report.counts()["failed"] == 0
    assert len({event.worker for event in events(report, "started")}) == 1
    assert len([event for event in events(report, "decision") if event.action == "pause"]) >= 20
    for trial in report.trials:
        config = {**report.sweep["trainable"], **trial.config, "seed": trial.seed, "sweep_seed": 4}
        alone = Estimator(config={key: value for key, value in config.items() if key != "kind"})
        assert [alone.train()["val_log_loss"] for _ in trial.curve] == [value for _, value in trial.curve]


def test_a_killed_sweep_continues_its_models(cluster, tmp_path):
    pytest.importorskip("xgboost", reason="needs the extra 'xgboost'")
    whole = run(make(tmp_path / "whole", "xgboost"), progress=None)
    folder = killed(make(tmp_path / "broken", "xgboost"), "checkpoint", 12, cluster)
    resumed = resume(folder, progress=None)
    assert table(resumed) == table(whole)
    models = [*(resumed.folder / "checkpoints" / present(resumed.best()).id).glob("*/model.ubj")]
    assert models
    assert all(model.stat().st_size > 1000 for model in models)
