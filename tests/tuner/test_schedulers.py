"""Methods of single schedulers, on curves made by hand. The contract is tested elsewhere."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.present import present
from tuner import (
    Asha,
    AshaStop,
    Budget,
    Curve,
    Float,
    HyperBand,
    Median,
    Objective,
    Pasha,
    Percentile,
    SuccessiveHalving,
    Sweep,
)
from tuner import simulation as cluster
from tuner.schedulers import Action
from tuner.schedulers._curve import probability_above
from tuner.simulation.curves import LearningCurve
from tuner.testing import Scenario, simulate
from tuner.trainable import TrainableSpec

LOSS = Objective(metric="loss", mode="min")


def started(spec, iterations, trials):
    """Return a scheduler with this number of running trials."""
    scheduler = spec.build(objective=LOSS, iterations=iterations)
    for trial in range(trials):
        scheduler.add(trial)
    return scheduler


def train(scheduler, trial, losses, *, after=0):
    """Report losses until the trial may not simply continue, and return the last decision."""
    for iteration, loss in enumerate(losses, start=after + 1):
        decision = scheduler.report(trial, iteration, loss)
        if decision.action is not Action.CONTINUE:
            break
    return decision


def reached(run):
    """Return, per resource, how many trials came that far, where they were compared or completed."""
    decisions = [decision for event in run.calls("report") for decision in event.answers]
    return Counter(each.resource for each in decisions if each.action is not Action.CONTINUE)


def test_successive_halving_doubles_the_budget_of_the_better_half():
    run = simulate(SuccessiveHalving(), Scenario(trials=16, slots=3, iterations=16))
    assert reached(run) == {1: 16, 2: 8, 4: 4, 8: 2, 16: 1}


def test_successive_halving_starts_a_new_bracket_for_the_next_trials():
    run = simulate(SuccessiveHalving(size=8, reduction_factor=2), Scenario(trials=16, slots=3, iterations=8))
    assert reached(run) == {1: 16, 2: 8, 4: 4, 8: 2}


@pytest.mark.parametrize(("trials", "wrong"), [(None, True), (8, False)])
def test_successive_halving_of_all_trials_needs_their_number(trials, wrong):
    assert bool(SuccessiveHalving().problems(9, trials=trials)) is wrong
    assert not SuccessiveHalving(size=4).problems(9, trials=trials)


def test_median_compares_the_best_with_the_running_averages_of_the_others():
    scheduler = started(Median(), 9, 4)
    for trial, losses in enumerate([[9, 3], [9, 5], [9, 7]]):  # their running averages are 6, 7 and 8
        assert train(scheduler, trial, losses).action is Action.CONTINUE
    assert train(scheduler, 3, [9, 8]).action is Action.STOP
    scheduler.add(4)
    assert train(scheduler, 4, [9, 7]).action is Action.CONTINUE


def test_median_explains_each_stop():
    scheduler = started(Median(), 9, 4)
    for trial, loss in enumerate([1, 2, 3]):
        scheduler.report(trial, 1, loss)
    decision = scheduler.report(3, 1, 4)
    assert (decision.action, decision.cutoff, decision.of) == (Action.STOP, 2, 4)
    assert decision.reason == "its best is worse than the median of the others' averages"


def test_median_stops_no_trial_before_enough_others_came_as_far():
    scheduler = started(Median(min_trials=3), 9, 3)
    assert [scheduler.report(trial, 1, trial).action for trial in range(3)] == [Action.CONTINUE] * 3


def test_percentile_keeps_the_best_quarter_of_the_others():
    scheduler = started(Percentile(percentile=25, min_trials=8), 9, 11)
    for trial in range(8):
        scheduler.report(trial, 1, trial)
    assert scheduler.report(8, 1, 1.5).action is Action.STOP
    assert scheduler.report(9, 1, 1.0).action is Action.CONTINUE


def test_asha_promotes_by_front_under_several_objectives():
    """Three undominated trade-offs are promoted; the trials that they dominate are not."""
    objective = Objective.model_validate(
        [{"metric": "loss", "mode": "min"}, {"metric": "acc", "mode": "max"}]
    )
    scheduler = Asha(reduction_factor=3).build(objective=objective, iterations=9)
    values: list[Any] = [
        (1.0, 0.1),
        (2.0, 0.05),
        (0.5, 0.0),
        (3.0, 0.9),
        (4.0, 0.8),
        (4.0, 0.1),
        (5.0, 0.2),
        (6.0, 0.0),
    ]
    for trial, each in enumerate([*values, (7.0, 0.0)]):
        scheduler.add(trial)
        scheduler.report(trial, 1, each)
    promoted = [scheduler.resume() for _ in range(3)]
    assert {present(decision).trial for decision in promoted} == {0, 2, 3}
    assert {present(decision).rank for decision in promoted} == {1, 2, 3}
    assert scheduler.resume() is None


def test_pasha_stays_low_while_the_ranking_holds():
    """Parallel curves: the first two rungs already show the final ranking."""
    scheduler = started(Pasha(reduction_factor=3), 81, 0)
    for trial in range(30):
        scheduler.add(trial)
        train(scheduler, trial, [trial + 1.0])
        while (decision := scheduler.resume()) is not None:
            train(scheduler, decision.trial, [decision.trial + 1 / n for n in range(2, 82)], after=1)
    assert max(len(curve) for curve in scheduler._curves.values()) == 3
    scheduler.close()
    assert scheduler.resume() is None
    assert len(scheduler.drop()) == 30


def test_pasha_adds_rungs_when_the_ranking_changes():
    """At each rung two neighbours in the ranking swap places, a different pair each time."""

    def loss(trial, iteration):
        if iteration > 1:
            trial ^= 1
        return trial if iteration <= 3 else ((trial + 1) ^ 1) - 1

    scheduler = started(Pasha(reduction_factor=3), 27, 0)
    furthest = 0
    for trial in range(200):
        scheduler.add(trial)
        train(scheduler, trial, [loss(trial, 1)])
        while (decision := scheduler.resume()) is not None:
            done = int(decision.resource)
            rest = [loss(decision.trial, n) for n in range(done + 1, 28)]
            furthest = max(furthest, train(scheduler, decision.trial, rest, after=done).resource)
    assert furthest == 27


def test_pasha_treats_trials_whose_curves_cross_repeatedly_as_equal():
    scheduler = started(Pasha(reduction_factor=2), 16, 8)
    for trial in range(8):
        train(scheduler, trial, [1 + trial / 1000])
    waves = {0: [1.000, 0.9], 1: [1.001, 0.8]}
    assert scheduler._top == 1
    for trial in (0, 1):
        assert scheduler.resume().trial == trial
        train(scheduler, trial, waves[trial][1:], after=1)
    assert scheduler._top == 2  # one overtook the other once: the order has changed
    curves = {0: {1: 0.0, 2: 0.2, 3: 0.0, 4: 0.3}, 1: {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}}
    scheduler._curves.update(curves)
    assert scheduler._tolerance([0, 1]) == pytest.approx(0.2)


def test_curve_stops_a_trial_that_has_converged():
    scheduler = started(Curve(patience=5, probability=0), 99, 1)
    decision = train(scheduler, 0, [1, 0.5, 0.4, 0.3, *[0.3] * 50])
    assert (decision.action, decision.reason) == (Action.STOP, "no better for 6")


def test_curve_stops_a_trial_that_diverges():
    scheduler = started(Curve(), 99, 1)
    decision = train(scheduler, 0, [1, 0.9, 0.8, 1.1, 1.3, 1.6, 2.0, 2.5])
    assert (decision.action, decision.reason) == (Action.STOP, "diverges")


def test_curve_stops_only_trials_unlikely_to_beat_the_best():
    scheduler = started(Curve(patience=None), 81, 3)
    iterations = np.arange(1, 82)
    assert train(scheduler, 0, 0.2 + 0.8 / iterations).action is Action.COMPLETE
    bad = train(scheduler, 1, 0.5 + 0.5 / iterations)
    assert bad.action is Action.STOP
    assert bad.resource < 20
    assert bad.reason.startswith("beats the best with probability ")
    assert train(scheduler, 2, 0.1 + 0.9 / np.sqrt(iterations)).action is Action.COMPLETE


def test_probability_for_one_shape_equals_linear_regression(monkeypatch):
    """Compare with SciPy's regression and the textbook's prediction interval."""
    at, maximum, target = np.arange(1.0, 9.0), 27.0, 0.62
    monkeypatch.setattr("tuner.schedulers._curve._family", lambda at, most: [(1 / at, 1 / most)])
    scores = 0.6 - 0.3 / at + np.random.default_rng(0).normal(0, 0.02, len(at))
    fit = stats.linregress(1 / at, scores)
    residuals = scores - fit.intercept - fit.slope / at
    spread = ((1 / at - (1 / at).mean()) ** 2).sum()
    error = np.sqrt((residuals**2).sum() / 6 * (1 + 1 / 8 + (1 / maximum - (1 / at).mean()) ** 2 / spread))
    expected = stats.t.sf((target - fit.intercept - fit.slope / maximum) / error, df=6)
    assert probability_above(target, at, scores, maximum=maximum) == pytest.approx(expected, rel=1e-6)


def test_probability_is_calibrated_on_curves_of_the_family():
    """Most curves with a predicted chance of at least one half reach the value: binomial, odds below 1e-6."""
    rng = np.random.default_rng(1)
    at, everywhere = np.arange(1.0, 10.0), np.arange(1.0, 82.0)
    hits: dict[bool, list[Any]] = {True: [], False: []}
    for _ in range(400):
        curve = rng.uniform(0.5, 1) - rng.uniform(0.2, 0.6) * everywhere ** -rng.choice([0.5, 1.0])
        curve += rng.normal(0, 0.01, len(everywhere))
        chance = probability_above(0.7, at, curve[:9], maximum=81.0)
        hits[chance >= 0.5].append(curve[-1] > 0.7)
    assert np.mean(hits[True]) > 0.8
    assert np.mean(hits[False]) < 0.2


def ended_early(spec, *, trials, length, iterations, seed=0):
    """Return a simulated sweep whose trials end early, after ``length`` of ``iterations``."""
    sweep = Sweep(
        trainable=TrainableSpec(kind="nothing"),
        space={"x": Float(0.0, 1.0)},
        objective=LOSS,
        budget=Budget(trials=trials, iterations=iterations),
        scheduler=spec,
        seed=seed,
    )

    def curve(config, trial):
        return LearningCurve([config["x"] + 1 / iteration for iteration in range(1, length + 1)])

    return cluster.simulate(sweep, curve, workers=4)


@pytest.mark.parametrize("length", [10, 20, 26, 27])
@pytest.mark.parametrize(
    "spec", [Asha(), AshaStop(), Pasha(), HyperBand(), SuccessiveHalving(), Median(), Percentile()]
)
def test_trials_with_an_early_end_are_stopped_like_those_that_reach_the_maximum(spec, length):
    run = ended_early(spec, trials=27, length=length, iterations=27)
    full = ended_early(spec, trials=27, length=27, iterations=27)
    assert run.endings["completed"] <= max(
        full.endings["completed"], sum(n > length for n in full.iterations_of)
    )
    assert run.iterations <= full.iterations


def test_asha_trains_one_trial_in_full_if_all_end_early():
    run = ended_early(Asha(), trials=27, length=20, iterations=27)
    assert run.endings == {"completed": 1, "stopped": 26}


@pytest.mark.parametrize("spec", [Asha(), Pasha()])
def test_asha_trains_the_better_of_two_further_even_if_the_other_ended_early(spec):
    scheduler = started(spec, 27, 2)
    scheduler.close()
    scheduler.report(0, 1, 0.9)
    scheduler.report(1, 1, 0.5)
    assert scheduler.resume().trial == 1
    scheduler.end(1, "failed")
    assert scheduler.resume().trial == 0
    scheduler.end(0, "completed")
    assert scheduler.resume() is None


def test_asha_drops_trials_worse_than_one_that_ended_early():
    scheduler = started(Asha(), 27, 2)
    scheduler.close()
    scheduler.report(0, 1, 0.9)
    scheduler.report(1, 1, 0.5)
    assert scheduler.resume().trial == 1
    scheduler.end(1, "completed")
    assert scheduler.resume() is None
    assert [decision.trial for decision in scheduler.drop()] == [0]


def test_asha_continues_trials_better_than_one_that_ended_early():
    scheduler = started(Asha(), 27, 2)
    scheduler.close()
    scheduler.end(0, "completed")  # ended before its first rung, without a value
    scheduler.report(1, 1, 0.5)
    assert scheduler.resume().trial == 1


@pytest.mark.parametrize("spec", [Median(min_trials=2), Percentile(min_trials=2)])
def test_a_trial_that_ended_early_keeps_its_last_value_at_later_points(spec):
    scheduler = started(spec, 9, 3)
    for trial in (0, 1):
        assert train(scheduler, trial, [1.0, 1.0]).action is Action.CONTINUE
        scheduler.end(trial, "completed")
    decision = scheduler.report(2, 3, 5.0)
    assert (decision.action, decision.cutoff, decision.of) == (Action.STOP, 1.0, 3)


def test_a_failed_trial_counts_for_nothing_at_later_points():
    scheduler = started(Median(min_trials=2), 9, 3)
    for trial in (0, 1):
        scheduler.report(trial, 1, 1.0)
        scheduler.end(trial, "failed")
    assert scheduler.report(2, 2, 5.0).action is Action.CONTINUE
