"""``Architecture``: texts of layers and the decisions that produce them."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner import Architecture, Grid, HyperOpt, Optuna, SearchSpace, Sobol, Sweep
from tuner.errors import SpecError

DENSE: dict[str, dict[str, Sequence[str | float]]] = {
    "dense": {"width": [8, 16], "activation": ["relu", "tanh"]}
}
SMALL = Architecture(DENSE, layers=(1, 2), skip=True)

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True).filter(lambda name: name != "skip")
values = st.one_of(
    st.integers(-99, 99),
    st.floats(-9, 9, allow_nan=False),
    st.from_regex(r"[a-z][a-z.,|-]{0,4}", fullmatch=True),
)
kinds = st.dictionaries(
    names,
    st.dictionaries(names, st.lists(values, min_size=1, max_size=3, unique_by=str), max_size=3),
    min_size=1,
    max_size=3,
)


@st.composite
def architectures(draw):
    low = draw(st.integers(1, 3))
    return Architecture(draw(kinds), layers=(low, low + draw(st.integers(0, 2))), skip=draw(st.booleans()))


@given(architectures(), st.integers(0, 2**32 - 1))
def test_a_text_and_its_tokens_convert_into_each_other(dimension, seed):
    text = dimension.sample(np.random.default_rng(seed))
    tokens = dimension.tokens(text)
    assert dimension.contains(text)
    assert dimension.text(tokens) == text
    assert dimension.tokens(dimension.text(tokens)) == tokens


@given(architectures(), st.integers(0, 2**32 - 1))
def test_an_architecture_dimension_survives_a_sweep_file(dimension, seed):
    space = SearchSpace({"architecture": dimension})
    again = SearchSpace(json.loads(json.dumps(space.to_dict())))
    assert again == space
    assert again.contains(space.sample(np.random.default_rng(seed)))


@given(architectures(), st.integers(0, 2**32 - 1))
def test_a_neighbour_differs_and_lies_in_the_space(dimension, seed):
    rng = np.random.default_rng(seed)
    text = dimension.sample(rng)
    near = dimension.neighbour(text, rng)
    assert dimension.contains(near)
    assert (near == text) is (dimension.size == 1)


@given(architectures(), st.integers(0, 2**32 - 1))
def test_every_token_is_in_the_vocabulary(dimension, seed):
    known = {step.name: step.options for step in dimension.vocabulary()}
    asked = []
    rng = np.random.default_rng(seed)

    def choose(step):
        asked.append(step)
        return int(rng.integers(len(step.options)))

    dimension.build(choose)
    assert {step.name: step.options for step in asked}.items() <= known.items()
    assert all(step.options for step in asked)


@given(architectures())
def test_extreme_architectures_cover_every_value_of_every_field(dimension):
    extremes = dimension.extremes()
    assert all(map(dimension.contains, extremes))
    words = {(text.split(" ")[0], word) for text in extremes for word in text.split("; ")[0].split(" ")[1:]}
    assert words == {
        (kind, f"{name}={value}")
        for kind, own in dimension.kinds.items()
        for name, values in own.items()
        for value in values
    }


def test_a_grid_holds_every_architecture_once():
    # 4 single layers; two layers, the second with or without the input as a skip.
    assert SMALL.size == 4 + 4 * 4 * 2
    found = SMALL.values()
    assert len(set(found)) == len(found) == SMALL.size
    assert all(map(SMALL.contains, found))
    assert found[0] == "dense width=8 activation=relu"
    assert found[-1] == "dense width=16 activation=tanh; dense width=16 activation=tanh skip=0"


def test_a_large_space_has_a_size_but_no_grid():
    dimension = Architecture(DENSE, layers=(1, 8), skip=True)
    with pytest.raises(SpecError, match="the grid must have at most 1000000 configurations"):
        dimension.values()
    assert dimension.size == sum(4**n * 2 ** (n * (n - 1) // 2) for n in range(1, 9))


def test_single_decision_neighbours_reach_the_whole_space():
    rng = np.random.default_rng(0)
    text, seen = SMALL.values()[0], set()
    for _ in range(2000):
        text = SMALL.neighbour(text, rng)
        seen.add(text)
    assert seen == set(SMALL.values())


def test_removing_a_layer_keeps_the_targets_of_the_other_skips():
    dimension = Architecture({"a": {}, "b": {}}, layers=(3, 4), skip=True)
    rng = np.random.default_rng(0)
    near = {dimension.neighbour("a; b; a skip=0; b skip=1,2", rng) for _ in range(500)}
    assert {text for text in near if text.count(";") == 2} == {
        "b; a skip=0; b skip=1",
        "a; a skip=0; b skip=1",
        "a; b; b skip=1",  # layer 2 is now the previous layer, whose output it gets anyway
        "a; b; a skip=0",
    }


def test_all_numbers_of_layers_are_equally_likely():
    """600 draws with one or two layers, 300 of each expected. A deviation above 80 has odds below 1e-10."""
    rng = np.random.default_rng(0)
    single = sum(";" not in SMALL.sample(rng) for _ in range(600))
    assert abs(single - 300) < 80


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dense",
        "dense width=8",
        "dense width=8 activation=selu",
        "dense activation=relu width=8",
        "dense  width=8 activation=relu",
        "dense width=8 activation=relu;dense width=8 activation=relu",
        "dense width=8 activation=relu; ",
        "dense width=8 activation=relu skip=0",
        "dense width=8 activation=relu; dense width=8 activation=relu skip=1",
        "dense width=8 activation=relu; dense width=8 activation=relu skip=",
        "dense width=8 activation=relu; dense width=8 activation=relu skip=x",
        "dense width=8 activation=relu; dense width=8 activation=relu; dense width=8 activation=relu",
        "conv width=8 activation=relu",
        "dense width=8 activation=relu p=1",
        8,
        None,
    ],
)
def test_other_texts_are_outside_the_space(text):
    assert not SMALL.contains(text)


@pytest.mark.parametrize(
    "tokens", [[], [0], [0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, -1, 0]], ids=str
)
def test_tokens_that_form_no_architecture_are_refused(tokens):
    with pytest.raises(ValueError, match=r"has no option|tokens are left|the tokens end at"):
        SMALL.text(tokens)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"architecture": []},
            "x.architecture: must be a mapping of kinds of layers to their fields, got []",
        ),
        (
            {"architecture": {}},
            "x.architecture: must be a mapping of kinds of layers to their fields, got {}",
        ),
        (
            {"architecture": {"a b": {}}},
            "x.architecture.a b: a kind of layer must be a name of letters, digits and '_', "
            "got the text 'a b'",
        ),
        (
            {"architecture": {"dense": [1]}},
            "x.architecture.dense: must be a mapping of fields to their values, got [1]",
        ),
        (
            {"architecture": {"dense": {"width": 8}}},
            "x.architecture.dense.width: must be a list of values, got 8",
        ),
        (
            {"architecture": {"dense": {"width": []}}},
            "x.architecture.dense.width: must be a list of values, got []",
        ),
        (
            {"architecture": {"dense": {"width": [8, "8"]}}},
            "x.architecture.dense.width: duplicate value 8",
        ),
        (
            {"architecture": {"dense": {"bias": [True]}}},
            "x.architecture.dense.bias: a value must be a number or a text without spaces, ';' and '=', "
            "got true",
        ),
        (
            {"architecture": {"dense": {"skip": [0]}}},
            "x.architecture.dense.skip: must not be a field; write 'skip: true' next to 'architecture'",
        ),
        (
            {"architecture": DENSE, "layers": [0, 2]},
            "x.layers: must be [fewest, most], two whole numbers with 1 <= fewest <= most, got [0, 2]",
        ),
        (
            {"architecture": DENSE, "layers": 3},
            "x.layers: must be [fewest, most], two whole numbers with 1 <= fewest <= most, got 3",
        ),
        (
            {"architecture": DENSE, "default": "dense"},
            "x.default: can never be 'dense'; it is an architecture with this dimension's kinds, fields "
            "and values",
        ),
        ({"architecture": DENSE, "skip": 1}, "x.skip: must be true or false, got 1"),
        ({"architecture": DENSE, "skips": True}, "x: unknown key 'skips'; did you mean 'skip'?"),
    ],
)
def test_an_invalid_architecture_entry_is_refused_with_what_must_hold(entry, problem):
    with pytest.raises(SpecError) as caught:
        SearchSpace({"x": entry})
    assert str(caught.value) == problem


@pytest.mark.parametrize("searcher", [Optuna(), HyperOpt(), Sobol()], ids=lambda searcher: searcher.kind)
def test_a_searcher_without_architectures_is_refused_before_the_sweep(searcher):
    with pytest.raises(
        SpecError, match=r"^searcher: cannot search the architecture 'architecture'; random, ev"
    ):
        Sweep(
            trainable="nas_mlp",
            space={"architecture": SMALL},
            objective={"metric": "val_accuracy", "mode": "max"},
            budget={"trials": 4, "iterations": 3},
            searcher=searcher,
        )


def test_a_grid_multiplies_architectures_by_the_other_dimensions():
    space = SearchSpace({"architecture": SMALL, "batch_size": {"choice": [16, 32]}})
    assert Grid().size(space) == 2 * SMALL.size
