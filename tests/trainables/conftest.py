"""Fixtures: trials without a cluster, and small files to train on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trainables.models.mlp import MLP
from trainables.torch.devices import Devices

WINE = {"dataset": "wine", "batch_size": 16, "hidden": 16, "lr": 0.01}


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grant all trials a GPU under the option ``--device cuda``; otherwise follow their resources."""
    if request.config.getoption("--device") == "cuda":
        granted, gpu = Devices.granted, SimpleNamespace(required_resources={"GPU": 1.0})
        monkeypatch.setattr(Devices, "granted", lambda self, resources: granted(self, gpu))


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MLP]]:
    """Return a function that starts a small trial, on wine unless the config says otherwise."""
    # Ray makes a log directory per trial, by default in the home directory.
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    started: list[MLP] = []

    def start(**config: Any) -> MLP:
        started.append(MLP(config={**({} if "path" in config else WINE), **config}))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def flowers() -> pd.DataFrame:
    """Return 60 rows: two numbers, a text column, and the species to predict."""
    generator = np.random.default_rng(0)
    species = np.repeat(["rose", "tulip", "lily"], 20)
    shift = np.repeat([0.0, 4.0, 8.0], 20)
    return pd.DataFrame(
        {
            "length": shift + generator.normal(size=60),
            "width": 100 * generator.normal(size=60),
            "colour": np.tile(["red", "white"], 30),
            "species": species,
        }
    )


@pytest.fixture
def wine() -> dict[str, Any]:
    """Return the default config of ``trial``."""
    return dict(WINE)


@pytest.fixture
def scores() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that keeps the training's part of a result, without Ray's times and names."""
    return _scores


@pytest.fixture
def after() -> Callable[[MLP, int], dict[str, Any]]:
    """Return a function that trains a trial for more epochs and gives the scores of the last."""
    return lambda trial, epochs: [_scores(trial.train()) for _ in range(epochs)][-1]


def _scores(result: dict[str, Any]) -> dict[str, Any]:
    names = [name for name in result if name.startswith(("train_", "val_")) or name == "training_iteration"]
    return {name: result[name] for name in names}
