"""``from_ray``: sweeps from the arguments of ``ray.tune.Tuner``."""

from __future__ import annotations

import datetime
from typing import Any

import optuna
import pytest
from ray import tune
from ray.tune import schedulers as ray_schedulers
from ray.tune import stopper
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, Repeater
from ray.tune.search.hyperopt import HyperOptSearch
from ray.tune.search.optuna import OptunaSearch

from tuner import Choice, Float, Int, Ordinal, SearchSpace, Sweep, from_ray
from tuner.errors import SpecError


def train(config: dict[str, Any]) -> float:
    return 0.0


def swept(space: dict[str, Any] | None = None, run_config: Any = None, **options: Any) -> Sweep:
    parts = {name: options.pop(name) for name in ("searcher", "budget", "seed") if name in options}
    config = tune.TuneConfig(**{"metric": "loss", "mode": "min", "num_samples": 8, **options})
    return from_ray(
        train,
        param_space={"x": tune.uniform(0, 1)} if space is None else space,
        tune_config=config,
        run_config=run_config,
        **parts,
    )


def kind_of(sweep: Sweep) -> str:
    return str(sweep.searcher.model_dump()["kind"])


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(SpecError) as error:
        swept(*args, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("domain", "dimension"),
    [
        (tune.uniform(0.0, 1.0), Float(0.0, 1.0)),
        (tune.loguniform(1e-4, 1e-1), Float(1e-4, 1e-1, log=True)),
        (tune.quniform(0.1, 1.0, 0.1), Float(0.1, 1.0, step=0.1)),
        (tune.randint(1, 10), Int(1, 9)),
        (tune.qrandint(2, 10, 2), Int(2, 10, step=2)),
        (tune.qrandint(1, 11, 2), Int(2, 10, step=2)),
        (tune.qrandint(1, 10), Int(1, 9)),
        (tune.lograndint(1, 101), Int(1, 100, log=True)),
        (tune.choice(["a", 1, None]), Choice(["a", 1, None])),
    ],
)
def test_each_domain_becomes_the_dimension_with_its_values(domain: Any, dimension: Any):
    assert swept({"x": domain, "size": 64}).space == SearchSpace({"x": dimension, "size": 64})


def test_a_domain_with_one_value_is_a_constant():
    assert swept({"x": tune.randint(3, 4), "y": tune.uniform(0, 1)}).space.constants == {"x": 3}


@pytest.mark.parametrize(
    ("domain", "sentence"),
    [
        (
            tune.sample_from(lambda config: 1),
            "the values of tune.sample_from come from code, which no searcher can see; write 'when', a group "
            "under a choice, or a constraint",
        ),
        (
            tune.randn(1, 2),
            "tune.randn has no bounds; write tuner.Float(-4, 6, default=1, prior='normal'), which is cut off "
            "at its ends",
        ),
        (
            tune.qloguniform(1e-3, 1, 1e-3),
            "the logarithmic scale and steps (q) cannot be combined; leave out one of them",
        ),
        (
            [tune.uniform(0, 1), 3],
            "param_space.x.0: a domain inside a list cannot be searched; give it a name of its own",
        ),
        (tune.choice([train]), "each value of a choice must be one that JSON can write, got"),
    ],
    ids=["sample_from", "randn", "qloguniform", "list", "function"],
)
def test_a_domain_that_cannot_be_searched_is_refused(domain: Any, sentence: str):
    assert sentence in refusal({"x": domain})


def test_a_nested_space_has_dotted_names_and_gives_the_trainable_dictionaries():
    model = {"lr": tune.uniform(0, 1), "size": 8, "extra": {"eps": 1e-8}}
    search = OptunaSearch(points_to_evaluate=[{"model": {"lr": 0.5}, "x": 0.25}])
    sweep = swept({"model": model, "x": tune.uniform(0, 1)}, search_alg=search)
    assert list(sweep.space.names) == ["model.lr", "model.size", "model.extra", "x"]
    assert sweep.searcher.initial_points == ({"model.lr": 0.5, "x": 0.25},)
    config = {"model.lr": 0.5, "model.size": 8, "model.extra": {"eps": 1e-8}, "x": 0.25}
    assert sweep.trainable.given(config, seed=1, sweep_seed=2) == {
        "model": {"lr": 0.5, "size": 8, "extra": {"eps": 1e-8}},
        "x": 0.25,
        "seed": 1,
        "sweep_seed": 2,
    }


def test_nested_mutations_change_nested_hyperparameters():
    space = {"model": {"lr": tune.uniform(0, 1)}, "x": 3}
    sweep = swept(space, STOP, scheduler=pbt(model={"lr": tune.uniform(0, 1)}))
    assert sweep.scheduler.model_dump()["mutate"] == ("model.lr",)


