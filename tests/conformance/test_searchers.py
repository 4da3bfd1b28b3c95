"""Every searcher of the table fulfils the contract; promises of single searchers are tested here too."""

from functools import partial

import numpy as np
import pytest

from tests.present import present
from tuner.objective import Objective
from tuner.searchers import SEARCHERS, Bayes, Grid, HyperOpt, Optuna
from tuner.space import Choice, Float, Int, SearchSpace
from tuner.testing import CONDITIONAL_SPACES, SPACES, SearcherContract
from tuner.testing._search import mixed, search
from tuner.testing._spaces import PLANE

VARIANTS = {
    **{name: spec() for name, spec in SEARCHERS.items()},
    "optuna_univariate": Optuna(multivariate=False),
    "optuna_cmaes": Optuna(sampler="cmaes", population=6),
    "optuna_nsga2": Optuna(sampler="nsga2", population=8),
    "optuna_qmc": Optuna(sampler="qmc"),
    "optuna_random": Optuna(sampler="random"),
    "bayes_rf": Bayes(surrogate="rf", initial=8, initial_design="random"),
    "hyperopt_anneal": HyperOpt(algorithm="anneal"),
    "hyperopt_random": HyperOpt(algorithm="random"),
}
# These see a space in the encoding that another variant has in all spaces.
FEWER_SPACES = {
    "spaces": {name: SPACES[name] for name in ("flat", "values of all kinds", "constraints")},
    "conditional_spaces": {
        name: CONDITIONAL_SPACES[name] for name in ("one condition", "conditions by range")
    },
}
WITH_FEWER_SPACES = {
    "bayes_rf",
    "optuna_univariate",
    "optuna_nsga2",
    "optuna_qmc",
    "optuna_random",
    "hyperopt_anneal",
    "hyperopt_random",
}

for _name, _spec in VARIANTS.items():
    _class_name = f"Test_{_name}"
    _body = {"spec": _spec, **(FEWER_SPACES if _name in WITH_FEWER_SPACES else {}), "__module__": __name__}
    if isinstance(_spec, Bayes):
        # Slow, and far from the bound: of the last 30 of 40 trials of each of 12 searches at most 2 failed.
        # Random search passes with 3 searches of 30 trials once in 30 times.
        _body |= {"searches": 3, "trials_with_failures": 40}
    globals()[_class_name] = type(_class_name, (SearcherContract,), _body)


# Optuna's Gaussian process is slow to fit: the whole contract would take minutes.
@pytest.mark.parametrize("space", (GP_SPACES := {**SPACES, **CONDITIONAL_SPACES}).values(), ids=GP_SPACES)
def test_optuna_gp_searches_every_space_reproducibly(space):
    first, second = (
        search(Optuna(sampler="gp", startup_trials=6), space, trials=9, fate=mixed, concurrent=2)
        for _ in range(2)
    )
    assert first == second
    assert all(map(space.contains, first))


def test_optuna_gp_learns_and_spreads_running_trials():
    """The mean distance of trials 8 to 15, all running at once, from the minimum is below 0.3.

    A uniform draw is 0.58 away on average, with a standard deviation of 0.26. The mean of 8 draws is below
    0.3 once in 900 times.
    """
    searcher = Optuna(sampler="gp", startup_trials=8).build(
        PLANE, objective=Objective(metric="loss", mode="min"), seed=0
    )

    def distance(config):
        return float(np.hypot(config["x"] - 0.1, config["y"] - 0.1))

    for trial in range(8):
        config = searcher.suggest(trial)
        searcher.finish(trial, "completed", distance(config))
    running = [searcher.suggest(trial) for trial in range(8, 16)]
    assert len({tuple(present(config).values()) for config in running}) == 8
    assert np.mean([distance(config) for config in running]) < 0.3


def test_a_grid_needs_the_number_of_values():
    space = SearchSpace({"lr": Float(0.1, 1.0), "depth": Int(1, 3)})
    [problem] = Grid().problems(space)
    assert str(problem) == "space.lr: a grid needs 'points' (the number of values) or 'step'"


