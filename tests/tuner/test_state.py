"""``SweepState`` without a cluster: events in, instructions out."""

import pytest

from tuner import Budget, Float, Objective, Sweep
from tuner.journal.events import Action, Decision, Ended, Lost, Result, Started
from tuner.state import Conclude, Grant, Release, Save, SweepState

LOSS = Objective(metric="loss", mode="min")


def state_of(*, trials=3, started=0, **parts):
    """Return the state of a sweep with this number of started trials."""
    budget = {"trials": trials, "iterations": 3, **parts.pop("budget", {})}
    sweep = Sweep(
        **{
            "trainable": "toys.py:Toy",
            "space": {"x": Float(0, 1)},
            "objective": LOSS,
            "budget": Budget(**budget),
            **parts,
        }
    )
    state = SweepState.begin(sweep)
    for number in range(started):
        state.suggest()
        state.apply(Started(number))
    return state


def report(state, trial, iteration, value, *, done=False, **metrics):
    return state.apply(Result(trial, iteration, value, float(iteration), metrics, done=done))


def test_each_new_best_value_is_saved():
    state = state_of(started=2)
    assert report(state, 0, 1, 0.5) == [Save(0), Decision(0, Action.CONTINUE, 1, 0.5)]
    assert report(state, 1, 1, 0.6) == [Decision(1, Action.CONTINUE, 1, 0.6)]
    assert report(state, 1, 2, 0.4) == [Save(1), Decision(1, Action.CONTINUE, 2, 0.4)]


def test_the_first_of_equal_trials_is_saved():
    state = state_of(started=2)
    report(state, 1, 1, 0.5)
    assert report(state, 0, 1, 0.5)[0] == Save(0)
    assert Save(1) not in report(state, 1, 2, 0.5)


def test_a_repeated_result_has_no_effect():
    state = state_of(started=1)
    report(state, 0, 1, 0.5)
    report(state, 0, 2, 0.4)
    state.apply(Lost(0, "its worker died"))
    assert state.trials[0].state == "pending"
    assert report(state, 0, 1, 0.3) == []
    assert (state.trials[0].best, state.iterations) == (0.4, 2)


def test_a_trial_that_repeats_its_last_result_ends_as_decided_before():
    state = state_of(started=1)
    for iteration in (1, 2, 3):
        decision = report(state, 0, iteration, 1 / iteration)[-1]
    assert decision.action is Action.COMPLETE
    state.apply(Lost(0, "its worker died"))
    assert report(state, 0, 3, 1 / 3) == [Save(0), Conclude(0, "completed")]


def test_the_scheduler_does_not_decide_on_a_trial_that_is_done():
    state = state_of(started=1)
    assert report(state, 0, 1, 0.5, done=True) == [Save(0)]


def test_all_checkpoints_but_those_of_the_best_ended_trial_are_released():
    state = state_of(started=3)
    for trial, value in ((0, 0.5), (1, 0.4), (2, 0.6)):
        report(state, trial, 1, value)
    assert state.apply(Ended(0, "completed")) == []
    assert state.apply(Ended(1, "completed")) == [Release(0)]
    assert state.apply(Ended(2, "completed")) == [Release(2)]
    assert [state.keeps(trial) for trial in range(3)] == [False, True, False]


def test_a_trial_ends_only_once():
    state = state_of(started=1)
    report(state, 0, 1, 0.5)
    state.apply(Ended(0, "stopped"))
    assert state.apply(Ended(0, "failed", "late")) == []
    assert state.trials[0].state == "stopped"


def test_the_incumbent_is_never_a_failed_trial():
    state = state_of(started=2)
    report(state, 0, 1, 0.1)
    report(state, 1, 1, 0.5)
    state.apply(Ended(0, "failed", "an error"))
    assert state.incumbent.number == 1


@pytest.mark.parametrize(("limit", "reason"), [(0, "failures"), (1, None)])
def test_more_failures_than_the_budget_allows_end_the_sweep(limit, reason):
    state = state_of(started=1, budget={"failures": limit})
    state.apply(Ended(0, "failed", "an error"))
    assert state.reason == reason
    assert (state.suggest() is None) == (reason is not None)


def test_a_worker_may_die_twice_without_progress():
    state = state_of(started=1)
    seen = []
    for _ in range(2):
        seen.append(state.starts_left(0))
        state.apply(Lost(0, "its worker died"))
    assert [*seen, state.starts_left(0)] == [2, 1, 0]
    report(state, 0, 1, 0.5)
    assert state.starts_left(0) == 2


def test_a_trial_waits_while_others_may_use_up_the_iterations():
    state = state_of(started=2, budget={"total_iterations": 4})
    assert [state.grant(0), state.grant(1)] == [Grant(3), Grant(1)]
    report(state, 1, 1, 0.5)
    assert state.grant(1) is None
    report(state, 0, 1, 0.5)
    state.apply(Ended(0, "failed", "an error"))  # two iterations are left over
    assert state.grant(1) == Grant(3)
    report(state, 1, 2, 0.4)
    assert state.reason is None
    report(state, 1, 3, 0.3)
    assert state.reason == "total_iterations"


def test_a_trial_that_is_not_paused_cannot_be_dropped():
    state = state_of(started=1, scheduler="asha")
    state._scheduler.drop = lambda: [Decision(0, Action.STOP, 1)]
    with pytest.raises(ValueError, match="cannot stop trial 0; it must be paused, but it is running"):
        state.drop()