def test_a_grid_is_searched_as_a_grid():
    sweep = swept({"x": tune.grid_search([1, 2]), "y": tune.grid_search([3, 4]), "z": 5}, num_samples=1)
    assert kind_of(sweep) == "grid"
    assert sweep.trainable.settings == {}
    assert sweep.trials == 4


def test_a_grid_with_draws_or_samples_is_refused():
    found = refusal({"x": tune.grid_search([1, 2]), "y": tune.uniform(0, 1)})
    assert "param_space.x: a grid cannot be combined with draws of y; use tune.choice" in found
    assert "tune_config.num_samples: must be 1 for a grid, got 8" in found


def test_limits_become_the_budget():
    run_config = tune.RunConfig(
        name="mine",
        storage_path="/tmp/elsewhere",
        stop={"training_iteration": 9, "time_total_s": 30, "done": True},
        failure_config=tune.FailureConfig(max_failures=3),
    )
    sweep = swept(run_config=run_config, time_budget_s=datetime.timedelta(minutes=2), max_concurrent_trials=3)
    budget = sweep.budget
    assert (budget.trials, budget.iterations, budget.trial_seconds, budget.seconds) == (8, 9, 30, 120)
    assert (budget.concurrent, budget.retries, budget.failures) == (3, 3, None)
    assert (sweep.name, sweep.out) == ("mine", "/tmp/elsewhere")


def test_a_sweep_that_fails_fast_ends_at_the_first_failure():
    run_config = tune.RunConfig(failure_config=tune.FailureConfig(fail_fast=True))
    assert swept(run_config=run_config).budget.failures == 0


def test_stoppers_become_limits():
    combined = stopper.CombinedStopper(stopper.MaximumIterationStopper(7), stopper.TimeoutStopper(60))
    budget = swept(run_config=tune.RunConfig(stop=combined)).budget
    assert (budget.iterations, budget.seconds) == (7, 60)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (
            ray_schedulers.ASHAScheduler(max_t=27, grace_period=3, reduction_factor=3),
            {"kind": "asha_stop", "grace_period": 3, "reduction_factor": 3},
        ),
        (
            ray_schedulers.AsyncHyperBandScheduler(time_attr="time_total_s", max_t=60),
            {"kind": "asha_stop", "resource": "seconds", "maximum": 60, "reduction_factor": 4},
        ),
        (ray_schedulers.HyperBandScheduler(max_t=27), {"kind": "hyperband", "reduction_factor": 3}),
        (
            ray_schedulers.MedianStoppingRule(time_attr="training_iteration", grace_period=5),
            {"kind": "median", "grace_period": 5, "min_trials": 3},
        ),
        (ray_schedulers.FIFOScheduler(), {"kind": "fifo"}),
    ],
    ids=["asha", "by time", "hyperband", "median", "fifo"],
)
def test_schedulers_keep_their_settings(scheduler: Any, expected: dict[str, Any]):
    found = swept(scheduler=scheduler).scheduler.model_dump()
    assert {name: found[name] for name in expected} == expected


def test_the_lower_of_two_limits_on_iterations_counts():
    scheduler = ray_schedulers.ASHAScheduler(max_t=27)
    assert swept(scheduler=scheduler).budget.iterations == 27
    assert (
        swept(
            run_config=tune.RunConfig(stop={"training_iteration": 9}), scheduler=scheduler
        ).budget.iterations
        == 9
    )


def pbt(**mutations: Any) -> Any:
    return ray_schedulers.PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=3, hyperparam_mutations=mutations
    )


STOP = tune.RunConfig(stop={"training_iteration": 9})


def test_population_based_training_keeps_its_settings():
    space = {"lr": tune.uniform(0, 1), "size": tune.choice([8, 16])}
    sweep = swept(space, STOP, scheduler=pbt(lr=tune.uniform(0, 1), size=[8, 16]))
    found = sweep.scheduler.model_dump()
    assert (found["kind"], found["interval"], found["mutate"]) == ("pbt", 3, ("lr", "size"))
    assert (found["quantile"], found["resample"], found["factors"]) == (0.25, 0.25, (0.8, 1.2))
    assert sweep.space == SearchSpace({"lr": Float(0, 1), "size": Ordinal((8, 16))})


def test_a_population_may_begin_with_constants():
    sweep = swept({"lr": 0.01, "x": tune.uniform(0, 1)}, STOP, scheduler=pbt(lr=tune.uniform(0, 1)), seed=3)
    configs = sweep.searcher.model_dump()["configs"]
    assert [config["lr"] for config in configs] == [0.01] * 8
    assert len({config["x"] for config in configs}) == 8
    assert isinstance(sweep.space.dimensions["lr"], Float)
    assert Sweep(**sweep.to_dict()).searcher == sweep.searcher


