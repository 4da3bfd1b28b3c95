"""Every sweep file that is shipped runs, shortened, and says what it can find."""

from pathlib import Path

import pytest

from tuner import Sweep, run

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shortened_sweep_finishes_without_a_failed_trial(path, tmp_path):
    short = {"budget.trials": 3, "budget.iterations": 3, "out": str(tmp_path)}
    sweep = Sweep.read(path, overrides=[f"{key}={value}" for key, value in short.items()])
    report = run(sweep)
    assert report.counts()["failed"] == 0
    assert 0 < report.best().value <= 1


def test_recipe_has_at_least_fifteen_conditional_hyperparameters():
    [path] = [path for path in SWEEPS if path.stem == "recipe"]
    assert sum(bool(dimension.when) for dimension in Sweep.read(path).space.dimensions.values()) >= 15
