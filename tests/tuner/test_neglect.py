"""A forest's suggestions return to a category that a few bad trials made look poor."""

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from tuner.searchers._maximise import maximise
from tuner.searchers._mixed_space import MixedSpace, Rules
from tuner.searchers._neglect import neglected
from tuner.searchers.bayes_sampler import BayesSampler

NAN = np.nan
UNIT = FloatDistribution(0.0, 1.0)
KIND = CategoricalDistribution(("flat", "steep", "other"))
DIMENSIONS = {"kind": KIND, "x": UNIT, "way": CategoricalDistribution(("p", "q"))}
SPACE = MixedSpace(DIMENSIONS, Rules(lambda drawn: DIMENSIONS.keys(), deciding=["kind", "way", "x"]))


def rows(*kinds, way=NAN):
    return np.array([[kind, 0.5, way] for kind in kinds])


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        (np.empty((0, 3)), []),
        (rows(0), []),
        (rows(0, 0, 2, 2), [(0, 1)]),
        (rows(*[0] * 10, *[1] * 3, *[2] * 3), [(0, 1), (0, 2)]),
        (rows(*[0] * 8, *[1] * 4, *[2] * 4), []),
        (np.concatenate([rows(*[0, 1, 2] * 8), rows(0, 0, 0, 0, way=1)]), [(2, 0)]),
    ],
    ids=["nothing tried", "one trial", "never", "3 of 16", "4 of 16", "where it is active"],
)
def test_each_category_deserves_the_logarithm_of_the_number_of_trials(tried, expected):
    assert neglected(SPACE, tried) == expected


def test_a_category_without_dependents_deserves_no_trials():
    space = MixedSpace(DIMENSIONS, Rules(lambda drawn: DIMENSIONS.keys(), deciding=["way"]))
    assert neglected(space, rows(*[0] * 10, way=0)) == [(2, 1)]
    assert neglected(MixedSpace(DIMENSIONS), rows(*[0] * 10, way=0)) == []


class _Least:
    inactive: float = -1.0
    smooth: bool = False

    def values(self, columns):
        return -columns[:, SPACE.groups == 0] @ np.array([0.0, 1.0, 1.0]) - columns[:, 3]

    def gradient(self, point):
        raise AssertionError("it is not smooth")


def test_a_fixed_category_is_kept_even_if_another_promises_more():
    found = maximise(
        _Least(),
        SPACE,
        incumbents=np.array([[0.0, 0.1, 0.0]]),
        taken=(),
        rng=np.random.default_rng(0),
        held=(0, 2),
    )
    assert found is not None
    assert found[0][0] == 2
    assert found[0][1] < 0.1


def test_nothing_is_found_if_the_fixed_category_is_ruled_out():
    space = MixedSpace({"kind": KIND, "x": UNIT}, Rules(lambda drawn: {"x"}, deciding=["kind"]))
    rng = np.random.default_rng(0)
    incumbents = np.array([[0.0, 0.1]])
    assert maximise(_Least(), space, incumbents=incumbents, taken=(), rng=rng, held=(0, 2)) is None


@pytest.mark.parametrize("seed", range(3))
def test_a_category_that_was_bad_twice_gets_its_share_of_trials(seed):
    """After 40 trials of "flat" and 2 bad ones of "steep", 4 of the next 12 are "steep": log2(51) > 5.

    "other" is forbidden, so it never gets its share; this must not block the others.
    """
    active = {"flat": {"kind", "x"}, "steep": {"kind", "x", "slope"}, "other": None}
    sampler = BayesSampler(
        surrogate="rf",
        search_space={"kind": KIND, "x": UNIT, "slope": UNIT},
        rules=Rules(lambda drawn: active[drawn["kind"]], deciding=["kind"]),
        seed=seed,
    )
    study = optuna.create_study(sampler=sampler)
    tried = [{"kind": "flat", "x": x} for x in np.random.default_rng(seed).uniform(size=40)]
    for params in [*tried, *({"kind": "steep", "x": x, "slope": x} for x in (0.2, 0.6))]:
        distributions: dict[str, BaseDistribution] = {
            name: KIND if name == "kind" else UNIT for name in params
        }
        study.add_trial(create_trial(params=params, distributions=distributions, value=loss(params)))
    again = 0
    for _ in range(12):
        asked = study.ask()
        params = {
            "kind": asked.suggest_categorical("kind", KIND.choices),
            "x": asked.suggest_float("x", 0, 1),
        }
        if params["kind"] == "steep":
            params["slope"] = asked.suggest_float("slope", 0, 1)
            again += 1
        study.tell(asked, loss(params))
    assert again >= 4


def loss(params):
    if params["kind"] == "flat":
        return 0.03 + 0.02 * (params["x"] - 0.4) ** 2 + 0.001 * np.sin(40 * params["x"])
    return 0.02 if params["slope"] > 0.9 else 0.9
