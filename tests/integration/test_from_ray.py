"""Scripts of ``ray.tune.Tuner`` as sweeps, on a real local Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray import tune
from ray.tune.examples.hyperband_function_example import train_func
from ray.tune.examples.pbt_function import pbt_function
from ray.tune.schedulers import HyperBandScheduler, PopulationBasedTraining

from tests.integration import ray_scripts
from tests.integration.running import events, killed
from tuner import Budget, Float, Objective, Sweep, from_ray, resume, run

SCRIPTS = Path(__file__).parent / "ray_scripts.py"


def sweep_of(out, /, *, scheduler):
    return Sweep(
        trainable=f"{SCRIPTS}:bound",
        space={"lr": Float(0.01, 1.0, log=True)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=9, iterations=9, concurrent=1),
        scheduler=scheduler,
        seed=3,
        out=str(out),
    )


@pytest.fixture(scope="module")
def paused(cluster, tmp_path_factory):
    return run(sweep_of(tmp_path_factory.mktemp("paused"), scheduler="asha"))


def curves(report):
    return [list(trial.curve) for trial in report.trials]


def test_a_function_with_data_and_resources_is_paused_and_continues_from_its_checkpoint(paused, tmp_path):
    whole = curves(run(sweep_of(tmp_path, scheduler="fifo")))
    assert all(mine == full[: len(mine)] for mine, full in zip(curves(paused), whole, strict=True))
    best = paused.best()
    assert best is not None
    assert best.iterations == 9
    assert best.metrics["start"] > 0
    assert sum(trial.iterations for trial in paused.trials) < 81


def test_a_kill_of_the_driver_changes_nothing(paused, cluster, tmp_path):
    folder = killed(sweep_of(tmp_path, scheduler="asha"), "result", 8, cluster)
    assert curves(resume(folder)) == curves(paused)


def test_the_files_of_a_bound_function_are_watched(paused):
    [began] = events(paused, "sweep")
    assert "ray_scripts.py" in {Path(name).name for name in began.code}


def test_rays_example_of_hyperband_runs_with_its_own_arguments(cluster, tmp_path):
    sweep = from_ray(
        train_func,
        run_config=tune.RunConfig(
            name="hyperband_test",
            stop={"training_iteration": 10},
            failure_config=tune.FailureConfig(fail_fast=True),
        ),
        tune_config=tune.TuneConfig(
            num_samples=8,
            metric="episode_reward_mean",
            mode="max",
            scheduler=HyperBandScheduler(max_t=200),
        ),
        param_space={"height": tune.uniform(0, 100)},
        out=str(tmp_path),
    )
    report = run(sweep)
    assert report.counts()["failed"] == 0
    best = report.best()
    assert best is not None
    assert best.iterations == 10
    assert report.counts()["stopped"] > 0


def test_rays_example_of_population_based_training_runs_with_its_own_arguments(cluster, tmp_path):
    mutations = {"lr": tune.uniform(0.0001, 0.02), "some_other_factor": [1, 2]}
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration", perturbation_interval=5, hyperparam_mutations=mutations
    )
    sweep = from_ray(
        pbt_function,
        run_config=tune.RunConfig(
            name="pbt_function_api_example",
            stop={"done": True, "training_iteration": 10},
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_score_attribute="mean_accuracy", num_to_keep=2
            ),
        ),
        tune_config=tune.TuneConfig(
            scheduler=scheduler, metric="mean_accuracy", mode="max", num_samples=4, reuse_actors=True
        ),
        param_space={"lr": 0.0001, "some_other_factor": 1, "checkpoint_interval": 5},
        out=str(tmp_path),
    )
    report = run(sweep)
    assert [trial.iterations for trial in report.trials] == [10] * 4
    assert all(trial.first_config["lr"] == 0.0001 for trial in report.trials)
    assert any(trial.changes for trial in report.trials)


def test_a_trainable_bound_in_python_runs(cluster, tmp_path):
    sweep = from_ray(
        ray_scripts.bound,
        param_space={"lr": tune.loguniform(0.01, 1.0)},
        tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=2),
        out=str(tmp_path),
    )
    assert run(sweep).counts()["completed"] == 2
