"""Training code as users of ``ray.tune.Tuner`` write it."""

from __future__ import annotations

import json
import os
import tempfile

import numpy as np
from ray import tune


def fits(config, data=None):
    """Fit a line step by step, with a checkpoint for each report."""
    rows, targets = data
    start, weights = 0, np.zeros(rows.shape[1])
    checkpoint = tune.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as folder, open(os.path.join(folder, "state.json")) as file:
            state = json.load(file)
        start, weights = state["epoch"] + 1, np.array(state["weights"])
    for epoch in range(start, 9):
        gradient = rows.T @ (rows @ weights - targets) / len(targets)
        weights = weights - config["lr"] * gradient
        loss = float(np.mean((rows @ weights - targets) ** 2))
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "state.json"), "w") as file:
                json.dump({"epoch": epoch, "weights": weights.tolist()}, file)
            tune.report({"loss": loss, "start": start}, checkpoint=tune.Checkpoint.from_directory(folder))


_rng = np.random.default_rng(0)
ROWS = _rng.normal(size=(100, 3))
DATA = ROWS, ROWS @ np.array([1.0, -2.0, 3.0])

bound = tune.with_resources(tune.with_parameters(fits, data=DATA), {"cpu": 0.5})
