"""Searchers with several algorithms: each algorithm accepts its own settings and no other's."""

from __future__ import annotations

from typing import Any

import pytest

from tuner import Budget, Choice, Evolution, Float, Grid, HyperOpt, Int, Objective, Optuna, SearchSpace, Sweep
from tuner.errors import SpecError
from tuner.searchers import start


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        (Optuna(), {"sampler": "tpe", "startup_trials": 10, "candidates": 24, "multivariate": None}),
        (Optuna(sampler="gp"), {"sampler": "gp", "startup_trials": 10, "deterministic": False}),
        (
            Optuna(sampler="cmaes", population=9),
            {"sampler": "cmaes", "startup_trials": 1, "population": 9, "margin": False, "separable": False},
        ),
        (
            Optuna(sampler="nsga2"),
            {"sampler": "nsga2", "population": 50, "mutation": None, "crossover": 0.9, "swapping": 0.5},
        ),
        (
            Optuna(sampler="qmc", sequence="halton"),
            {"sampler": "qmc", "sequence": "halton", "scramble": True},
        ),
        (Optuna(sampler="random"), {"sampler": "random"}),
        (HyperOpt(), {"algorithm": "tpe", "startup_trials": 20, "candidates": 24, "gamma": 0.25}),
        (HyperOpt(algorithm="anneal", good=3), {"algorithm": "anneal", "good": 3.0, "shrink": 0.1}),
        (HyperOpt(algorithm="random"), {"algorithm": "random"}),
    ],
    ids=str,
)
def test_the_settings_of_an_algorithm_survive_the_round_trip_through_a_sweep(
    spec: Any, settings: Any
) -> None:
    sweep = Sweep(
        trainable="tests.tuner.test_searcher_settings:train",
        space={"lr": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=3),
        searcher=spec,
    )
    written = sweep.to_dict()["searcher"]
    assert written == {"kind": spec.kind, **settings}
    assert Sweep(**sweep.to_dict()).searcher == spec


@pytest.mark.parametrize(
    ("spec", "settings", "sentence"),
    [
        (
            Optuna,
            {"sampler": "gp", "candidates": 8},
            "candidates: is a setting of sampler tpe, not of gp; "
            "must be one of deterministic, startup_trials",
        ),
        (Optuna, {"population": 8}, "population: is a setting of sampler cmaes and nsga2, not of tpe"),
        (
            Optuna,
            {"sampler": "random", "scramble": True},
            "scramble: is a setting of sampler qmc, not of random",
        ),
        (Optuna, {"sampler": "cma"}, "sampler: unknown value 'cma'; did you mean 'cmaes'?"),
        (Optuna, {"sampler": "nsga2", "crossover": 1.5}, "crossover: must be at most 1, got 1.5"),
        (
            Optuna,
            {"sampler": "cmaes", "margin": True, "separable": True},
            "separable: cannot be combined with margin (Optuna has no such variant); leave one out",
        ),
        (
            HyperOpt,
            {"algorithm": "anneal", "gamma": 0.3},
            "gamma: is a setting of algorithm tpe, not of anneal",
        ),
        (HyperOpt, {"algorithm": "aneal"}, "algorithm: unknown value 'aneal'; did you mean 'anneal'?"),
        (Optuna, {"multivariate": 1}, "multivariate: must be true or false, got 1"),
        (
            Optuna,
            {"sampler": "gp", "deterministic": "on"},
            "deterministic: must be true or false, got the text 'on'",
        ),
        (Optuna, {"canditates": 3}, "unknown key 'canditates'; did you mean 'candidates'?"),
        (Evolution, {"population": 1}, "population: must be at least 2, got 1"),
    ],
    ids=str,
)
def test_a_setting_of_another_algorithm_is_refused(spec: Any, settings: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        spec(**settings)
    assert str(refusal.value).startswith(sentence)


def test_a_tournament_is_no_larger_than_the_population() -> None:
    [problem] = Evolution(population=4).problems(SearchSpace({"x": Int(0, 1)}))
    assert str(problem) == "tournament: must be at most the population, 4, got 5"


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "gp", "startup_trials": 2, "deterministic": True},
        {"sampler": "cmaes", "startup_trials": 2, "population": 4, "margin": True},
        {"sampler": "cmaes", "separable": True},
        {"sampler": "nsga2", "population": 3, "mutation": 0.2, "crossover": 0.5, "swapping": 0.3},
        {"sampler": "qmc", "sequence": "halton", "scramble": False},
    ],
    ids=str,
)
def test_optuna_accepts_every_setting(settings: dict[str, Any]) -> None:
    space = SearchSpace({"x": Float(0, 1), "n": Int(1, 9), "c": Choice(["a", "b"])})
    searcher = start(Optuna(**settings), space, objective=Objective(metric="loss", mode="min"), seed=0)
    for trial in range(9):
        config = searcher.suggest(trial)
        assert config is not None
        assert space.contains(config)
        searcher.finish(trial, "completed", float(config["x"]))


def test_grid_trials_stay_in_the_grid_under_tight_constraints() -> None:
    sweep = Sweep(
        trainable="tests.tuner.test_searcher_settings:train",
        space={"a": Int(0, 299), "b": Int(0, 299), "constraints": ["a + b == 1"]},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=2),
        searcher=Grid(),
    )
    given = {(sample["a"], sample["b"]) for sample in sweep.samples}
    assert given == {(0, 1), (1, 0)}


def train(config: dict[str, Any]) -> None:
    """Serve as a trainable that no test calls."""
