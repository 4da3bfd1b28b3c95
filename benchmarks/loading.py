"""Count how many times a sweep reads its file, with trials on a table of 20,000 rows and 100 columns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from trainables.data import tables
from trainables.models.mlp import MLP

ROWS, COLUMNS, TRIALS, EPOCHS = 20_000, 100, 16, 2


def _counted(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Return ``read`` with a log: each call appends its process's number to a file next to the table."""

    def reading(path: Path) -> Any:
        with open(f"{path}.reads", "a") as log:
            log.write(f"{os.getpid()}\n")
        return read(path)

    return reading


setattr(tables, "_read_frame", _counted(tables._read_frame))  # noqa: B010  # in this process only


class Counted(MLP):
    """``mlp`` whose file reads are logged, because importing this module patches the reader."""


def table(folder: str) -> str:
    import pandas as pd

    generator = np.random.default_rng(0)
    features = generator.normal(size=(ROWS, COLUMNS))
    frame = pd.DataFrame(features, columns=[f"x{i}" for i in range(COLUMNS)])
    frame["y"] = np.where(features[:, :5].sum(axis=1) > 0, "yes", "no")
    path = f"{folder}/table.csv"
    frame.to_csv(path, index=False)
    return path


def notes(path: str) -> dict[str, Any]:
    """Return how many times the file was read by this process, and by each worker process."""
    reads = Counter(Path(f"{path}.reads").read_text().split())
    by_driver = reads.pop(str(os.getpid()), 0)
    return {"reads in the driver": by_driver, "reads in workers": "+".join(map(str, reads.values())) or 0}


class Plain(tune.Trainable):
    """The same network as Ray Tune's users write it. Each trial reads the rows, or gets them as ``data``."""

    def setup(self, config, data=None):
        import torch
        from torch import nn

        torch.set_num_threads(1)
        torch.manual_seed(0)
        features, targets = arrays(config["path"]) if data is None else data
        self.features, self.targets = torch.from_numpy(features), torch.from_numpy(targets)
        self.model = nn.Sequential(nn.Linear(COLUMNS, 64), nn.ReLU(), nn.Linear(64, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config["lr"])

    def step(self):
        import torch
        from torch.nn import functional

        last = len(self.features) * 3 // 5
        for rows in torch.randperm(last).split(256):
            self.optimizer.zero_grad()
            functional.cross_entropy(self.model(self.features[rows]), self.targets[rows]).backward()
            self.optimizer.step()
        with torch.no_grad():
            loss = functional.cross_entropy(self.model(self.features[last:]), self.targets[last:])
        return {"loss": loss.item(), "done": self.iteration + 1 >= EPOCHS}

    def reset_config(self, new_config):
        self.setup(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir):
        pass

    def load_checkpoint(self, checkpoint_dir):
        pass


def arrays(path: str) -> tuple[Any, Any]:
    frame = tables._read_frame(Path(path))
    targets = (frame.pop("y") == "yes").to_numpy().astype("int64")
    return ((frame - frame.mean()) / frame.std()).to_numpy().astype("float32"), targets


def ray(folder: str, *, shared: bool, reuse: bool) -> dict[str, Any]:
    from benchmarks.comparisons import ray_tune

    path = table(folder)
    trainable = tune.with_parameters(Plain, data=arrays(path)) if shared else Plain
    space = {"lr": tune.loguniform(1e-4, 1e-1), "path": path}
    ray_tune(trainable, space, folder, TRIALS, metric="loss", mode="min", reuse_actors=reuse)
    return notes(path)


def tuner(folder: str) -> dict[str, Any]:
    from tuner import Budget, Float, Objective, Resources, Sweep, run

    path = table(folder)
    run(
        Sweep(
            trainable={"kind": "benchmarks.loading:Counted", "path": path, "target": "y"},
            space={"lr": Float(1e-4, 1e-1, log=True), "batch_size": 256},
            objective=Objective(metric="val_loss", mode="min"),
            budget=Budget(trials=TRIALS, iterations=EPOCHS),
            resources=Resources(lanes=1),
            out=folder,
        )
    )
    return notes(path)