def test_a_grid_counts_inactive_dimensions_once():
    space = SearchSpace(
        {"optimizer": Choice(("sgd", "adam")), "momentum": Float(0, 0.9, points=3, when={"optimizer": "sgd"})}
    )
    assert Grid().size(space) == 4


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sequential_hyperopt_search_equals_fmin(seed):
    import hyperopt
    from hyperopt import hp, tpe

    def loss(config):
        return (config["x"] - 0.3) ** 2 + (np.log10(config["lr"]) + 2) ** 2 + (config["kind"] == "b")

    domain = {
        "x": hp.uniform("x", -2, 2),
        "lr": hp.loguniform("lr", np.log(1e-5), 0),
        "kind": hp.choice("kind", ["a", "b", "c"]),
    }
    seen: list[dict] = []

    def noting(config):
        seen.append(config)
        return loss(config)

    hyperopt.fmin(
        noting,
        domain,
        algo=partial(tpe.suggest, n_startup_jobs=10),
        max_evals=30,
        rstate=np.random.default_rng(seed),
        verbose=False,
        show_progressbar=False,
    )
    space = SearchSpace({"x": Float(-2, 2), "lr": Float(1e-5, 1, log=True), "kind": Choice(("a", "b", "c"))})
    searcher = HyperOpt(startup_trials=10).build(
        space, objective=Objective(metric="loss", mode="min"), seed=seed
    )
    suggested = []
    for trial in range(30):
        suggested.append(searcher.suggest(trial))
        searcher.finish(trial, "completed", float(loss(suggested[-1])))
    assert suggested == [pytest.approx(config) for config in seen]


def test_a_parallel_hyperopt_search_learns_despite_running_trials():
    """The median of 10 searches of 60 trials, 8 at a time, is below 0.25 (random search: 0.53).

    The searcher must take running trials into account. Without them the median of 60 searches was 0.29; with
    them it is 0.18.
    """
    space = SearchSpace(
        {
            "x": Float(-2, 2),
            "y": Float(-2, 2),
            "lr": Float(1e-5, 1, log=True),
            "kind": Choice(("a", "b", "c")),
        }
    )

    def loss(config):
        kind = {"a": 0.0, "b": 0.5, "c": 1.0}[config["kind"]]
        return (
            (config["x"] - 0.3) ** 2 + (config["y"] + 0.7) ** 2 + (np.log10(config["lr"]) + 2) ** 2 / 4 + kind
        )

    def best(seed):
        searcher = HyperOpt().build(space, objective=Objective(metric="loss", mode="min"), seed=seed)
        running, values, order = [], [], np.random.default_rng(seed)
        for trial in range(60):
            running.append((trial, float(loss(searcher.suggest(trial)))))
            if len(running) == 8:
                ended, value = running.pop(order.integers(8))
                searcher.finish(ended, "completed", value)
                values.append(value)
        return min(values)

    assert np.median([best(seed) for seed in range(10)]) < 0.25


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_optuna_learns_from_several_objectives(sampler):
    """The trade-offs lie at y = 0 for any x.

    The median of 30 uniform draws is below 0.25 once in 1,000 times.
    """
    objective = Objective.model_validate([{"metric": "a", "mode": "min"}, {"metric": "b", "mode": "max"}])
    space = SearchSpace({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    spec = Optuna(sampler=sampler, **({"population": 10} if sampler == "nsga2" else {}))
    searcher = spec.build(space, objective=objective, seed=0)
    drawn = []
    for trial in range(90):
        config = present(searcher.suggest(trial))
        drawn.append(config["y"])
        if trial % 10 == 9:
            searcher.finish_all(trial, "failed", None)
        else:
            values = (config["x"] + config["y"], config["x"] - config["y"])
            searcher.finish_all(trial, "stopped" if trial % 4 else "completed", values)
    assert np.median(drawn[-30:]) < 0.25
