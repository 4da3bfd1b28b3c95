"""A dimension outside the search space is refused; a dictionary of values is a constant."""

import pytest

from tuner import Sweep
from tuner.errors import SpecError
from tuner.space import Int, SearchSpace

OWN = "write it as a separate hyperparameter, or list whole values with {choice: [...]}"
GROUP = (
    "give each option a group, as {choice: {name: {hyperparameter: {int: [1, 3]}}}}, "
    "or write a hyperparameter with 'when'"
)
ONE_OF = "must say one of float, int, choice, ordinal, architecture and repeat"


def refused(where, instead, got):
    return f"{where}: looks like a dimension, but nothing is searched here; {instead}, got {got}"


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"layers": [{"int": [16, 64]}]}, refused("layers.0", OWN, '{"int": [16, 64]}')),
        ({"a": {"b": {"c": {"int": [1, 3]}}}}, refused("a.b.c", OWN, '{"int": [1, 3]}')),
        ({"a": ({"log": True, "float": [1, 3]},)}, refused("a.0", OWN, '{"log": true, "float": [1, 3]}')),
        ({"a": [Int(1, 3)]}, refused("a.0", OWN, '{"int": [1, 3]}')),
        ({"a": {"choice": [{"int": [1, 3]}, 4]}}, refused("a.choice.0", GROUP, '{"int": [1, 3]}')),
        ({"a": {"ordinal": [[{"int": [1, 3]}]]}}, refused("a.ordinal.0.0", GROUP, '{"int": [1, 3]}')),
        (
            {"a": {"choice": {"b": {"c": [{"int": [1, 3]}]}}}},
            refused("a.b.c.0", OWN, '{"int": [1, 3]}'),
        ),
        (
            {"a": {"choice": {"b": {"float": [0, 1]}}}},
            "a.choice.b: a group must be a mapping of hyperparameters, as {name: {int: [1, 3]}}, "
            'got {"float": [0, 1]}',
        ),
        (
            {"float": [0, 1], "log": True},
            'must be a mapping of hyperparameters, as {name: {"float": [0, 1], "log": true}}, '
            "got a dimension",
        ),
        (
            {"a": {"min": 0, "max": 1}},
            f'a: {ONE_OF}, got {{"min": 0, "max": 1}}; write {{int: [0, 1]}}, '
            'or {choice: [{"min": 0, "max": 1}]} for a constant',
        ),
        (
            {"a": {"grid_search": [1, 2]}},
            f'a: {ONE_OF}, got {{"grid_search": [1, 2]}}; write {{choice: [1, 2]}}',
        ),
        ({"a": {"flaot": [1, 2], "log": True}}, "a: unknown key 'flaot'; did you mean 'float'?"),
    ],
)
def test_a_dimension_in_a_place_without_search_is_refused(space, sentence):
    with pytest.raises(SpecError) as refusal:
        SearchSpace(space)
    assert str(refusal.value) == sentence


def test_a_dimension_among_the_options_of_a_choice_object_is_refused():
    with pytest.raises(SpecError, match="the options of a choice are values, not dimensions; use groups"):
        SearchSpace({"a": {"choice": [Int(1, 3), Int(4, 6)]}})


@pytest.mark.parametrize(
    "constant",
    [
        {"eps": 1e-8},
        {"betas": [0.9, 0.999], "amsgrad": True, "inner": {"foreach": None}},
        {"step": 10, "gamma": 0.1},
        {"mean": 0},
        {"dtype": {"float": 32}},
    ],
)
def test_a_dictionary_of_values_is_a_constant(constant):
    space = SearchSpace({"args": constant, "lr": {"float": [0, 1]}})
    assert space.constants == {"args": constant}
    assert list(space.dimensions) == ["lr"]
    assert SearchSpace(space.to_dict()) == space


def test_a_constant_that_looks_like_a_dimension_can_be_written_as_a_choice_of_one():
    space = SearchSpace({"clip": {"choice": [{"min": 0, "max": 1}]}})
    assert space.dimensions["clip"].values() == [{"min": 0, "max": 1}]


@pytest.mark.parametrize(
    ("settings", "where"),
    [({"units": {"int": [1, 3]}}, "units"), ({"a": [{"b": {"int": [1, 3]}}]}, "a.0.b")],
)
def test_a_dimension_in_the_trainable_settings_is_refused(settings, where):
    with pytest.raises(SpecError) as refusal:
        Sweep(
            trainable={"kind": "train.py:train", **settings},
            space={"lr": {"float": [0, 1]}},
            objective={"metric": "loss", "mode": "min"},
            budget={"trials": 2},
        )
    instead = "write a hyperparameter under 'space'"
    assert str(refusal.value) == refused(f"trainable.{where}", instead, '{"int": [1, 3]}')


def test_a_dimension_in_logger_settings_is_refused():
    with pytest.raises(SpecError, match=r"loggers\.0\.experiment_name: looks like a dimension, but nothing"):
        Sweep(
            trainable={"kind": "mlp", "dataset": "iris"},
            space={"lr": {"float": [0.1, 1]}},
            objective={"metric": "val_loss", "mode": "min"},
            budget={"trials": 2, "iterations": 1},
            loggers=[{"kind": "mlflow", "experiment_name": {"choice": ["a", "b"]}}],
        ).check()
