"""Trials whose resources depend on their hyperparameters, on a real local Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import events
from tuner import Budget, Objective, Resources, Sweep, run
from tuner.cli import main
from tuner.errors import SpecError

HERE = Path(__file__).parent
LOSS = Objective(metric="loss", mode="min")


def sweep_of(name: str, out: Path, **parts) -> Sweep:
    return Sweep(
        **{"trainable": f"{HERE / 'varying.py'}:{name}", "objective": LOSS, "out": str(out), **parts}
    )


def test_each_trial_has_as_many_processes_as_its_configuration_needs(cluster, tmp_path, capsys):
    report = run(
        sweep_of(
            "rank_and_size",
            tmp_path,
            space={"model": {"choice": ["large", "small"]}},
            searcher="grid",
            budget=Budget(retries=0),
            resources=Resources(processes={"when": {"model": {"large": 2, "small": 1}}}),
        )
    )
    assert [trial.error for trial in report.trials] == [None, None]
    found = {e.trial: (e.value, e.metrics["size"]) for e in events(report, "result")}
    sizes = {trial.config["model"]: found[trial.number] for trial in report.trials}
    assert sizes == {"large": (2.0, 2), "small": (1.0, 1)}
    ranks = {trial.config["model"]: trial.ranks for trial in report.trials}
    assert {model: len(of_trial) for model, of_trial in ranks.items()} == {"large": 2, "small": 1}
    assert all(rank["node"] and rank["gpus"] == [] for rank in ranks["large"])
    [large] = [trial.number for trial in report.trials if trial.config["model"] == "large"]
    capsys.readouterr()
    assert main(["logs", str(report.folder), str(large), "--rank", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "this is rank 1\n"
    assert printed.err == f"rank 1 of trial {large}; --rank shows each of its 2 processes\n"
    assert main(["logs", str(report.folder), str(large), "--rank", "2"]) == 2
    assert f"trial {large} has no rank 2; must be below 2" in capsys.readouterr().err


def test_a_trial_that_gets_another_configuration_gets_its_processes(cluster, tmp_path):
    scheduler = {"kind": "pbt", "interval": 3, "mutate": ["width"], "resample": 1.0}
    report = run(
        sweep_of(
            "Resized",
            tmp_path,
            space={"width": {"choice": [1, 2]}},
            budget=Budget(retries=0, trials=8, iterations=6, concurrent=2),
            scheduler=scheduler,
            resources=Resources(cpu=0.5, processes="width"),
        )
    )
    results = [e.metrics for e in events(report, "result")]
    assert [trial.state for trial in report.trials] == ["completed"] * 8
    assert all(each["size"] == each["width"] for each in results)
    changed = [e for e in events(report, "reconfigured") if e.config["width"] != before(report, e)]
    assert changed


def before(report, event) -> int:
    """Return the width of the trial before it was reconfigured."""
    given = [e for e in events(report, "suggested", "reconfigured") if e.trial == event.trial]
    return given[given.index(event) - 1].config["width"]


def test_a_trainable_that_requests_resources_cannot_have_several_processes(cluster, tmp_path):
    from ray import tune

    from tests.integration import varying

    trainable = tune.with_resources(varying.rank_and_size, {"cpu": 1})
    parts = {"space": {"model": {"choice": ["large"]}}, "budget": Budget(trials=1)}
    sweep = sweep_of("", tmp_path, **parts, trainable=trainable, resources=Resources(processes=2))
    with pytest.raises(SpecError) as refusal:
        run(sweep)
    own = "the trainable requests its own resources (default_resource_request or tune.with_resources)"
    what = f"resources: {own}, which a sweep with processes cannot use; use one of the two"
    assert str(refusal.value) == what
