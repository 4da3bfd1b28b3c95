"""Every example sweep runs with fewer trials than it asks for."""

from pathlib import Path

import pytest

from tests.present import present
from tuner import Sweep, run

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))

# One worker with two trials, because each worker imports PyTorch.
FEWER = ["budget.trials=6", "budget.iterations=9", "budget.concurrent=2", "resources.lanes=2"]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_an_example_beats_chance(path, cluster, tmp_path):
    sweep = Sweep.read(path, [*FEWER, f"out={tmp_path}"])
    report = run(sweep)
    assert len(report.trials) == 6
    assert report.counts()["failed"] == 0
    assert present(present(report.best()).value) > 0.8  # 0.1 by chance
    assert all(sweep.space.contains(trial.config) for trial in report.trials)
