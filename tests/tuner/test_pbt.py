"""Population-based training without a cluster: which trial copies which, and what is explored."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.present import present
from tuner import Choice, Float, Int, Objective, Ordinal, Pbt, SearchSpace
from tuner.schedulers import Action, Decision
from tuner.schedulers._pbt import perturbed

LOSS = Objective(metric="loss", mode="min")
RESUME = Decision(0, Action.RESUME, 10, 1.0, source=1)


def population(spec, losses, *, iterations=20, seed=0):
    """Return a scheduler whose trials have all reported at the first interval."""
    scheduler = spec.build(objective=LOSS, iterations=iterations, seed=seed)
    for trial in range(len(losses)):
        scheduler.add(trial)
    scheduler.close()
    for trial, loss in enumerate(losses):
        assert scheduler.report(trial, 2, loss).action is Action.PAUSE
    return scheduler


def resumed(scheduler):
    decisions = []
    while (decision := scheduler.resume()) is not None:
        decisions.append(decision)
    return decisions


def test_the_worst_quarter_continues_from_the_best_quarter():
    scheduler = population(Pbt(interval=2), [3, 1, 8, 2, 7, 4, 5, 6])
    sources = {each.trial: each.source for each in resumed(scheduler)}
    assert {trial for trial, source in sources.items() if source is not None} == {2, 4}
    assert {sources[2], sources[4]} <= {1, 3}


def test_exploiting_trials_start_before_their_sources_resume():
    decisions = resumed(population(Pbt(interval=2), [3, 1, 8, 2, 7, 4, 5, 6]))
    assert [each.source is not None for each in decisions] == [True] * 2 + [False] * 6


def test_the_seed_determines_the_sources():
    losses = list(range(40))
    drawn = [
        [each.source for each in resumed(population(Pbt(interval=2), losses, seed=seed))]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_no_trial_exploits_an_equal_one():
    assert {each.source for each in resumed(population(Pbt(interval=2), [1, 1, 1, 1]))} == {None}


def test_the_population_waits_for_its_last_member():
    scheduler = Pbt(interval=2).build(objective=LOSS, iterations=20)
    scheduler.add(0)
    scheduler.report(0, 2, 1.0)
    assert scheduler.resume() is None
    scheduler.add(1)
    scheduler.close()
    assert scheduler.resume() is None
    scheduler.end(1, "failed")
    assert present(scheduler.resume()).trial == 0


@pytest.mark.parametrize(
    ("dimension", "value", "factor", "expected"),
    [
        (Float(0.0, 1.0), 0.5, 1.2, 0.6),
        (Float(0.0, 1.0), 0.9, 1.2, 1.0),
        (Float(1e-3, 1.0, log=True), 1e-3, 0.8, 1e-3),
        (Float(0.0, 1.0, step=0.25), 0.5, 1.2, 0.75),
        (Float(-1.0, 1.0), -0.5, 0.8, -0.4),
        (Int(1, 9), 2, 1.2, 3),
        (Int(1, 9), 2, 0.8, 1),
        (Int(8, 64, step=8), 40, 1.2, 48),
        (Int(1, 9, step=4), 9, 1.2, 9),
        (Ordinal((8, 16, 64)), 16, 1.2, 64),
        (Ordinal((8, 16, 64)), 8, 0.8, 8),
        (Choice(["a", "b"]), "a", 1.2, "a"),
    ],
)
def test_perturbed_values_stay_within_bounds_and_on_the_grid(dimension, value, factor, expected):
    moved = perturbed(value, dimension, factor)
    assert moved == pytest.approx(expected)
    assert type(moved) is type(value)
    assert dimension.contains(moved)


SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "optimizer": Choice(["sgd", "adam"]),
        "momentum": Float(0.0, 0.99, when={"optimizer": "sgd"}),
        "beta": Float(0.5, 0.999, when={"optimizer": "adam"}),
        "size": Int(1, 100, log=True),
        "batch": 64,
    }
)


@given(seed=st.integers(0, 2**32 - 1), mutate=st.sampled_from([None, ("lr",), ("optimizer", "size")]))
def test_explored_configurations_are_in_the_space(seed, mutate):
    rng = np.random.default_rng(seed)
    config = SPACE.sample(rng)
    assert SPACE.contains(Pbt(mutate=mutate).reconfigured(config, RESUME, space=SPACE, rng=rng))


@given(seed=st.integers(0, 2**32 - 1))
def test_only_named_hyperparameters_are_mutated(seed):
    rng = np.random.default_rng(seed)
    config = SPACE.sample(rng)
    explored = Pbt(mutate=["lr"], resample=0).reconfigured(config, RESUME, space=SPACE, rng=rng)
    assert explored["lr"] in [pytest.approx(min(config["lr"] * factor, 1.0)) for factor in (0.8, 1.2)] + [
        1e-4
    ]
    assert {**explored, "lr": None} == {**config, "lr": None}


def test_resampled_values_are_drawn_from_the_whole_dimension():
    rng = np.random.default_rng(0)
    config = SPACE.sample(rng)
    spec = Pbt(mutate=["lr"], resample=1)
    drawn = np.log10([spec.reconfigured(config, RESUME, space=SPACE, rng=rng)["lr"] for _ in range(500)])
    assert np.histogram(drawn, bins=4, range=(-4, 0))[0].min() > 80  # 125 expected: odds below 1e-5
