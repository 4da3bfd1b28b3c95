"""Vectors that represent configurations of mixed and conditional spaces."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tuner.searchers._mixed_space import MixedSpace, Rules

DISTRIBUTIONS = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.3, step=0.1),
    "layers": IntDistribution(2, 8, step=2),
    "hidden": IntDistribution(1, 100, log=True),
    "kind": CategoricalDistribution(("a", "b", "c")),
    "fixed": FloatDistribution(2.0, 2.0),
}


def only_b_has_layers(params):
    if params["kind"] == "c":
        return None
    return DISTRIBUTIONS.keys() - (set() if params["kind"] == "b" else {"layers"})


def test_values_survive_the_round_trip_through_a_vector():
    space = MixedSpace(DISTRIBUTIONS)
    rng = np.random.default_rng(0)
    for row in space.from_cube(rng.uniform(size=(200, len(space)))):
        params = space.params(row)
        assert all(d._contains(d.to_internal_repr(params[name])) for name, d in DISTRIBUTIONS.items())
        assert space.vector(params) == pytest.approx(row)
        assert space.params(space.vector(params)) == pytest.approx(params)


def test_both_ends_of_a_range_can_be_reached():
    space = MixedSpace(DISTRIBUTIONS)
    low, high = (space.params(row) for row in space.from_cube(np.array([[0.0] * 6, [1.0 - 1e-12] * 6])))
    assert low == pytest.approx(
        {"lr": 1e-4, "dropout": 0.0, "layers": 2, "hidden": 1, "kind": "a", "fixed": 2.0}
    )
    assert high == pytest.approx(
        {"lr": 1.0, "dropout": 0.3, "layers": 8, "hidden": 100, "kind": "c", "fixed": 2.0}
    )


def test_a_logarithmic_range_is_halved_at_its_geometric_mean():
    space = MixedSpace({"lr": DISTRIBUTIONS["lr"]})
    assert space.params(np.array([0.5]))["lr"] == pytest.approx(1e-2)


def test_two_different_categories_have_distance_one():
    space = MixedSpace({"kind": DISTRIBUTIONS["kind"]})
    columns = space.columns(np.array([[0.0], [1.0], [2.0]]), np.ones((3, 1), bool), inactive=0.5)
    distances = [np.linalg.norm(columns[i] - columns[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert distances == pytest.approx([1.0, 1.0, 1.0])
    assert space.groups.tolist() == [0, 0, 0]


def test_rules_tell_active_parameters_and_forbidden_configurations():
    space = MixedSpace(DISTRIBUTIONS, Rules(only_b_has_layers, deciding=["kind"]))
    row = space.from_cube(np.full((1, 6), 0.5))[0]
    rows = np.stack([row, row, row])
    rows[:, 4] = [0, 1, 2]
    active, allowed = space.activity(rows)
    assert allowed.tolist() == [True, True, False]
    assert active[:2, 2].tolist() == [False, True]


def test_inactive_parameters_do_not_distinguish_configurations():
    space = MixedSpace(DISTRIBUTIONS, Rules(only_b_has_layers, deciding=["kind"]))
    one, other = space.from_cube(np.array([[0.5, 0.5, low, 0.5, 0.0, 0.5] for low in (0.1, 0.9)]))
    active, _ = space.activity(np.stack([one, other]))
    assert space.key(one, active[0]) == space.key(other, active[1])
    columns = space.columns(np.stack([one, other]), active, inactive=-1.0)
    assert columns[0].tolist() == columns[1].tolist()


def test_missing_parameters_are_nan():
    space = MixedSpace(DISTRIBUTIONS)
    vector = space.vector({"kind": "b"})
    assert [math.isnan(value) for value in vector] == [True, True, True, True, False, True]


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (IntDistribution(0, 2**63), [0, 2**40, 2**63]),
        (IntDistribution(-(2**63), 2**63, step=2), [-(2**63), 0, 2**63]),
        (IntDistribution(2**62, 2**62 + 5), [2**62 + more for more in range(6)]),
        (IntDistribution(1, 2**70, log=True), [1, 2, 2**70]),
        (FloatDistribution(0.0, 1e16, step=1.0), [0.0, 1e8, 1e16]),
    ],
    ids=repr,
)
def test_numbers_beyond_float_precision_survive_the_round_trip(distribution, values):
    space = MixedSpace({"n": distribution})
    for value in values:
        found = space.params(space.vector({"n": value}))["n"]
        assert type(found) is type(value)
        assert found == pytest.approx(value, rel=1e-12, abs=2**13)
    assert len(values) < 6 or [space.params(space.vector({"n": value}))["n"] for value in values] == values
    drawn = [space.params(row)["n"] for row in space.from_cube(np.linspace(0, 1, 50)[:, None])]
    assert all(distribution.low <= value <= distribution.high for value in drawn)
    assert len(set(drawn)) >= 6
