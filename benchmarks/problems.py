"""Problems on which searchers are compared: a space, a loss, and the smallest possible loss.

Ackley has categories and a condition. The hyperparameters of the support vector machine depend on its kernel.
For the ``mlp`` recipe, every configuration of a small space is trained once and then looked up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tuner import Choice, Float, Int, Ordinal, SearchSpace

Config = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A space and the loss of its configurations."""

    space: SearchSpace
    loss: Callable[[Config], float]
    least: float
    """The smallest possible loss."""
    smooth: bool = False
    """Whether all dimensions are real numbers."""


def branin(config: Config) -> float:
    x, y = config["x"], config["y"]
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(config: Config) -> float:
    x = np.array([config[f"x{i}"] for i in range(6)])
    return -float(_WEIGHTS @ np.exp(-(_WIDTHS * (x - _CENTRES) ** 2).sum(axis=1)))


# Coordinates of the categories. The order of the names differs from the order of the numbers.
_PLACES = {"a": 3.0, "b": -5.0, "c": 0.0, "d": 10.0, "e": -2.0}


def ackley(config: Config) -> float:
    """Return Ackley's function of 10 coordinates: 4 real, 1 integer, 3 categories and 2 conditional.

    The last two are set separately, or both by one number, which comes only within 1 of their optimum.
    """
    x = [config[f"x{i}"] for i in range(4)] + [config["n"]] + [_PLACES[config[f"c{i}"]] for i in range(3)]
    if config["way"] == "apart":
        x += [config["y0"], config["y1"]]
    else:
        x += [config["both"] + 1, config["both"] - 1]
    points = np.array(x)
    return float(
        -20 * np.exp(-0.2 * np.sqrt((points**2).mean()))
        - np.exp(np.cos(2 * np.pi * points).mean())
        + 20
        + math.e
    )


@cache
def _digits() -> Any:
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(target))
    return data[order] / 16, target[order]


def support_vectors(config: Config) -> float:
    """Return the error of a support vector machine on 800 digits, trained on 400 others."""
    from sklearn.svm import SVC

    data, target = _digits()
    settings = {name: value for name, value in config.items() if name != "centre"}
    if "centre" in config:
        settings["coef0"] = config["centre"]
    machine = SVC(**settings).fit(data[:400], target[:400])
    return 1 - float(machine.score(data[400:1200], target[400:1200]))


NETWORKS = SearchSpace(
    {
        "optimizer": Choice(("sgd", "adam")),
        "lr": Ordinal((0.001, 0.003, 0.01, 0.03, 0.1, 0.3)),
        "momentum": Ordinal((0.0, 0.5, 0.9), when={"optimizer": "sgd"}),
        "hidden": Ordinal((4, 16, 64)),
        "depth": Int(1, 2),
        "activation": Choice(("relu", "tanh")),
    }
)
_EPOCHS = 8


def networks(dataset: str, folder: Path) -> Problem:
    """Return the validation loss of the ``mlp`` recipe on a bundled data set.

    The networks are trained unless ``folder`` has their losses.
    """
    path = folder / f"{dataset}.json"
    if not path.exists():
        table = {json.dumps(config): _train({**config, "dataset": dataset}) for config in NETWORKS.grid()}
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table, indent=0))
    table = json.loads(path.read_text())
    return Problem(NETWORKS, lambda config: table[json.dumps(config)], min(table.values()))


def _train(config: Config) -> float:
    """Return a trial's validation loss after the last epoch; 10 if it is not finite."""
    from trainables.models.mlp import MLP

    trial = MLP(config={**config, "seed": 0, "sweep_seed": 0})
    losses = [float(trial.train()["val_loss"]) for _ in range(_EPOCHS)]
    trial.stop()
    return losses[-1] if math.isfinite(losses[-1]) else 10.0


PROBLEMS = {
    "branin": Problem(
        SearchSpace({"x": Float(-5.0, 10.0), "y": Float(0.0, 15.0)}), branin, 0.39788736, smooth=True
    ),
    "hartmann": Problem(
        SearchSpace({f"x{i}": Float(0.0, 1.0) for i in range(6)}), hartmann, -3.32236801, smooth=True
    ),
    "ackley": Problem(
        SearchSpace(
            {
                **{f"x{i}": Float(-5.0, 10.0) for i in range(4)},
                "n": Int(-5, 10),
                **{f"c{i}": Choice(tuple(_PLACES)) for i in range(3)},
                "way": Choice(("apart", "both")),
                "y0": Float(-5.0, 10.0, when={"way": "apart"}),
                "y1": Float(-5.0, 10.0, when={"way": "apart"}),
                "both": Float(-5.0, 10.0, when={"way": "both"}),
            }
        ),
        ackley,
        0.0,
    ),
    "svm": Problem(
        SearchSpace(
            {
                "C": Float(1e-3, 1e3, log=True),
                "kernel": Choice(("linear", "rbf", "poly", "sigmoid")),
                "gamma": Float(1e-4, 1e1, log=True, when={"kernel": ["rbf", "poly", "sigmoid"]}),
                "degree": Int(2, 5, when={"kernel": "poly"}),
                "centre": Float(0.0, 1.0, when={"kernel": ["poly", "sigmoid"]}),
            }
        ),
        support_vectors,
        0.0,
    ),
}
