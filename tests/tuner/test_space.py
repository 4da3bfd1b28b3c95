"""``Float``, ``Int``, ``Choice`` and ``SearchSpace``: membership, draws and grids."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner import Choice, Float, Int, Ordinal, SearchSpace
from tuner.errors import SpecError

SIZES = st.integers(0, 40)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    low = draw(st.floats(-1e6, 1e6, allow_subnormal=False))
    match draw(st.sampled_from(["plain", "log", "step", "prior"])):
        case "prior":
            low = draw(st.floats(1e-9, 1e3))
            high = low * draw(st.floats(1.001, 1e6))
            default = draw(st.sampled_from([low, high, (low + high) / 2]))
            return Float(low, high, log=draw(st.booleans()), default=default, prior="normal", points=3)
        case "log":
            low = draw(st.floats(1e-9, 1e3))
            return Float(low, low * draw(st.floats(1.001, 1e6)), log=True, points=draw(st.integers(2, 5)))
        case "step":
            step, count = draw(st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 2.0])), draw(st.integers(1, 9))
            low, points = draw(st.sampled_from([-1.0, 0.0, 0.1, 5.0])), draw(st.sampled_from([None, 2, 4]))
            return Float(low, low + step * count, step=step, points=points)
        case _:
            return Float(low, low + draw(st.floats(1e-3, 1e6)), points=draw(st.integers(2, 5)))


@st.composite
def ints(draw: st.DrawFn) -> Int:
    match draw(st.sampled_from(["plain", "log", "step", "points", "prior"])):
        case "prior":
            low = draw(st.integers(-50, 50))
            high = low + draw(st.integers(1, 9))
            return Int(low, high, default=draw(st.integers(low, high)), prior="normal")
        case "log":
            low = draw(st.integers(1, 1000))
            return Int(low, low + draw(st.integers(1, 1000)), log=True, points=draw(st.integers(2, 5)))
        case "step":
            low, step = draw(st.integers(-50, 50)), draw(st.integers(1, 7))
            return Int(low, low + step * draw(st.integers(1, 9)), step=step)
        case "points":
            low, step = draw(st.integers(-50, 50)), draw(st.integers(1, 7))
            return Int(low, low + step * draw(st.integers(1, 50)), step=step, points=draw(st.integers(2, 5)))
        case _:
            low = draw(st.integers(-50, 50))
            return Int(low, low + draw(st.integers(1, 5)))


VALUES = ["a", "b", 0, 1, True, False, None, 0.5, (1, 2), "1"]
CHOICES = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique_by=repr).map(Choice)
ORDINALS = st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique_by=repr).map(tuple).map(Ordinal)
DIMENSIONS = floats() | ints() | CHOICES | ORDINALS


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Draw up to two dimensions, a constant, and conditions, a range or groups, in any order."""
    entries: dict[str, Any] = {f"d{i}": draw(DIMENSIONS) for i in range(draw(st.integers(0, 2)))}
    entries["constant"] = draw(st.sampled_from([1, "text", None, [1, 2], 0.5]))
    match draw(st.sampled_from(["conditions", "range", "groups"])):
        case "conditions":
            parent = draw(st.lists(st.sampled_from(["x", "y", "z"]), min_size=2, max_size=3, unique=True))
            entries["parent"] = Choice(parent)
            entries["child"] = Choice([1, 2], when={"parent": draw(st.sampled_from([parent[0], parent[:2]]))})
            if draw(st.booleans()):
                entries["grandchild"] = Int(1, 3, when={"child": 2, "parent": parent[0]})
        case "range":
            entries["size"] = Int(1, 5)
            entries["sized"] = Choice(["a", "b"], when={"size": {"min": 2, "max": 4}})
            entries["constraints"] = draw(st.sampled_from([[], ["size != 4 or sized == 'a'"]]))
        case "groups":
            inner = Choice({"p": {"depth": Int(1, 2)}, "q": {"depth": 7, "width": Int(1, 2)}})
            entries["group"] = Choice(
                {"one": {"rate": Int(1, 2), "inner": inner}, "two": {"rate": Int(5, 6)}}
            )
            entries["constraints"] = draw(st.sampled_from([[], ["rate != 5", "depth * width <= 7"]]))
    return SearchSpace(dict(draw(st.permutations(list(entries.items())))))


