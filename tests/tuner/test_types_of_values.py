"""A trial gets, and a report returns, the very option of a choice, even after its journal is read again."""

import json
from typing import Any

import numpy as np
import pytest

from tests.present import present
from tests.tuner.journal_rows import put
from tuner import Choice, Ordinal, Sweep
from tuner.cluster.driver import SweepDriver
from tuner.journal import Journal, read
from tuner.report import Report
from tuner.schedulers import Action, Decision, Pbt
from tuner.searchers import start
from tuner.space import SearchSpace
from tuner.state import SweepState, replay
from tuner.yaml12 import read_yaml

VALUES = [
    (64, 64),
    [128],
    ((1, 2), [3, (4,)]),
    {"a": (1, 2)},
    {0: 1.0, 1: 5.0},
    {"tuple": [1]},
    {"pairs": [["a", 1]]},
    None,
    True,
    "text",
    0.5,
]


def sweep_of(space, **parts):
    return Sweep(
        trainable="toys.py:train",
        space=space,
        objective={"metric": "loss", "mode": "min"},
        budget={"trials": 12, "iterations": 3},
        **parts,
    )


def shown(value):
    return repr(value)


@pytest.mark.parametrize("kind", [Choice, Ordinal])
def test_options_keep_their_types_in_a_resolved_sweep(tmp_path, kind):
    sweep = sweep_of({"x": kind(VALUES)})
    again = Sweep(**json.loads(json.dumps(sweep.to_dict())))
    assert shown(again.space.dimensions["x"].values()) == shown(VALUES)
    (tmp_path / "sweep.yaml").write_text(sweep.to_yaml())
    again = Sweep(**read_yaml(tmp_path / "sweep.yaml"))
    assert shown(again.space.dimensions["x"].values()) == shown(VALUES)


@pytest.mark.parametrize("value", VALUES[:5], ids=repr)
def test_a_constant_keeps_its_type(value):
    space = SearchSpace({"x": value, "y": Choice([1, 2])})
    again = SearchSpace(json.loads(json.dumps(space.to_dict())))
    assert shown(again.constants["x"]) == shown(value)


def test_a_configuration_read_from_json_gets_the_types_of_the_space():
    space = SearchSpace({"x": Choice(VALUES), "c": (1, 2), "g": Choice({"a": {"n": Choice([(1,), (2,)])}})})
    for value in VALUES:
        config = {"x": value, "c": (1, 2), "g": "a", "n": (2,)}
        assert shown(space.restored(json.loads(json.dumps(config)))) == shown(config)


def test_defaults_and_points_are_the_option_itself():
    objective = sweep_of({"y": 1}).objective
    space = SearchSpace({"x": Choice([(1, 2), (3,)], default=[3])})
    sweep = sweep_of(space, searcher={"kind": "random", "initial_points": [{"x": [1, 2]}]})
    searcher = start(sweep.searcher, space, objective=objective, seed=0)
    assert [present(searcher.suggest(number))["x"] for number in (0, 1)] in ([(3,), (1, 2)], [(1, 2), (3,)])


def test_an_explored_configuration_of_pbt_keeps_its_types():
    space = SearchSpace({"x": Choice([(1, 2), (3,)]), "lr": {"float": [0.1, 1]}})
    explored = Pbt(interval=1).reconfigured(
        {"x": [1, 2], "lr": 0.5},
        Decision(0, Action.RESUME, 1, 0.0),
        space=space,
        rng=np.random.default_rng(0),
    )
    assert isinstance(explored["x"], tuple)


@pytest.mark.parametrize("searcher", ["random", "grid", "sobol", "evolution", {"kind": "optuna"}])
def test_a_resumed_sweep_and_its_report_have_the_options_themselves(tmp_path, searcher):
    space = {"x": Choice([(64, 64), (128,), (8, 8, 8)]), "w": Choice([{0: 1, 1: 5}, None]), "c": (1, 2)}
    sweep = sweep_of(space, searcher=searcher)
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep=sweep.to_dict(), version="0")
    driver = SweepDriver(SweepState.begin(sweep), journal)
    before = [present(driver.suggest()).config for _ in range(4)]
    journal.close()
    events: list[Any] = list(read(tmp_path))
    resumed = SweepState.begin(Sweep(**events[0].sweep))
    replay(resumed, events)
    after = [resumed.trials[number].config for number in range(4)]
    assert shown(after) == shown(before)
    assert all(isinstance(config["x"], tuple) and isinstance(config["c"], tuple) for config in after)
    assert shown([trial.config for trial in Report.read(tmp_path).trials]) == shown(before)
