"""NumPy numbers are accepted as plain ones wherever a user can give a number."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tuner import (
    Architecture,
    Asha,
    Bayes,
    Budget,
    Choice,
    Float,
    Int,
    Objective,
    Optuna,
    Ordinal,
    Random,
    SearchSpace,
    SpecError,
    Sweep,
)
from tuner.searchers import start

LOSS = Objective(metric="loss", mode="min")
ONE: Any = np.int64(1)
NINE: Any = np.int32(9)
HALF: Any = np.float32(0.5)
TRUE: Any = np.True_
THREE: Any = np.int64(3)
TWO: Any = np.int8(2)
QUARTER: Any = np.array(0.25)
SIZES: Any = np.array([8, 16])
RANGE: Any = np.array([1, 2])


def plain(value: Any) -> bool:
    """Return whether a value consists of Python's own types."""
    if isinstance(value, dict):
        return all(type(key) is str and plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return type(value) in (int, float, bool, str, type(None))


@pytest.mark.parametrize(
    ("dimension", "same"),
    [
        (Int(ONE, NINE, step=TWO), Int(1, 9, step=2)),
        (Int(ONE, NINE, log=TRUE, default=np.int16(3)), Int(1, 9, log=True, default=3)),
        (Float(np.float64(0), HALF, points=THREE), Float(0.0, 0.5, points=3)),
        (Float(QUARTER, HALF), Float(0.25, 0.5)),
        (Choice(np.array([16, 32])), Choice((16, 32))),
        (Choice([ONE, TRUE, HALF, np.str_("a")]), Choice((1, True, 0.5, "a"))),
        (Choice(([ONE], {"a": HALF}), default=[ONE]), Choice(([1], {"a": 0.5}), default=[1])),
        (Choice([np.array([8, 8]), np.array([[1.0]])]), Choice(([8, 8], [[1.0]]))),
        (Ordinal((ONE, NINE), default=NINE), Ordinal((1, 9), default=9)),
        (Float(0, 1, when={"n": NINE}), Float(0, 1, when={"n": 9})),
        (Float(0, 1, when={"n": {"min": ONE}}), Float(0, 1, when={"n": {"min": 1}})),
        (
            Architecture({"dense": {"width": SIZES}}, layers=RANGE, skip=TRUE),
            Architecture({"dense": {"width": (8, 16)}}, layers=(1, 2), skip=True),
        ),
    ],
    ids=repr,
)
def test_a_dimension_of_numpy_numbers_equals_one_of_plain_numbers(dimension: Any, same: Any) -> None:
    assert dimension == same
    assert repr(dimension) == repr(same)
    assert plain(dimension.to_dict())


def test_constants_and_written_dimensions_become_plain() -> None:
    space = SearchSpace(
        {
            "batch": np.int64(64),
            "layers": [np.int64(8), 8],
            "widths": np.array([8, 16]),
            "lr": {"float": [np.float64(0.1), np.float64(0.5)], "log": TRUE},
            "model": Choice({"a": {"depth": np.int64(3), "x": Int(ONE, NINE)}}),
        }
    )
    config = space.sample(np.random.default_rng(0))
    assert plain(config)
    assert config["layers"] == [8, 8]
    assert config["widths"] == [8, 16]
    assert config["depth"] == 3
    assert json.loads(json.dumps(space.to_dict())) == space.to_dict()


@pytest.mark.parametrize("spec", [Random, Optuna, Bayes])
def test_points_become_plain(spec: Any) -> None:
    space = SearchSpace({"n": Int(1, 9), "x": Float(0, 1), "sizes": Choice(([8, 8], [16]))})
    points = [{"n": np.int64(5), "x": np.float32(0.5), "sizes": np.array([8, 8])}]
    config = start(spec(initial_points=points), space, objective=LOSS, seed=0).suggest(0)
    assert config == {"n": 5, "x": 0.5, "sizes": [8, 8]}
    assert plain(config)


def test_a_whole_sweep_of_numpy_numbers_equals_one_of_plain_numbers() -> None:
    def sweep(whole: Any, real: Any) -> Sweep:
        return Sweep(
            trainable={"kind": "tests.tuner.test_numpy_values:train", "size": whole(3), "sizes": [whole(3)]},
            space={"n": Int(whole(1), whole(9))},
            objective=LOSS,
            budget={"trials": whole(3), "iterations": whole(9), "seconds": real(60)},
            searcher={"kind": "bayes", "initial": whole(4), "initial_points": [{"n": whole(2)}]},
            scheduler=Asha(reduction_factor=whole(3)),
            resources={"cpu": real(1)},
            seed=whole(7),
        )

    assert sweep(np.int64, np.float64).to_yaml() == sweep(int, float).to_yaml()
    assert sweep(np.uint8, np.float32).to_dict() == sweep(int, float).to_dict()
    assert Budget(trials=np.int64(3)) == Budget(trials=3)


def test_an_invalid_numpy_number_gets_the_same_message_as_a_plain_one() -> None:
    with pytest.raises(SpecError, match=r"trials: must be a whole number, got 2\.5"):
        Budget(trials=np.float64(2.5))
    with pytest.raises(SpecError, match="low must be below high, got low=9, high=1"):
        Int(NINE, ONE)
    with pytest.raises(SpecError, match="failures: must be a whole number, got true"):
        Budget(failures=TRUE)


def train(config: dict[str, Any]) -> None:
    """Serve as a trainable that no test calls."""
