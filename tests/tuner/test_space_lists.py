"""Lists of variable length in a ``SearchSpace`` (``repeat``), and what uses them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tuner.journal_rows import put
from tuner import Choice, Float, Int, Pbt, Repeat, Report, SearchSpace, Sweep
from tuner.errors import SpecError
from tuner.journal import Journal
from tuner.journal.events import Action, Decision
from tuner.report.page import page_data

SPACE = SearchSpace(
    {
        "layers": {"int": [0, 3]},
        "units": {"repeat": "layers", "each": {"int": [4, 128]}},
        "constraints": ["sum(units) <= 200", "units[0] >= units[-1]"],
    }
)


def refusal(entries: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as error:
        SearchSpace(entries)
    return str(error.value)


def sweep_refusal(**parts: Any) -> str:
    with pytest.raises(SpecError) as error:
        Sweep(
            **{
                "trainable": "train.py:train",
                "space": SPACE,
                "objective": {"metric": "loss", "mode": "min"},
                "budget": {"trials": 4, "iterations": 9},
                **parts,
            }
        )
    return str(error.value)


def test_a_configuration_holds_a_list_as_long_as_the_other_hyperparameter_says():
    rng = np.random.default_rng(0)
    drawn = [SPACE.sample(rng) for _ in range(60)]
    assert {config["layers"] for config in drawn} == {0, 1, 2, 3}
    assert all(len(config["units"]) == config["layers"] for config in drawn)
    assert all(4 <= units <= 128 for config in drawn for units in config["units"])
    assert list(drawn[0]) == ["layers", "units"]


def test_a_searcher_sees_a_conditional_dimension_for_each_place():
    assert list(SPACE.dimensions) == ["layers", "units[0]", "units[1]", "units[2]"]
    assert SPACE.by_key({"layers": 2, "units": [16, 8]}) == {"layers": 2, "units[0]": 16, "units[1]": 8}
    assert SPACE.complete({"layers": 2, "units[0]": 16, "units[1]": 8}) == {"layers": 2, "units": [16, 8]}


@pytest.mark.parametrize(
    ("config", "inside"),
    [
        ({"layers": 0, "units": []}, True),
        ({"layers": 2, "units": [16, 8]}, True),
        ({"layers": 2, "units": [8, 16]}, False),
        ({"layers": 3, "units": [100, 80, 60]}, False),
        ({"layers": 2, "units": [16]}, False),
        ({"layers": 1, "units": [16, 8]}, False),
        ({"layers": 1, "units": [200]}, False),
        ({"layers": 1, "units": 16}, False),
        ({"layers": 1}, False),
    ],
    ids=["empty", "two", "places", "sum", "too short", "too long", "value", "no list", "missing"],
)
def test_membership_depends_on_the_length_and_on_each_value(config: dict[str, Any], inside: bool):
    assert SPACE.contains(config) is inside


def test_lists_in_groups_take_the_length_of_their_group():
    space = SearchSpace(
        {
            "model": {
                "choice": {
                    "mlp": {
                        "layers": {"int": [1, 2]},
                        "units": {"repeat": "layers", "each": {"int": [4, 8]}},
                    },
                    "cnn": {
                        "layers": {"int": [3, 4]},
                        "units": {"repeat": "layers", "each": {"int": [1, 3]}},
                    },
                }
            }
        }
    )
    rng = np.random.default_rng(0)
    for config in (space.sample(rng) for _ in range(40)):
        low, high = (1, 2) if config["model"] == "mlp" else (3, 4)
        assert low <= len(config["units"]) == config["layers"] <= high
    assert space.always("units")


def test_a_list_of_fixed_length_has_no_conditions():
    space = SearchSpace({"betas": Repeat(2, each=Float(0.8, 0.999))})
    assert not space.conditional
    assert len(space.sample(np.random.default_rng(0))["betas"]) == 2


def test_a_default_gives_the_first_places_their_own():
    space = SearchSpace(
        {
            "layers": Int(1, 3, default=3),
            "units": Repeat("layers", each=Int(4, 128, default=8), default=[64, 32]),
        }
    )
    assert space.sample(np.random.default_rng(0), defaults=True) == {"layers": 3, "units": [64, 32, 8]}


def test_a_space_with_lists_survives_the_round_trip_through_a_dict():
    written = {
        "layers": {"int": [1, 3]},
        "kind": {"choice": ["mlp", "linear"]},
        "units": {
            "repeat": "layers",
            "each": {"choice": [(1, 2), "wide"]},
            "when": {"kind": "mlp"},
            "default": [(1, 2)],
        },
    }
    space = SearchSpace(written)
    assert SearchSpace(space.to_dict()) == space
    assert space.to_dict()["units"] == {
        "repeat": "layers",
        "each": {"choice": [{"tuple": [1, 2]}, "wide"]},
        "when": {"kind": "mlp"},
        "default": [{"tuple": [1, 2]}],
    }


def test_values_read_from_json_get_their_types_back():
    space = SearchSpace({"layers": Int(1, 3), "sizes": Repeat("layers", each=Choice([(1, 2), (3, 4)]))})
    assert space.restored({"layers": 1, "sizes": [[1, 2]]}) == {"layers": 1, "sizes": [(1, 2)]}


def test_population_based_training_mutates_the_values_of_a_list():
    space = SearchSpace({"layers": Int(2, 3), "rates": Repeat("layers", each=Float(0.0, 1.0))})
    config = {"layers": 3, "rates": [0.5, 0.5, 0.5]}
    decision = Decision(0, Action.RESUME, 3, 0.5, source=1)
    made = Pbt(resample=0).reconfigured(config, decision, space=space, rng=np.random.default_rng(0))
    assert made["layers"] == 3
    assert len(made["rates"]) == 3
    assert all(rate in (0.4, 0.6) for rate in made["rates"])


def test_a_longer_list_keeps_its_first_values():
    space = SearchSpace({"layers": Int(1, 9), "units": Repeat("layers", each=Int(1, 10**9))})
    config = {"layers": 4, "units": [1, 2, 3, 4]}
    rng = np.random.default_rng(0)
    moved = [made for made in (space.mutated(config, rng) for _ in range(60)) if made["layers"] > 4]
    assert moved
    assert all(made["units"][:4] == [1, 2, 3, 4] and len(made["units"]) == made["layers"] for made in moved)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"repeat": "layers"}, "units.each: must be given: the dimension of each value, as {int: [4, 128]}"),
        (
            {"repeat": "layer", "each": {"int": [1, 2]}},
            "units.repeat: unknown hyperparameter 'layer'; did you mean 'layers'?",
        ),
        (
            {"repeat": "lr", "each": {"int": [1, 2]}},
            "units.repeat: 'lr' must be a whole number from 0 to 64; it is a number in [0, 1]",
        ),
        (
            {"repeat": "layers", "each": {"int": [2, 1]}},
            "units.each: low must be below high, got low=2, high=1",
        ),
        ({"repeat": "layers", "each": 3}, "units.each: must be a dimension, as {int: [4, 128]}, got 3"),
        (
            {"repeat": "layers", "each": {"repeat": 2, "each": {"int": [1, 2]}}},
            "units.each: must not be a list itself: lists are not nested",
        ),
        (
            {"repeat": "layers", "each": {"int": [1, 2], "when": {"lr": 1}}},
            "units.each.when: is not possible here; write 'when' beside 'repeat'",
        ),
        (
            {"repeat": "layers", "each": {"choice": {"a": {"b": 1}}}},
            "units.each: must be a choice without groups: a list holds plain values",
        ),
        ({"repeat": 0, "each": {"int": [1, 2]}}, "units.repeat: a length must be from 1 to 64, got 0"),
        (
            {"repeat": "layers", "each": {"int": [1, 2]}, "default": [3]},
            "units.default: can never be [3]; it is a list of values; each is a whole number in [1, 2]",
        ),
        (
            {"repeat": "layers", "each": {"int": [1, 2]}, "log": True},
            "units: unknown key 'log'; must be one of default, each, repeat, when",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_a_wrong_list_is_refused(entry: dict[str, Any], sentence: str):
    assert refusal({"layers": {"int": [1, 3]}, "lr": {"float": [0, 1]}, "units": entry}) == sentence


def test_a_condition_on_a_list_is_refused():
    what = "x.when: cannot depend on 'units', which is a list; use the hyperparameter of its length"
    units = {"repeat": 2, "each": {"int": [1, 2]}}
    assert refusal({"units": units, "x": {"int": [1, 2], "when": {"units": 1}}}) == what


@pytest.mark.parametrize(
    ("constraint", "sentence"),
    [
        (
            "units <= 3",
            "'units <= 3' computes with 'units', which is a list; write sum(units), max(units), "
            "min(units) or units[0]",
        ),
        ("sum(layers) <= 3", "'sum(layers) <= 3' uses 'layers' as a list, but it is a single value"),
        (
            "units[layers] <= 3",
            "'units[layers] <= 3' must name a place of 'units' by a whole number, as units[0]",
        ),
        ("max(names) <= 3", "'max(names) <= 3' computes with 'names', whose values are not always numbers"),
    ],
)
def test_a_constraint_that_misuses_a_list_is_refused(constraint: str, sentence: str):
    entries = {
        "layers": {"int": [1, 3]},
        "units": {"repeat": "layers", "each": {"int": [1, 9]}},
        "names": {"repeat": "layers", "each": {"choice": ["a", "b"]}},
        "constraints": [constraint],
    }
    assert refusal(entries) == f"constraints: {sentence}"


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"layers": 1, "units": [64, 32]}, "units: must have at most 1 values at this point, got 2"),
        ({"units": [64, 32]}, "units: has 2 values; say what layers is, which gives its length"),
        ({"layers": 2, "units": 64}, "units: must be a list, got 64"),
        ({"layers": 2, "units": [64, 500]}, "units[1]: can never be 500; it is a whole number in [4, 128]"),
    ],
    ids=["too long", "no length", "no list", "value"],
)
def test_an_initial_point_with_a_wrong_list_is_refused(point: dict[str, Any], sentence: str):
    found = sweep_refusal(searcher={"kind": "random", "initial_points": [point]})
    assert found == f"searcher.initial_points.0.{sentence}"


def test_a_grid_names_a_list_without_a_finite_list_of_values_once():
    space = {"layers": {"int": [1, 3]}, "rates": {"repeat": "layers", "each": {"float": [0, 1]}}}
    what = "space.rates: a grid needs 'points' (the number of values) or 'step'"
    assert sweep_refusal(space=space, searcher="grid", budget={"iterations": 9}) == what


def test_the_page_shows_each_place_of_a_list(tmp_path: Path):
    sweep = {
        "name": "lists",
        "space": {"layers": {"int": [1, 3]}, "units": {"repeat": "layers", "each": {"int": [4, 128]}}},
        "objective": {"metric": "loss", "mode": "min"},
    }
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep=sweep, version="0")
    for trial, units in enumerate(([64], [32, 16])):
        config = {"layers": len(units), "units": units}
        put(journal, "suggested", trial, config=config, seed=1)
        put(journal, "result", trial, iteration=1, value=float(trial), metrics={}, seconds=1.0)
        put(journal, "ended", trial, state="completed")
    page = page_data(Report.read(tmp_path))
    assert [dimension.name for dimension in page.dimensions] == ["layers", "units[0]", "units[1]"]
    assert [trial.places for trial in page.trials] == [(1, 64, None), (2, 32, 16)]
    assert page.constants == {}
    assert Report.read(tmp_path).rows()[1]["config.units"] == [32, 16]
