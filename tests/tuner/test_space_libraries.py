"""A space translated for Optuna and HyperOpt yields the same configurations, conditions included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drawing import scaled
from tuner.space import SearchSpace
from tuner.space.hyperopt import to_hyperopt
from tuner.space.optuna import parameters
from tuner.testing import CONDITIONAL_SPACES, SPACES

ALL = {name: space for name, space in {**SPACES, **CONDITIONAL_SPACES}.items() if space.dimensions}


@pytest.mark.parametrize("space", ALL.values(), ids=ALL)
def test_an_optuna_study_suggests_configurations_of_the_space(space: SearchSpace) -> None:
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = [space.from_optuna(study.ask()) for _ in range(40)]
    assert all(space.contains(config) or not space.allows(config) for config in configs)
    names = {tuple(config) for config in configs}
    assert names >= {tuple(space.sample(np.random.default_rng(seed))) for seed in range(3)}


@pytest.mark.parametrize("space", ALL.values(), ids=ALL)
def test_hyperopt_draws_configurations_of_the_space_with_its_conditions(space: SearchSpace) -> None:
    from hyperopt.pyll.stochastic import sample

    nodes, rng = space.to_hyperopt(), np.random.default_rng(0)
    for _ in range(40):
        point = sample(nodes, rng=rng)
        config = space.from_hyperopt(point)
        assert space.contains(config) or not space.allows(config)
        # HyperOpt switches off exactly the inactive dimensions.
        active = space.by_key(config)
        assert {key for key, value in point.items() if value == -1} == point.keys() - active.keys()


@pytest.mark.parametrize("space", ALL.values(), ids=ALL)
@settings(max_examples=scaled(20))
@given(seed=st.integers(0, 2**32 - 1))
def test_values_passed_to_the_libraries_can_be_read_back(space: SearchSpace, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    for numeric in (False, True):
        asked = parameters(space.dimensions, numeric=numeric)
        for key, value in space.by_key(config).items():
            said = asked[key].to_optuna(value)
            assert asked[key].distribution._contains(asked[key].distribution.to_internal_repr(said))
            assert (
                asked[key].value(said) == pytest.approx(value) if isinstance(value, float) else value == value
            )
    point = {key: to_hyperopt(space.dimensions[key], value) for key, value in space.by_key(config).items()}
    assert _close(space.from_hyperopt(point), config)


def _close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[name] == pytest.approx(value, rel=1e-6, abs=1e-9)
        if isinstance(value, float)
        else one[name] == value
        for name, value in other.items()
    )


def test_hyperopt_minimises_over_the_expression() -> None:
    import hyperopt

    space = ALL["conditions by range"]
    best = hyperopt.fmin(
        lambda point: space.from_hyperopt(point)["rate"],
        space.to_hyperopt(),
        algo=hyperopt.tpe.suggest,
        max_evals=30,
        rstate=np.random.default_rng(0),
        verbose=False,
        show_progressbar=False,
    )
    # HyperOpt's best holds the active dimensions only, by key.
    assert space.from_hyperopt(best)["rate"] < 0.2
