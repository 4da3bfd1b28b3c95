"""Sweeps over the scripts, and the same trials alone, each in a process that no other trial has used."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.integrations import scripts
from tests.integrations.trial import continued
from tuner import Budget, Choice, Float, Objective, Report, Sweep

ROOT = Path(__file__).parents[2]

SPACES: dict[str, dict[str, Any]] = {
    "xgboost": {
        "eta": Float(0.05, 0.8),
        "max_depth": Choice([2, 4]),
        "booster": Choice(["gbtree", "gblinear"]),
        "verbosity": Choice([0, 2]),
    },
    "lightgbm": {
        "learning_rate": Float(0.05, 0.8),
        "num_leaves": Choice([4, 16]),
        "linear_tree": Choice([True, False]),
        "verbosity": Choice([-1, 1]),
    },
    "catboost": {
        "learning_rate": Float(0.05, 0.8),
        "depth": Choice([2, 4]),
        "bootstrap_type": Choice(["Bayesian", "Bernoulli", "MVS"]),
        "verbose": Choice([True, False]),
    },
    "lightning": {
        "lr": Float(0.001, 0.05, log=True),
        "dropout": Choice([0.0, 0.3]),
        "matmul": Choice(["highest", "medium"]),
        "precision": Choice(["32-true", "64-true", "bf16-mixed"]),
        "deterministic": Choice([True, False]),
        "anomaly": Choice([True, False]),
    },
    "transformers": {
        "learning_rate": Float(0.001, 0.05, log=True),
        "weight_decay": Float(0.0, 0.1),
        "r": Choice([2, 4]),
        "optim": Choice(["adamw_torch", "sgd", "adafactor"]),
        "full_determinism": Choice([True, False]),
        "bf16": Choice([True, False]),
    },
    "accelerate": {
        "lr": Float(0.001, 0.05, log=True),
        "mixed_precision": Choice(["no", "bf16"]),
        "gradient_accumulation_steps": Choice([1, 2]),
    },
    "keras": {
        "learning_rate": Float(0.001, 0.05, log=True),
        "floatx": Choice(["float32", "float64"]),
        "policy": Choice([None, "mixed_bfloat16"]),
    },
}
"""The settings that each script searches."""

PARTS = {"transformers": ("peft", "transformers.trainer", "transformers.models.llama.modeling_llama")}
"""Further modules that the scripts need, and that are slow to import."""

ITERATIONS = dict.fromkeys(("lightning", "transformers", "keras", "accelerate"), scripts.EPOCHS)
"""The reports of a whole trial, where they are not ``ROUNDS``."""

METRICS = {"catboost": "validation-RMSE", "transformers": "eval_loss", "keras": "val_loss"}
"""The objective, where it is not ``val-rmse``."""


def sweep_of(library: str, out: Path, *, scheduler: str = "fifo", trials: int = 20) -> Sweep:
    """Return a sweep over a script, with one trial at a time, so that one worker runs all of them."""
    return Sweep(
        trainable=f"{scripts.__file__}:{library}",
        space=SPACES[library],
        objective=Objective(metric=METRICS.get(library, "val-rmse"), mode="min"),
        budget=Budget(trials=trials, iterations=ITERATIONS.get(library, scripts.ROUNDS), concurrent=1),
        scheduler=scheduler,
        seed=5,
        out=str(out),
    )


def curves(report: Report) -> list[list[float]]:
    """Return the reported values of each trial."""
    return [[value for _, value in trial.curve] for trial in report.trials]


def alone(library: str, report: Report) -> list[list[float]]:
    """Return the curves that the trials of a report have when each runs in a fresh process, without Ray."""
    configs = [{**trial.config, "seed": trial.seed} for trial in report.trials]
    command = [sys.executable, "-m", "tests.integrations.sharing", library]
    done = subprocess.run(command, input=json.dumps(configs), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    metric = METRICS.get(library, "val-rmse")
    reports = [line.partition(" ")[2] for line in done.stdout.splitlines() if line.startswith("reports ")]
    return [[each[metric] for each in json.loads(line)] for line in reports]


def _print_reports(library: str, configs: Sequence[dict[str, Any]]) -> None:
    """Run each trial in a fork of this process, which has imported the library and not used it."""
    warnings.simplefilter("ignore")
    callback = () if library == "accelerate" else (f"tuner.integrations.{library}",)
    for name in (library, *callback, *PARTS.get(library, ())):
        importlib.import_module(name)
    for config in configs:
        sys.stdout.flush()
        if (child := os.fork()) == 0:
            reports = continued(lambda config=config: getattr(scripts, library)(config), config, None)
            print("\nreports", json.dumps(reports, default=float), flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    _print_reports(sys.argv[1], json.load(sys.stdin))
