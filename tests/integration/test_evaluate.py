"""Evaluation and export of a real sweep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.integration.running import run_toy
from tests.present import present
from trainables.models.mlp import MLP
from trainables.torch.export import load_model
from tuner import Budget, Float, Objective, Resources, ResultsError, SpecError, Sweep, run
from tuner.cli import main
from tuner.evaluation.evaluate import evaluate
from tuner.export import export
from tuner.report import Report


@pytest.fixture(scope="module")
def searched(cluster, tmp_path_factory) -> Report:
    sweep = Sweep(
        trainable={"kind": "mlp", "dataset": "wine", "metrics": ["macro_f1"]},
        space={"lr": Float(1e-3, 0.1, log=True), "hidden": 8, "batch_size": 32, "scaling": "robust"},
        objective=Objective(metric="val_macro_f1", mode="max"),
        budget=Budget(trials=4, iterations=4),
        resources=Resources(cpu=2),  # two workers, because each imports PyTorch
        seed=3,
        out=str(tmp_path_factory.mktemp("out")),
    )
    return run(sweep)


def test_the_best_trials_are_repeated_and_the_winner_is_tested_once(searched, capsys):
    assert main(["evaluate", str(searched.folder), "--top", "2", "--repeats", "3"]) == 0
    evaluation = json.loads((searched.folder / "evaluation.json").read_text())
    [repeats, test] = [Report.read(searched.folder / part) for part in evaluation["results"]]

    assert [each["trial"] for each in evaluation["candidates"]] == [
        trial.id for trial in searched.ranked()[:2]
    ]
    assert [each["claimed"] for each in evaluation["candidates"]] == [
        trial.value for trial in searched.ranked()[:2]
    ]
    seeds = [trial.seed for part in (searched, repeats, test) for trial in part.trials]
    assert len(set(seeds)) == 4 + 6 + 3
    for number, candidate in enumerate(evaluation["candidates"]):
        curves = np.array([[value for _, value in trial.curve] for trial in repeats.trials[number::2]])
        assert curves.shape == (3, 4)
        assert candidate["iteration"] == curves.mean(axis=0).argmax() + 1
        assert candidate["mean"] == pytest.approx(curves.mean(axis=0).max())
        assert candidate["spread"] == pytest.approx(curves[:, candidate["iteration"] - 1].std(ddof=1))
    chosen = max(evaluation["candidates"], key=lambda each: each["mean"])
    assert evaluation["chosen"] == chosen["trial"]

    for trial, value in zip(test.trials, evaluation["test"]["values"], strict=True):
        settings = {key: value for key, value in test.sweep["trainable"].items() if key != "kind"}
        alone = MLP(config={**chosen["config"], **settings, "seed": trial.seed, "sweep_seed": 0}).train()
        assert alone["test_macro_f1"] == value
        assert trial.config == chosen["config"]
        assert trial.value == value
    assert evaluation["test"]["mean"] == pytest.approx(np.mean(evaluation["test"]["values"]))

    output = capsys.readouterr().out
    assert f"test_macro_f1 of trial {chosen['trial']}: mean " in output
    main(["report", str(searched.folder)])
    assert output in capsys.readouterr().out
    assert "test_macro_f1" in (searched.folder / "report.html").read_text()
    with pytest.raises(ResultsError, match="the test rows have been used already"):
        evaluate(searched.folder)


def test_the_best_model_is_exported_and_loaded_without_its_code_running(searched, tmp_path, capsys):
    assert main(["export", str(searched.folder), "--out", str(tmp_path / "model")]) == 0
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
        "preprocessing.safetensors",
    ]
    best = searched.best()
    model, checkpoint = load_model(tmp_path / "model"), load_model(best.checkpoint)
    source = MLP(config={**best.config, "dataset": "wine", "seed": best.seed, "sweep_seed": 3}).dataset
    rows = present(source.source).table.numbers[source.validation.rows]
    assert model.predict(rows).tolist() == checkpoint.predict(rows).tolist()
    classes = np.asarray(source.validation.targets)  # integers, as in scikit-learn's wine data
    assert f1_score(classes, model.predict(rows), average="macro") == pytest.approx(best.value)
    with pytest.raises(ResultsError, match="model already exists"):
        export(searched.folder, tmp_path / "model")


def test_a_trainable_without_support_is_neither_evaluated_nor_exported(cluster, tmp_path):
    report = run_toy("Toy", tmp_path, iterations=2)
    with pytest.raises(SpecError, match=r"cannot evaluate '.*': its class must have 'repeated' and 'final'"):
        evaluate(report.folder)
    with pytest.raises(SpecError, match=r"cannot export '.*': its class must have export"):
        export(report.folder, tmp_path / "model")
