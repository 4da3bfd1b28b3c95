"""How far a trial may train before it answers, and what is known of its worker."""

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
def test_the_more_trials_run_the_less_often_each_answers(running, seconds, tmp_path):
    assert stretch(tmp_path, running=running).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("silence", [0.4, 2.0, 3600.0])
def test_a_trial_answers_several_times_before_it_counts_as_silent(silence, tmp_path):
    assert stretch(tmp_path, running=500, silence=silence).seconds == min(1.0, silence / 4)


def test_trial_that_had_no_room_counts_also_after_a_restart_as_no_loss_of_its_worker(tmp_path):
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