@pytest.mark.parametrize(
    ("mutations", "sentence"),
    [
        ({"y": tune.uniform(0, 1)}, "hyperparam_mutations.y: must be in param_space too"),
        ({"x": tune.uniform(0, 2)}, "x: must have the same values as in param_space"),
        ({"x": lambda: 1.0}, "x: a function cannot be searched; write a domain"),
        ({"z": [1, 2]}, "z: must include 5, with which param_space starts"),
    ],
    ids=["absent", "other values", "function", "start"],
)
def test_mutations_that_cannot_be_made_are_refused(mutations: Any, sentence: str):
    assert sentence in refusal({"x": tune.uniform(0, 1), "z": 5}, STOP, scheduler=pbt(**mutations))


def test_searchers_keep_their_points_seed_and_concurrency():
    search = ConcurrencyLimiter(OptunaSearch(seed=7, points_to_evaluate=[{"x": 0.5}]), max_concurrent=2)
    sweep = swept(search_alg=search)
    assert kind_of(sweep) == "optuna"
    assert (sweep.searcher.initial_points, sweep.seed, sweep.budget.concurrent) == (({"x": 0.5},), 7, 2)
    found = swept(search_alg=HyperOptSearch(n_initial_points=5, gamma=0.3)).searcher.model_dump()
    assert (found["kind"], found["startup_trials"], found["gamma"]) == ("hyperopt", 5, 0.3)
    assert kind_of(swept()) == "random"


def test_several_metrics_of_optuna_are_several_objectives():
    search = OptunaSearch(metric=["loss", "size"], mode=["min", "max"])
    sweep = from_ray(
        train,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(search_alg=search, num_samples=4),
    )
    assert sweep.objective.metrics == ("loss", "size")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"search_alg": Repeater(OptunaSearch(), repeat=2)},
            "tune_config.search_alg: a Repeater cannot be translated; tuner evaluate repeats",
        ),
        (
            {"search_alg": BasicVariantGenerator(random_state=3)},
            "tune_config.search_alg.random_state: cannot be read; give from_ray a seed",
        ),
        (
            {"scheduler": ray_schedulers.HyperBandForBOHB()},
            "a HyperBandForBOHB cannot be translated; write scheduler='hyperband' and searcher='optuna'",
        ),
        (
            {"scheduler": ray_schedulers.ASHAScheduler(brackets=2)},
            "tune_config.scheduler.brackets: must be 1, got 2; use hyperband",
        ),
        (
            {"scheduler": ray_schedulers.ASHAScheduler(stop_last_trials=False)},
            "tune_config.scheduler.stop_last_trials: must be true: a trial ends at max_t",
        ),
        ({"trial_name_creator": str}, "tune_config.trial_name_creator: must be left out"),
        ({"num_samples": -1}, "tune_config.num_samples: must be a number, or -1 with time_budget_s"),
        ({"metric": None, "mode": None}, "tune_config.metric: must be given, with the mode"),
        (
            {"run_config": tune.RunConfig(stop={"accuracy": 0.9})},
            "run_config.stop.accuracy: a sweep limits only training_iteration and time_total_s",
        ),
        (
            {"run_config": tune.RunConfig(failure_config=tune.FailureConfig(max_failures=-1))},
            "run_config.failure_config.max_failures: must be a number of retries, got -1",
        ),
        (
            {"run_config": tune.RunConfig(checkpoint_config=tune.CheckpointConfig(num_to_keep=5))},
            "run_config.checkpoint_config.num_to_keep: must be at most 2",
        ),
        (
            {"run_config": tune.RunConfig(callbacks=[tune.Callback()])},
            "run_config.callbacks: name them as loggers of the sweep instead, got Callback",
        ),
        ({"run_config": tune.RunConfig(storage_path="s3://bucket/results")}, "out: must be a folder"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_a_sweep_cannot_honour_is_refused(options: dict[str, Any], sentence: str):
    assert sentence in refusal(**options)


def test_parts_of_the_sweep_replace_what_the_arguments_say():
    search = OptunaSearch(sampler=optuna.samplers.GPSampler())
    assert "give from_ray searcher={'kind': 'optuna', 'sampler': 'gp'}" in refusal(search_alg=search)
    sweep = swept(search_alg=search, searcher={"kind": "optuna", "sampler": "gp"}, budget={"concurrent": 1})
    assert sweep.searcher.model_dump()["sampler"] == "gp"
    assert (sweep.budget.trials, sweep.budget.concurrent) == (8, 1)


def test_a_trainable_bound_to_data_and_resources_keeps_its_name():
    bound = tune.with_resources(tune.with_parameters(train_on, data=[1, 2]), {"cpu": 0.5})
    sweep = from_ray(
        bound, param_space={"x": tune.uniform(0, 1)}, tune_config=tune.TuneConfig(metric="loss", mode="min")
    )
    assert sweep.trainable.name == f"{__name__}:train_on"
    assert not sweep.trainable.is_importable()


def train_on(config: dict[str, Any], data: list[int] | None = None) -> float:
    return 0.0
