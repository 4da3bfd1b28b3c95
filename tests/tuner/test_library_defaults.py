"""Unless a sweep says otherwise, Optuna and HyperOpt use their own defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import hyperopt
import numpy as np
import optuna
import pytest

from tuner import Choice, Float, HyperOpt, Int, Objective, Optuna, SearchSpace
from tuner.searchers import start

LOSS = Objective(metric="loss", mode="min")
SPACE = SearchSpace(
    {"x": Float(-2, 2), "lr": Float(1e-5, 1, log=True), "n": Int(1, 8), "kind": Choice("abc")}
)
UNDER_CONDITIONS = SearchSpace(
    {
        "kind": Choice(("a", "b", "c")),
        "x": Float(0, 1, when={"kind": ["a", "b"]}),
        "y": Float(0, 1, when={"kind": "c"}),
        "z": Float(0, 1),
    }
)

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsga2": "NSGAIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}

# (sampler, argument) -> why it differs from Optuna's default.
ON_PURPOSE = {
    ("qmc", "scramble"): "else every seed would give the same sequence, which begins at a corner",
    ("cmaes", "consider_pruned_trials"): "trials that the scheduler stopped are learned from",
    ("cmaes", "warn_independent_sampling"): "every dimension is asked for: nothing is to be warned of",
    ("qmc", "warn_independent_sampling"): "every dimension is asked for: nothing is to be warned of",
}


def loss(config: Mapping[str, Any]) -> float:
    kind = {"a": 0.0, "b": 0.5, "c": 1.0}[config["kind"]]
    value = (config["x"] - 0.3) ** 2 + (np.log10(config["lr"]) + 2) ** 2 + (config["n"] - 3) ** 2 / 9 + kind
    return float(value)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_optuna_gets_its_own_defaults(sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = getattr(optuna.samplers, SAMPLERS[sampler])
    given: dict[str, Any] = {}

    class Recorded(theirs):  # type: ignore[misc,valid-type]
        def __init__(self, **arguments: Any) -> None:
            given.update(arguments)
            super().__init__(**arguments)

    monkeypatch.setattr(optuna.samplers, SAMPLERS[sampler], Recorded)
    start(Optuna(sampler=sampler), SPACE, objective=LOSS, seed=0).suggest(0)
    own = {name: one.default for name, one in inspect.signature(theirs.__init__).parameters.items()}
    differs = {name for name, value in given.items() if name != "seed" and value != own[name]}
    assert "seed" in given
    assert differs == {name for other, name in ON_PURPOSE if other == sampler}


@pytest.mark.parametrize(
    ("algorithm", "names"),
    [
        (
            hyperopt.tpe.suggest,
            {"startup_trials": "n_startup_jobs", "candidates": "n_EI_candidates", "gamma": "gamma"},
        ),
        (hyperopt.anneal.AnnealingAlgo.__init__, {"good": "avg_best_idx", "shrink": "shrink_coef"}),
    ],
    ids=["tpe", "anneal"],
)
def test_hyperopt_gets_its_own_defaults(algorithm: Callable[..., Any], names: Mapping[str, str]) -> None:
    spec = HyperOpt(algorithm="tpe" if "gamma" in names else "anneal")
    own = {name: one.default for name, one in inspect.signature(algorithm).parameters.items()}
    given = {name: value for name, value in spec.model_dump().items() if name in names}
    assert given == {ours: own[theirs] for ours, theirs in names.items()}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_suggestions_equal_those_of_optuna_alone(sampler: Any, seed: int) -> None:
    study = optuna.create_study(sampler=getattr(optuna.samplers, SAMPLERS[sampler])(seed=seed))
    searcher = start(Optuna(sampler=sampler), SPACE, objective=LOSS, seed=seed)
    for trial in range(60):
        asked = study.ask()
        expected = {
            "x": asked.suggest_float("x", -2, 2),
            "lr": asked.suggest_float("lr", 1e-5, 1, log=True),
            "n": asked.suggest_int("n", 1, 8),
            "kind": "abc"[asked.suggest_categorical("kind", [0, 1, 2])],
        }
        suggested = searcher.suggest(trial)
        assert suggested == pytest.approx(expected)
        study.tell(asked, loss(expected))
        searcher.finish(trial, "completed", loss(expected))


@pytest.mark.parametrize("multivariate", [None, True, False])
@pytest.mark.parametrize("objectives", [1, 2])
def test_tpe_does_not_warn_about_conditions(multivariate: bool | None, objectives: int) -> None:
    goals = [{"metric": "loss", "mode": "min"}, {"metric": "size", "mode": "min"}][:objectives]
    objective = Objective.model_validate(goals)
    searcher = start(Optuna(multivariate=multivariate), UNDER_CONDITIONS, objective=objective, seed=0)
    for trial in range(30):
        config = searcher.suggest(trial)
        assert config is not None
        assert UNDER_CONDITIONS.contains(config)
        searcher.finish_all(trial, "completed", (config["z"], 1 - config["z"])[:objectives])
