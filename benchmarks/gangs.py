"""Compare the time of a trial of two processes: ``python -m benchmarks.gangs``.

All cases run the same function, which joins a process group and trains a linear model for five steps with
``DistributedDataParallel``:

- tuner, which reuses the processes of a gang
- tuner with new processes for each trial (``isolation: process``)
- Ray Tune with a ``TorchTrainer`` of Ray Train in each trial, as Ray's documentation shows

The time of a trial is the time between the ends of two trials, so the start of the sweep does not count.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import ray

from tuner import Budget, Float, Objective, Resources, Sweep, run
from tuner.cluster import connection
from tuner.journal import read
from tuner.journal.events import Ended

PROCESSES = 2
STEPS = 5


def train(config: dict[str, Any]) -> None:
    """Train in a group of processes that the environment describes."""
    import torch.distributed

    from tuner import client

    torch.distributed.init_process_group("gloo")
    for loss in losses(config):
        client.report({"loss": loss})
    torch.distributed.destroy_process_group()


def losses(config: dict[str, Any]) -> list[float]:
    """Return the losses of a few steps of gradient descent in the current process group."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"])
    rows = torch.randn(64, 8)
    found = []
    for _ in range(STEPS):
        loss = (model(rows) - rows.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def tuner_seconds(trials: int, isolation: str) -> list[float]:
    """Return the seconds of each trial after the first one in a sweep of tuner."""
    with tempfile.TemporaryDirectory() as out:
        sweep = Sweep(
            trainable="benchmarks.gangs:train",
            space={"lr": Float(0.001, 0.1)},
            objective=Objective(metric="loss", mode="min"),
            budget=Budget(trials=trials, concurrent=1),
            searcher="random",
            resources=Resources.model_validate({"cpu": 1, "processes": PROCESSES, "isolation": isolation}),
            out=out,
            name="gangs",
        )
        report = run(sweep, progress=None)
        assert report.counts()["completed"] == trials, report.counts()
        ends = [event.time for event in read(report.folder) if isinstance(event, Ended)]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def ray_seconds(trials: int) -> list[float]:
    """Return the seconds of each trial after the first one with a TorchTrainer in a function of Ray Tune."""
    from ray import tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    folder = tempfile.mkdtemp()

    def worker(config: dict[str, Any]) -> None:
        from ray.train import report

        for loss in losses(config):
            report({"loss": loss})

    def trial(config: dict[str, Any]) -> None:
        TorchTrainer(
            worker,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=PROCESSES, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name=f"train-{time.time_ns()}",
                storage_path=folder,
                callbacks=[TuneReportCallback()],
            ),
        ).fit()
        Path(folder, f"{time.time_ns()}.ended").touch()

    tuner = tune.Tuner(
        tune.with_resources(trial, {"CPU": 1}),
        param_space={"lr": tune.uniform(0.001, 0.1)},
        tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=1, metric="loss", mode="min"),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    tuner.fit()
    ends = sorted(int(path.stem) / 1e9 for path in Path(folder).glob("*.ended"))
    assert len(ends) == trials, f"{trials - len(ends)} trials of Ray failed"
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def main() -> None:
    """Print the seconds per trial of each case and their ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gangs", description=__doc__)
    parser.add_argument("--trials", type=int, default=10, help="trials of each case of tuner (default: 10)")
    parser.add_argument("--ray-trials", type=int, default=3, help="trials of Ray, which is slow (default: 3)")
    options = parser.parse_args()
    os.environ["RAY_TRAIN_V2_ENABLED"] = "1"
    with connection.connected(None, verbose=False, num_cpus=PROCESSES + 2):
        cases = {
            "tuner": tuner_seconds(options.trials, "worker"),
            "tuner, new processes": tuner_seconds(options.trials, "process"),
            "Ray Tune with a TorchTrainer": ray_seconds(options.ray_trials),
        }
        version = ray.__version__
    first = statistics.median(cases["tuner"])
    print(f"seconds per trial of {PROCESSES} processes, medians; Ray {version}")
    for name, seconds in cases.items():
        median = statistics.median(seconds)
        print(f"{name:30} {median:8.2f} s   {median / first:8.1f}")


if __name__ == "__main__":
    main()
