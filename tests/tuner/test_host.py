"""What a host knows of its trials: how far one may train before it answers, and what of its worker."""

import pytest

from tuner import Budget, Float, Objective, Sweep
from tuner.engine.host import Host
from tuner.engine.recovery import recover
from tuner.journal import Journal, read


def stretch(tmp_path, *, running, **budget):
    sweep = Sweep(
        trainable="toys.py:Toy",
        space={"x": Float(0, 1)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=1000, iterations=10, **budget),
    )
    host = Host(sweep, Journal(tmp_path))
    host.suggest()
    return host.stretch(0, running=running)


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
    host = Host(sweep, Journal(tmp_path))
    host.suggest()
    host.lost(0, "the process died")
    host.lost(0, "CUDA out of memory", lanes=4)
    again = Host(sweep, Journal.__new__(Journal))
    recover(again, read(tmp_path))
    for course in (host.courses[0], again.courses[0]):
        assert (course.worker_losses, course.times_too_many, course.state) == (1, 1, "pending")
