"""The iterations a trial trains before it answers, and what the driver knows of its worker."""

import pytest

from tuner import Budget, Float, Objective, Sweep
from tuner.cluster.driver import SweepDriver
from tuner.journal import Journal, read
from tuner.state import SweepState, replay


def stretch(tmp_path, *, running, **budget):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1000, iterations=10, **budget),
    )
    driver = SweepDriver(SweepState.begin(sweep), Journal(tmp_path))
    driver.suggest()
    return driver.train_for(0, running=running)


@pytest.mark.parametrize(("running", "seconds"), [(1, 0.25), (10, 0.25), (40, 0.8), (500, 1.0)])
def test_each_trial_answers_less_often_when_more_trials_run(running, seconds, tmp_path):
    assert stretch(tmp_path, running=running).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("silence", [0.4, 2.0, 3600.0])
def test_a_trial_answers_several_times_before_it_counts_as_silent(silence, tmp_path):
    assert stretch(tmp_path, running=500, silence=silence).seconds == min(1.0, silence / 4)


def test_lack_of_device_memory_is_no_worker_loss_even_after_a_resume(tmp_path):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1),
    )
    driver = SweepDriver(SweepState.begin(sweep), Journal(tmp_path))
    driver.suggest()
    driver.lost(0, "the process died")
    driver.lost(0, "CUDA out of memory", lanes=4)
    again = SweepState.begin(sweep)
    replay(again, read(tmp_path))
    for trial in (driver.state.trials[0], again.trials[0]):
        assert (trial.worker_losses, trial.times_too_many, trial.state) == (1, 1, "pending")