@given(space=spaces(), seed=SEEDS)
def test_every_sample_is_in_the_space(space: SearchSpace, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    assert space.contains(config)
    assert list(config) == [name for name in space.names if name in config]


@given(dimension=DIMENSIONS, seed=SEEDS)
def test_a_dimension_contains_its_own_draws_and_grid(dimension: Any, seed: int) -> None:
    drawn = dimension.sample(np.random.default_rng(seed))
    assert all(dimension.contains(value) for value in [drawn, *dimension.values()])


@given(dimension=DIMENSIONS, seed=SEEDS)
def test_a_neighbour_is_another_value_of_the_dimension(dimension: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    value = dimension.sample(rng)
    neighbour = dimension.neighbour(value, rng)
    assert dimension.contains(neighbour)
    assert repr(neighbour) != repr(value) or len(dimension.values()) == 1


@pytest.mark.parametrize("kind", [Choice, Ordinal])
def test_a_mutation_distinguishes_one_from_true(kind: Any) -> None:
    space = SearchSpace({"x": kind([1, True])})
    rng = np.random.default_rng(0)
    assert all(space.mutated({"x": 1}, rng)["x"] is True for _ in range(20))


@given(space=spaces(), seed=SEEDS)
def test_a_mutated_configuration_is_in_the_space_and_differs(space: SearchSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    config = space.sample(rng)
    mutated = space.mutated(config, rng)
    assert space.contains(mutated)
    assert json.dumps(mutated) != json.dumps(config)


def test_a_mutation_moves_one_dimension_and_repairs_its_children() -> None:
    space = SearchSpace(
        {"optimizer": Choice(["sgd", "adam"]), "momentum": Float(0, 1, when={"optimizer": "sgd"})}
    )
    rng = np.random.default_rng(0)
    before = {"optimizer": "sgd", "momentum": 0.5}
    mutations = [space.mutated(before, rng) for _ in range(50)]
    assert {"optimizer": "adam"} in mutations
    kept = [mutated for mutated in mutations if mutated != {"optimizer": "adam"}]
    assert all(set(mutated) == set(before) and mutated["momentum"] != 0.5 for mutated in kept)


@given(space=spaces())
def test_a_grid_holds_no_duplicates_and_nothing_outside_the_space(space: SearchSpace) -> None:
    grid = space.grid()
    assert all(space.contains(config) for config in grid)
    assert len({repr(config) for config in grid}) == len(grid)


@given(space=spaces())
def test_a_space_survives_the_round_trip_through_a_dict(space: SearchSpace) -> None:
    again = SearchSpace(space.to_dict())
    assert again == space
    assert hash(again) == hash(space)
    assert again.dimensions == space.dimensions
    assert again.constants == space.constants


@given(space=spaces(), seed=SEEDS)
def test_completing_a_sample_changes_nothing(space: SearchSpace, seed: int) -> None:
    config = space.sample(np.random.default_rng(seed))
    assert space.complete(space.by_key(config)) == config


@given(dimension=floats() | ints())
def test_a_range_contains_both_its_ends_and_nothing_beyond(dimension: Any) -> None:
    assert dimension.contains(dimension.low)
    assert dimension.contains(dimension.high)
    assert not dimension.contains(math.nextafter(dimension.low, -math.inf))
    assert not dimension.contains(math.nextafter(dimension.high, math.inf))


@given(dimension=floats() | ints())
def test_a_grid_starts_and_ends_at_the_ends_of_a_range(dimension: Any) -> None:
    values = dimension.values()
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (pytest.approx(dimension.low), pytest.approx(dimension.high))


# 400 draws miss a given value below with a chance of less than 4 * (1 - 0.07)**400 < 1e-11.
@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (Int(-1, 2), {-1, 0, 1, 2}),
        (Int(1, 4, log=True), {1, 2, 3, 4}),
        (Int(2, 10, step=4), {2, 6, 10}),
        (Float(0.0, 0.5, step=0.25), {0.0, 0.25, 0.5}),
        (Choice(["a", "b"]), {"a", "b"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_of_a_small_dimension_is_drawn(dimension: Any, values: set[Any]) -> None:
    rng = np.random.default_rng(0)
    assert {dimension.sample(rng) for _ in range(400)} == values


def test_the_ends_of_a_log_int_have_their_share_of_the_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([Int(1, 8, log=True).sample(rng) for _ in range(4000)])
    # The share of value v is log((v + 0.5) / (v - 0.5)) / log(8.5 / 0.5). Standard errors are below 0.008,
    # so that 0.04 is exceeded by chance for fewer than one of a million seeds.
    for value in (1, 8):
        share = math.log((value + 0.5) / (value - 0.5)) / math.log(17)
        assert np.mean(drawn == value) == pytest.approx(share, abs=0.04)


def test_a_float_on_the_log_scale_is_uniform_in_its_logarithm() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([Float(1e-4, 1.0, log=True).sample(rng) for _ in range(4000)])
    # Half of the draws are below 1e-2. The standard error is 0.008; a deviation of five standard errors
    # occurs once in 1.7 million runs.
    assert np.mean(drawn < 1e-2) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(
    ("dimension", "values"),
    [
        (Float(0, 1, points=3), [0.0, 0.5, 1.0]),
        (Float(1e-4, 1.0, log=True, points=3), [1e-4, 1e-2, 1.0]),
        (Float(0.0, 0.3, step=0.1), [0.0, 0.1, 0.2, 0.3]),
        (Int(1, 4), [1, 2, 3, 4]),
        (Int(16, 256, log=True, points=5), [16, 32, 64, 128, 256]),
        (Int(1, 3, points=10), [1, 2, 3]),
        (Int(0, 12, step=4), [0, 4, 8, 12]),
        (Int(0, 12, step=4, points=2), [0, 12]),
        (Float(0.0, 1.0, step=0.25, points=4), [0.0, 0.25, 0.75, 1.0]),
        (Float(0.0, 1.0, step=0.5, points=9), [0.0, 0.5, 1.0]),
        (Choice([1, True, "1"]), [1, True, "1"]),
    ],
    ids=repr,
)
def test_a_grid_holds_the_requested_values(dimension: Any, values: list[Any]) -> None:
    assert [type(value) for value in dimension.values()] == [type(value) for value in values]
    assert [float(value) for value in dimension.values()] == pytest.approx([float(value) for value in values])


def test_a_grid_changes_its_last_dimension_fastest_and_keeps_constants() -> None:
    space = SearchSpace({"a": Choice([1, 2]), "fixed": "yes", "b": Choice([3, 4])})
    assert space.grid() == [
        {"a": 1, "fixed": "yes", "b": 3},
        {"a": 1, "fixed": "yes", "b": 4},
        {"a": 2, "fixed": "yes", "b": 3},
        {"a": 2, "fixed": "yes", "b": 4},
    ]


def test_a_grid_counts_each_branch_of_a_condition_once() -> None:
    space = SearchSpace(
        {
            "momentum": Choice([0.0, 0.9], when={"optimizer": "sgd"}),
            "optimizer": Choice(["sgd", "adam"]),
            "beta": Choice([0.8, 0.9, 0.99], when={"optimizer": "adam"}),
        }
    )
    assert space.grid() == [
        {"momentum": 0.0, "optimizer": "sgd"},
        {"momentum": 0.9, "optimizer": "sgd"},
        {"optimizer": "adam", "beta": 0.8},
        {"optimizer": "adam", "beta": 0.9},
        {"optimizer": "adam", "beta": 0.99},
    ]


def test_a_grid_over_a_continuous_dimension_names_every_one_that_lacks_points() -> None:
    space = SearchSpace({"lr": Float(0.1, 1), "depth": Int(1, 2), "dropout": Float(0, 0.5)})
    with pytest.raises(SpecError) as refusal:
        space.grid()
    need = "a grid needs 'points' (the number of values) or 'step'"
    assert str(refusal.value) == f"lr: {need}\ndropout: {need}"


@pytest.mark.parametrize(
    "entries",
    [{"a": Int(1, 10**9)}, {"a": Int(1, 2000), "b": Int(1, 2000)}, {"a": Float(0, 1e9, step=0.5)}],
    ids=["one", "two", "float"],
)
def test_a_grid_of_more_than_a_million_is_refused_before_it_is_built(entries: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="the grid must have at most 1000000 configurations, got "):
        SearchSpace(entries).grid()


CONDITIONAL = SearchSpace(
    {
        "optimizer": Choice(["sgd", "nesterov", "adam"]),
        "momentum": Float(0.0, 0.99, when={"optimizer": ["sgd", "nesterov"]}),
        "damped": Choice([True, False], when={"optimizer": "sgd", "momentum": 0.5}),
        "batch_size": 64,
    }
)


@pytest.mark.parametrize(
    ("chosen", "config"),
    [
        ({"optimizer": "adam", "momentum": 0.5, "damped": True}, {"optimizer": "adam", "batch_size": 64}),
        (
            {"damped": True, "momentum": 0.25, "optimizer": "sgd"},
            {"optimizer": "sgd", "momentum": 0.25, "batch_size": 64},
        ),
        (
            {"damped": True, "momentum": 0.5, "optimizer": "sgd"},
            {"optimizer": "sgd", "momentum": 0.5, "damped": True, "batch_size": 64},
        ),
        (
            {"damped": True, "momentum": 0.5, "optimizer": "nesterov"},
            {"optimizer": "nesterov", "momentum": 0.5, "batch_size": 64},
        ),
    ],
    ids=["no branch", "one level", "two levels", "one parent of two"],
)
def test_completing_drops_inactive_values_and_adds_constants(
    chosen: dict[str, Any], config: dict[str, Any]
) -> None:
    completed = CONDITIONAL.complete(chosen)
    assert completed == config
    assert list(completed) == list(config)
    assert CONDITIONAL.contains(completed)


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "adam"},
        {"optimizer": "adam", "batch_size": 32},
        {"optimizer": "adam", "momentum": 0.5, "batch_size": 64},
        {"optimizer": "nesterov", "batch_size": 64},
        {"optimizer": "nesterov", "momentum": 1.5, "batch_size": 64},
        {"optimizer": "lion", "batch_size": 64},
        {"optimizer": "adam", "batch_size": 64, "other": 1},
        {"optimizer": "adam", "batch_size": True},
        {},
    ],
    ids=repr,
)
def test_a_space_does_not_contain_incomplete_or_foreign_configurations(config: dict[str, Any]) -> None:
    assert not CONDITIONAL.contains(config)


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Float(0, 1), True),
        (Float(0, 1), "0.5"),
        (Float(0, 1), math.nan),
        (Float(0, 1, step=0.5), 0.3),
        (Int(0, 4), 2.0),
        (Int(0, 4), True),
        (Int(0, 4, step=2), 3),
        (Choice([1, 2]), True),
        (Choice([True, False]), 1),
        (Choice(["1"]), 1),
        (Choice([[1, 2]]), [1, 3]),
    ],
    ids=repr,
)
def test_a_dimension_does_not_contain_values_of_another_kind(dimension: Any, value: Any) -> None:
    assert not dimension.contains(value)


