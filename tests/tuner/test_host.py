"""What a host tells a worker of how far a trial may train before it answers."""

import pytest

from tuner import Budget, Float, Objective, Sweep
from tuner.engine.host import Host
from tuner.journal import Journal


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
