"""Optuna objectives, as their users write them."""

from __future__ import annotations

import os
import time
from typing import Any

import optuna


def layers(trial: optuna.Trial) -> float:
    """Suggest layers whose number is a hyperparameter, report nine values and ask whether to go on."""
    depth = trial.suggest_int("depth", 1, 3)
    units = [trial.suggest_int(f"units_{place}", 4, 128, log=True) for place in range(depth)]
    kinds: list[Any] = [None, "relu", ("leaky", 0.1)]
    assert trial.suggest_categorical("activation", kinds) in kinds
    rate = trial.suggest_float("rate", 0.0, 0.5, step=0.1) if depth > 1 else 0.0
    assert trial.suggest_int("depth", 1, 3) == depth
    assert trial.params["depth"] == depth
    trial.set_user_attr("units", units)
    loss = 0.0
    for step in range(9):
        loss = sum(units) / 128 + rate + 1 / (step + 1)
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return loss


def slow_layers(trial: optuna.Trial) -> float:
    """Take long enough that a driver can be killed in between."""
    time.sleep(0.05)
    return layers(trial)


def two(trial: optuna.Trial) -> tuple[float, float]:
    x = trial.suggest_float("x", 0.0, 1.0)
    return x, (1 - x) ** 2


def prunes_itself(trial: optuna.Trial) -> float:
    """Prune trials before or after a report, without asking."""
    x = trial.suggest_float("x", 0.0, 1.0)
    if trial.number % 3 == 1:
        raise optuna.TrialPruned("without a report")
    trial.report(x, 0)
    if trial.number % 3 == 2:
        raise optuna.TrialPruned("after a report")
    return x + 1


def never_asks(trial: optuna.Trial) -> float:
    """Report without ever asking whether to go on."""
    x = trial.suggest_float("x", 0.0, 1.0)
    for step in range(100):
        trial.report(x, step)
        time.sleep(0.01)
    return x


class DiesOnce:
    """Lose the process in the first attempt, after two suggestions."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __call__(self, trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        y = trial.suggest_float("y", 0.0, 1.0)
        with open(self.trace, "a") as file:
            file.write(f"{x} {y}\n")
        with open(self.trace) as file:
            if len(file.readlines()) == 1:
                os._exit(1)
        return x + y


def returns_nothing(trial: optuna.Trial) -> None:
    trial.report(trial.suggest_float("x", 0.0, 1.0), 0)


class Scaled:
    """An objective with data, as Optuna's users write it."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, trial: optuna.Trial) -> float:
        return self.factor * trial.suggest_float("x", 1.0, 2.0)


scaled = Scaled(10.0)


def reads_the_study(trial: optuna.Trial) -> float:
    assert trial.study.direction == optuna.study.StudyDirection.MINIMIZE
    return trial.study.best_value
