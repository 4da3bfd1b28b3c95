"""Groups, range conditions, constraints, priors and encodings of a ``SearchSpace``."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner import Choice, Float, Int, Ordinal, SearchSpace
from tuner.errors import SpecError
from tuner.space import Encoding
from tuner.space.conditions import Constant
from tuner.space.constraints import Constraint

OPTIMIZER = SearchSpace(
    {
        "depth": {"int": [1, 3]},
        "optimizer": {
            "choice": {
                "sgd": {
                    "lr": {"float": [0.01, 1.0], "log": True, "points": 2},
                    "momentum": {
                        "choice": {"none": None, "plain": {"rate": {"float": [0, 0.9], "points": 2}}}
                    },
                    "decoupled": False,
                },
                "adam": {
                    "lr": {"float": [1e-5, 1e-3], "log": True, "points": 2},
                    "beta": {"choice": [0.9, 0.99]},
                },
            }
        },
    }
)


def refusal(entries: dict[str, Any]) -> str:
    with pytest.raises(SpecError) as error:
        SearchSpace(entries)
    return str(error.value)


def test_groups_may_give_one_name_different_ranges() -> None:
    rng = np.random.default_rng(0)
    drawn = [OPTIMIZER.sample(rng) for _ in range(60)]
    assert {tuple(config) for config in drawn} == {
        ("depth", "optimizer", "lr", "momentum", "decoupled"),
        ("depth", "optimizer", "lr", "momentum", "rate", "decoupled"),
        ("depth", "optimizer", "lr", "beta"),
    }
    assert all((config["lr"] >= 0.01) is (config["optimizer"] == "sgd") for config in drawn)
    assert all(config["decoupled"] is False for config in drawn if config["optimizer"] == "sgd")


def test_dimensions_in_groups_are_named_by_their_path() -> None:
    assert list(OPTIMIZER.dimensions) == [
        "depth",
        "optimizer",
        "optimizer.sgd.lr",
        "optimizer.sgd.momentum",
        "optimizer.sgd.momentum.plain.rate",
        "optimizer.adam.lr",
        "optimizer.adam.beta",
    ]
    assert OPTIMIZER.name("optimizer.sgd.momentum.plain.rate") == "rate"
    config = {"depth": 1, "optimizer": "adam", "lr": 1e-4, "beta": 0.9}
    assert OPTIMIZER.by_key(config) == {
        "depth": 1,
        "optimizer": "adam",
        "optimizer.adam.lr": 1e-4,
        "optimizer.adam.beta": 0.9,
    }


@pytest.mark.parametrize(
    ("config", "inside"),
    [
        ({"depth": 1, "optimizer": "adam", "lr": 1e-4, "beta": 0.9}, True),
        ({"depth": 1, "optimizer": "sgd", "lr": 0.1, "momentum": "none", "decoupled": False}, True),
        ({"depth": 1, "optimizer": "sgd", "lr": 1e-4, "momentum": "none", "decoupled": False}, False),
        ({"depth": 1, "optimizer": "sgd", "lr": 0.1, "momentum": "none", "decoupled": True}, False),
        ({"depth": 1, "optimizer": "sgd", "lr": 0.1, "momentum": "none"}, False),
        ({"depth": 1, "optimizer": "adam", "lr": 1e-4, "beta": 0.9, "rate": 0.1}, False),
    ],
    ids=["adam", "sgd", "the other group's range", "another constant", "no constant", "another group's"],
)
def test_membership_depends_on_the_chosen_group(config: dict[str, Any], inside: bool) -> None:
    assert OPTIMIZER.contains(config) is inside


def test_a_grid_visits_each_group_once() -> None:
    # For each depth: 2 learning rates x (none, plain x 2 rates), and 2 x 2 for adam.
    assert len(OPTIMIZER.grid()) == 3 * (2 * 3 + 2 * 2)


def test_groups_equal_the_conditions_that_they_abbreviate() -> None:
    flat = SearchSpace(
        {
            "optimizer": Choice(["sgd", "adam"]),
            "momentum": Int(1, 9, when={"optimizer": "sgd"}),
            "beta": Int(1, 9, when={"optimizer": "adam"}),
        }
    )
    nested = SearchSpace({"optimizer": Choice({"sgd": {"momentum": Int(1, 9)}, "adam": {"beta": Int(1, 9)}})})
    assert nested.grid() == flat.grid()
    assert [nested.sample(np.random.default_rng(s)) for s in range(9)] == [
        flat.sample(np.random.default_rng(s)) for s in range(9)
    ]


def test_a_hyperparameter_in_every_group_is_always_active() -> None:
    assert OPTIMIZER.always("lr")
    assert OPTIMIZER.always("depth")
    assert not OPTIMIZER.always("rate")
    assert not OPTIMIZER.always("beta")
    assert OPTIMIZER.standing_for("decoupled") == [Constant(False)]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (
            {"lr": 0.1, "o": {"choice": {"sgd": {"lr": {"float": [0, 1]}}}}},
            "o.sgd.lr: 'lr' can be active together with 'lr'; choose another name",
        ),
        (
            {"a": {"choice": {"x": {"c": 1}, "y": None}}, "b": {"choice": {"x": {"c": 2}}}},
            "b.x.c: 'c' can be active together with 'a.x.c'; choose another name",
        ),
        (
            {"o": {"choice": {"sgd": {"lr": {"float": [1, 0]}, "m": {"flaot": [0, 1]}}}}},
            "o.sgd.lr: low must be below high, got low=1, high=0\n"
            "o.sgd.m: unknown key 'flaot'; did you mean 'float'?",
        ),
        ({"o": {"choice": {"sgd": 3}}}, "o.choice.sgd: a group must be a mapping of hyperparameters, got 3"),
        (
            {"o": {"choice": {"sgd": {"seed": 1}}}},
            "o.sgd.seed: tuner sets this from the sweep's 'seed'; choose another name",
        ),
        (
            {"o": {"choice": {"a": {"constraints": []}}}},
            "o.a.constraints: constraints must be at the top of the space",
        ),
    ],
    ids=["top and group", "two groups", "mistakes inside", "no mapping", "reserved", "constraints"],
)
def test_wrong_groups_are_refused(entries: dict[str, Any], sentence: str) -> None:
    assert refusal(entries) == sentence


def test_the_names_of_groups_are_text() -> None:
    with pytest.raises(SpecError, match="the value of a group must be text, got 1; use 'when' instead"):
        Choice({1: {"lr": 0.1}})


MUST_READ = "must be {min: ..., max: ...}, or one of the two"
RANGES = {
    "depth": {"int": [1, 6]},
    "rate": {"float": [0.0, 1.0]},
    "size": {"ordinal": ["small", "medium", "large", "huge"]},
    "width": {"choice": [8, 64, 512]},
}


@pytest.mark.parametrize(
    ("when", "values"),
    [
        ({"depth": {"min": 3}}, [3, 4, 5, 6]),
        ({"depth": {"max": 2}}, [1, 2]),
        ({"depth": {"min": 2, "max": 3}}, [2, 3]),
        ({"size": {"min": "medium", "max": "large"}}, ["medium", "large"]),
        ({"size": {"min": "large"}}, ["large", "huge"]),
        ({"size": ["small", "huge"]}, ["small", "huge"]),
        ({"width": {"min": 64}}, [64, 512]),
    ],
    ids=str,
)
def test_a_condition_can_be_a_range_of_its_parent(when: dict[str, Any], values: list[Any]) -> None:
    space = SearchSpace({**RANGES, "child": {"int": [0, 1], "when": when}})
    [parent] = when
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng) for _ in range(100)]
    assert {config[parent] for config in drawn if "child" in config} == {*values}
    assert {config[parent] for config in drawn if "child" not in config}.isdisjoint(values)


@pytest.mark.parametrize("low", [-100.0, 0.0, 0.1])
def test_a_step_is_the_written_decimal_number(low: float) -> None:
    space = SearchSpace(
        {
            "x": Float(low, 1.0, step=0.1),
            "at": Choice(("p", "q"), when={"x": [0.3, 0.6, 0.7]}),
            "below": Choice(("p", "q"), when={"x": {"max": 0.3}}),
            "constraints": ["x == 0.3 or x == 0.6 or x == 0.7"],
        }
    )
    assert {config["x"]: len(config) for config in space.grid()} == {0.3: 3, 0.6: 2, 0.7: 2}


def test_a_range_of_a_real_number_includes_both_ends() -> None:
    space = SearchSpace({**RANGES, "child": Int(0, 1, when={"rate": {"min": 0.25, "max": 0.5}})})
    assert [rate for rate in (0.0, 0.2499, 0.25, 0.5, 0.5001) if space.active("child", {"rate": rate})] == [
        0.25,
        0.5,
    ]


def test_all_parents_must_agree_by_value_and_by_range() -> None:
    space = SearchSpace({**RANGES, "child": Int(0, 1, when={"depth": {"min": 3}, "width": [8, 64]})})
    assert space.active("child", {"depth": 3, "width": 64})
    assert not space.active("child", {"depth": 2, "width": 64})
    assert not space.active("child", {"depth": 3, "width": 512})


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        ({"depth": {"min": 7}}, "'depth' can never be in {\"min\": 7}; it is a whole number in [1, 6]"),
        ({"depth": {"min": "a"}}, "min must be a number, got 'a'"),
        ({"depth": {"least": 3}}, f"a range of 'depth' {MUST_READ}, got {{\"least\": 3}}"),
        ({"depth": {}}, f"a range of 'depth' {MUST_READ}, got {{}}"),
        (
            {"size": {"min": "tiny"}},
            "'size' can never be 'tiny'; it is one of 'small', 'medium', 'large', 'huge'",
        ),
        (
            {"size": {"min": "large", "max": "small"}},
            "min must not come after max, got min='large', max='small'",
        ),
        (
            {"rate": {"min": 1, "max": 0}},
            '\'rate\' can never be in {"min": 1, "max": 0}; it is a number in [0.0, 1.0]',
        ),
        (
            {"width": {"min": 9, "max": 10}},
            '\'width\' can never be in {"min": 9, "max": 10}; it is one of 8, 64, 512',
        ),
    ],
    ids=str,
)
def test_a_wrong_range_is_refused(when: dict[str, Any], sentence: str) -> None:
    assert refusal({**RANGES, "child": {"int": [0, 1], "when": when}}) == f"child.when: {sentence}"


def test_a_condition_on_a_name_shared_by_groups_applies_in_each_group() -> None:
    space = SearchSpace(
        {
            "o": Choice({"sgd": {"lr": Int(1, 4)}, "adam": {"lr": Int(3, 9)}, "none": None}),
            "warmup": Int(1, 2, when={"lr": {"min": 4}}),
        }
    )
    rng = np.random.default_rng(0)
    for config in (space.sample(rng) for _ in range(100)):
        assert ("warmup" in config) is (config.get("lr", 0) >= 4)


CONSTRAINED = {"hidden": {"int": [1, 1024]}, "depth": {"int": [1, 8]}, "norm": {"choice": ["none", "batch"]}}
NUMERIC = {"hidden": True, "depth": True, "norm": False}


@pytest.mark.parametrize(
    ("text", "hidden", "holds"),
    [
        ("hidden * depth <= 2048", 1024, True),
        ("hidden * depth <= 2048", 1025, False),
        ("1 < depth < hidden", 2, False),
        ("hidden % 8 == 0 and hidden // 8 >= 2", 16, True),
        ("hidden % 8 == 0 and hidden // 8 >= 2", 8, False),
        ("not hidden > 3 or norm == 'batch'", 4, True),
        ("norm != 'batch' or log2(hidden) <= 3", 9, False),
        ("max(hidden, depth) - min(hidden, depth) == abs(hidden - depth)", 5, True),
        ("-hidden ** 2 < +sqrt(hidden) / 2", 5, True),
        ("1 / (hidden - 5) > 0", 5, False),
        ("9 ** 9 ** 9 > hidden", 5, False),
        ("hidden * width > 0", 5, True),
        ("norm != null and norm != true", 5, True),
        ("norm == null or hidden == true or norm == false", 1, False),
    ],
)
def test_a_constraint_evaluates_as_its_arithmetic(text: str, hidden: int, holds: bool) -> None:
    constraint = Constraint(text, numeric={**NUMERIC, "width": True})
    assert constraint.holds({"hidden": hidden, "depth": 2, "norm": "batch"}) is holds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hiden * depth <= 2", "names an unknown hyperparameter 'hiden'; did you mean 'hidden'?"),
        ("norm * 2 <= 2", "computes with 'norm', which is not always a number"),
        ("true < hidden", "names an unknown hyperparameter 'true'; must be one of depth, hidden, norm"),
        ("norm < 'c'", "computes with 'norm', which is not always a number"),
        ("hidden * depth", "must be a comparison, but 'hidden * depth' is neither true nor false"),
        ("hidden <=", "is not an expression; write it like hidden * depth <= 2048"),
        ("sqr(hidden) < 2", "calls an unknown function 'sqr'; did you mean 'sqrt'?"),
        ("sqrt(hidden, 2) < 2", "must give 'sqrt' one number, got 2"),
        ("max(hidden) < 2", "must give 'max' at least two numbers, got 1"),
        ("__import__('os').abort() == 0", "must be arithmetic, but '__import__('os').abort()' is not"),
        ("hidden.real > 0", "must be arithmetic, but 'hidden.real' is not"),
        ("(lambda: 1)() > 0", "must be arithmetic, but '(lambda: 1)()' is not"),
        ("[hidden][0] > 0", "must be arithmetic, but '[hidden][0]' is not"),
        ("hidden << 9999999 > 0", "must be arithmetic, but 'hidden << 9999999' is not"),
        ("'a' * 9999999 == norm", "must be arithmetic, but ''a'' is not"),
        ("hidden in depth", "must compare with <, <=, >, >=, == or !="),
        ("hidden := 3", "is not an expression; write it like hidden * depth <= 2048"),
        ("hidden > 1j", "must be arithmetic, but '1j' is not"),
        ("hidden > " + "(" * 250 + "1" + ")" * 250, "must have at most 300 characters, got 510"),
        ("hidden > \0", "is not an expression; write it like hidden * depth <= 2048"),
    ],
)
def test_anything_but_arithmetic_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        Constraint(text, numeric=NUMERIC)
    assert str(error.value) == f"'{text[:60]}' {sentence}"


def test_deeply_nested_arithmetic_is_accepted() -> None:
    assert Constraint("hidden > " + "-" * 280 + "1", numeric=NUMERIC).holds({"hidden": 2})


def test_every_draw_and_every_mutation_satisfies_the_constraints() -> None:
    space = SearchSpace({**CONSTRAINED, "constraints": ["hidden * depth <= 2048", "hidden % 8 == 0"]})
    rng = np.random.default_rng(0)
    for _ in range(50):
        config = space.sample(rng)
        mutated = space.mutated(config, rng)
        assert all(c["hidden"] * c["depth"] <= 2048 and c["hidden"] % 8 == 0 for c in (config, mutated))
        assert space.contains(config)
    assert not space.contains({"hidden": 1024, "depth": 3, "norm": "none"})


def test_a_constraint_does_not_apply_if_one_of_its_names_is_inactive() -> None:
    space = SearchSpace(
        {
            "kind": Choice({"wide": {"hidden": Int(1, 9)}, "deep": None}),
            "depth": Int(1, 9),
            "constraints": ["hidden * depth <= 4"],
        }
    )
    assert space.contains({"kind": "deep", "depth": 9})
    assert not space.contains({"kind": "wide", "hidden": 9, "depth": 9})


def test_a_grid_omits_configurations_that_the_constraints_forbid() -> None:
    space = SearchSpace({"a": Int(1, 3), "b": Int(1, 3), "constraints": ["a + b == 4"]})
    assert space.grid() == [{"a": 1, "b": 3}, {"a": 2, "b": 2}, {"a": 3, "b": 1}]


def test_constraints_that_few_draws_satisfy_are_named_with_the_observed_share() -> None:
    space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "constraints": ["a + b <= 0.01"]})
    assert str(space.tightness) == (
        "constraints: must be met by at least 0.5% of the space, got 0 of 2000 draws (0.00%); "
        "narrow the ranges, or write conditions"
    )
    assert SearchSpace({"a": Float(0, 1), "constraints": ["a <= 0.1"]}).tightness is None


def test_a_faulty_hyperparameter_causes_no_error_about_a_constraint() -> None:
    assert refusal({"a": {"int": [2, 1]}, "constraints": ["a < 3"]}) == (
        "a: low must be below high, got low=2, high=1"
    )
    assert refusal({"a": 1, "constraints": "a < 3"}) == (
        "constraints: must be a list of expressions, got the text 'a < 3'; write [a < 3]"
    )


# A share of 4,000 draws has a standard error below 0.008; 0.04 is exceeded once in 1.7 million runs.
@pytest.mark.parametrize(
    ("dimension", "low", "high", "share"),
    [
        (Float(0, 10, default=5, prior="normal"), 3, 7, 0.691),
        (Float(0, 10, default=0, prior="normal"), 0, 2, 0.683),
        (Float(1e-4, 1, log=True, default=1e-2, prior="normal"), 1.585e-3, 6.31e-2, 0.691),
        (Int(0, 9, default=4, prior="normal"), 3, 5, 0.553),
        (Ordinal(("a", "b", "c"), default="c", prior="normal"), "c", "c", 0.746),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_normal_prior_lies_around_the_default(dimension: Any, low: Any, high: Any, share: float) -> None:
    rng = np.random.default_rng(0)
    drawn = [dimension.sample(rng) for _ in range(4000)]
    assert all(map(dimension.contains, drawn))
    assert np.mean([low <= value <= high for value in drawn]) == pytest.approx(share, abs=0.04)


@given(share=st.floats(0.001, 0.999), default=st.sampled_from([0.0, 0.3, 1.0]))
def test_quantile_and_share_are_inverse_functions(share: float, default: float) -> None:
    dimension = Float(0, 1, default=default, prior="normal")
    assert dimension.share(dimension.quantile(share)) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"float": [0, 1], "default": 2}, "x.default: can never be 2; it is a number in [0, 1]"),
        ({"int": [0, 3], "default": 1.5}, "x.default: can never be 1.5; it is a whole number in [0, 3]"),
        ({"choice": ["a"], "default": None}, "x.default: can never be null; it is one of 'a'"),
        (
            {"float": [0, 1], "prior": "normal"},
            "x.default: must be set, because a normal prior is centred on it",
        ),
        (
            {"float": [0, 1], "prior": "norml", "default": 0},
            "x.prior: unknown value 'norml'; did you mean 'normal'?",
        ),
        (
            {"choice": ["a"], "prior": "normal"},
            "x: unknown key 'prior'; must be one of choice, default, when",
        ),
    ],
    ids=str,
)
def test_a_wrong_prior_or_default_is_refused(entry: dict[str, Any], sentence: str) -> None:
    assert refusal({"x": entry}) == sentence


def test_a_default_of_zero_or_none_survives_the_round_trip() -> None:
    space = SearchSpace({"a": Int(0, 3, default=0), "b": Choice([None, 1], default=None)})
    assert space.to_dict() == {
        "a": {"int": [0, 3], "default": 0},
        "b": {"choice": [None, 1], "default": None},
    }
    assert SearchSpace(space.to_dict()).defaults() == {"a": 0, "b": None}


def test_an_encoding_has_one_column_per_number_and_one_per_option() -> None:
    space = SearchSpace(
        {
            "lr": Float(1e-4, 1.0, log=True),
            "size": Ordinal(("s", "m", "l", "xl")),
            "o": Choice({"sgd": {"momentum": Float(0, 0.5)}, "adam": {"kind": "amsgrad"}}),
            "batch": 64,
        }
    )
    encoding = Encoding(space)
    vector, active = encoding.encode({"lr": 1e-2, "size": "s", "o": "adam", "kind": "amsgrad", "batch": 64})
    assert vector == pytest.approx([0.5, 0.125, 0.0, 1.0, 0.0])
    assert active.tolist() == [True, True, True, True, False]
    vector, active = encoding.encode({"lr": 1.0, "size": "xl", "o": "sgd", "momentum": 0.5, "batch": 64})
    assert vector == pytest.approx([1.0, 0.875, 1.0, 0.0, 1.0])
    assert active.all()


@pytest.mark.parametrize("seed", range(20))
def test_decoding_an_encoding_returns_the_configuration(seed: int) -> None:
    encoding = Encoding(OPTIMIZER)
    config = OPTIMIZER.sample(np.random.default_rng(seed))
    decoded = encoding.decode(encoding.encode(config)[0])
    assert decoded.keys() == config.keys()
    assert {k: v for k, v in decoded.items() if not isinstance(v, float)} == {
        k: v for k, v in config.items() if not isinstance(v, float)
    }
    assert all(decoded[k] == pytest.approx(v) for k, v in config.items() if isinstance(v, float))
    assert OPTIMIZER.contains(decoded)


def test_a_neighbour_of_an_ordinal_is_mostly_near() -> None:
    rng = np.random.default_rng(0)
    size = Ordinal(tuple(range(10)))
    moved = Counter(abs(size.neighbour(5, rng) - 5) for _ in range(500))
    assert moved[0] == 0
    assert moved[1] > moved[4] > 0