def test_an_integer_and_an_equal_float_are_the_same_option() -> None:
    assert Choice([1, 2]).contains(1.0)


def test_a_choice_distinguishes_one_from_true() -> None:
    choice = Choice([1, True, "1"])
    assert [choice.index(value) for value in (True, "1", 1)] == [1, 2, 0]


def test_parents_come_before_their_children() -> None:
    space = SearchSpace(
        {
            "c": Int(1, 2, when={"b": 1}),
            "b": Int(1, 2, when={"a": 1}),
            "a": Int(1, 2),
        }
    )
    assert [name for name, _ in space.ordered()] == ["a", "b", "c"]
    assert space.names == ["c", "b", "a"]
    assert space.conditional


def test_a_constant_decides_the_conditions_on_it() -> None:
    space = SearchSpace({"optimizer": "sgd", "momentum": Float(0, 1, when={"optimizer": "sgd"})})
    assert set(space.sample(np.random.default_rng(0))) == {"optimizer", "momentum"}


def test_a_space_without_dimensions_has_one_configuration() -> None:
    assert SearchSpace({"lr": 0.1}).grid() == [{"lr": 0.1}]


def test_the_dict_of_a_dimension_omits_defaults() -> None:
    space = SearchSpace(
        {"a": Float(0, 1), "b": Int(1, 2), "c": Choice(["x"]), "d": Int(2, 6, step=2, points=2)}
    )
    assert space.to_dict() == {
        "a": {"float": [0, 1]},
        "b": {"int": [1, 2]},
        "c": {"choice": ["x"]},
        "d": {"int": [2, 6], "step": 2, "points": 2},
    }


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({7: Int(1, 2)}, "a hyperparameter's name must be text, got 7"),
        ({"x": {1, 2}}, "x: a constant must be a value that JSON can write, got {1, 2}"),
        ({"x": math.inf}, "x: a constant must be a value that JSON can write, got inf"),
        (
            {"x": {"log": True}},
            "x: must say one of float, int, choice, ordinal, architecture and repeat, got {'log': True}",
        ),
        ({"x": {}}, "x: must say one of float, int, choice, ordinal, architecture and repeat, got {}"),
        (
            {"x": {"mean": 0, "log": True}},
            "x: unknown key 'mean'; must say one of float, int, choice, ordinal, architecture and repeat",
        ),
        (
            {"x": {"choice": [{1, 2}]}},
            "x: each value of a choice must be one that JSON can write, got {1, 2}",
        ),
        ({"x": {"choice": [1, 1.0]}}, "x: duplicate value 1.0 among the choices"),
        ({"x": {"float": [0, 1], "low": 2}}, "x: unknown key 'low'; did you mean 'log'?"),
        ({"x": {"float": [True, 2]}}, "x: low must be a number, got true"),
        ({"x": {"int": [0, 1], "when": "y"}}, "x: when must be a mapping of parents to values, "
         "got the text 'y'"),
        ({"x": {"float": [-1e308, 1e308]}}, "x: high must be less than 1.8e308 above low, got low=-1e+308, "
         "high=1e+308"),
        ({"x": {"int": [0, 10**309]}}, "x: high must be finite, got a whole number of 1027 bits"),
        ({"x": Int(0, 1, when={"y": {"min": 10**309}}), "y": 3}, "x.when: min must be a number, "
         f"got {10**309}"),
        ({"x": 10**309}, f"x: a constant must be a value that JSON can write, got {10**309}"),
        ({"x": {"float": [0, 1], "log": 1}}, "x: log must be true or false, got 1"),
        ({"x": {"float": [0, 1], "points": 2.0}}, "x: points must be a whole number, at least 2, got 2.0"),
        ({"x": {"float": [0, 1], "points": 10**7}}, "x: points must be at most 1000000, got 10000000"),
        (
            {"x": Int(0, 3, when={"y": 0.7}), "y": Float(0, 1, step=0.5)},
            "x.when: 'y' can never be 0.7; it is a number in [0, 1] in steps of 0.5",
        ),
        (
            {"x": Int(0, 3, when={"y": [True, "a"]}), "y": Choice([1, False])},
            "x.when: 'y' can never be true; it is one of 1, false\n"
            "x.when: 'y' can never be 'a'; it is one of 1, false",
        ),
        ({"x": Int(0, 3, when={"y": "b"}), "y": "a"}, "x.when: 'y' can never be 'b'; it is 'a'"),
        ({"x": Int(0, 3, when={"y": []}), "y": "a"}, "x.when: 'y' needs at least one value, got []"),
        ({"x": Int(0, 3, when={"x": 1})}, "x.when: 'x' cannot depend on itself"),
        (
            {"a": Int(0, 3, when={"c": 1}), "b": Int(0, 3, when={"a": 1}), "c": Int(0, 3, when={"b": 1})},
            "conditions form a cycle: a -> c -> b -> a",
        ),
    ],
    ids=lambda value: value[:80] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_space_is_refused(entries: dict[Any, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        SearchSpace(entries)
    assert str(refusal.value) == sentence


def test_a_faulty_parent_causes_no_error_about_its_child() -> None:
    with pytest.raises(SpecError) as refusal:
        SearchSpace(
            {"optimizer": {"choice": []}, "momentum": {"float": [0, 1], "when": {"optimizer": "sgd"}}}
        )
    assert str(refusal.value) == "optimizer: a choice needs at least one value"


def test_a_dimension_built_in_python_is_checked_at_once() -> None:
    with pytest.raises(SpecError) as refusal:
        Float(1, 0, log=True, points=1)
    assert str(refusal.value) == "points must be a whole number, at least 2, got 1"
    with pytest.raises(SpecError) as refusal:
        Float(0, -1, log=True)
    assert str(refusal.value) == (
        "low must be below high, got low=0, high=-1\nlow must be above 0 if log is true, got low=0"
    )
