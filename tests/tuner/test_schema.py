"""The JSON Schema of a sweep file accepts valid files and rejects files of a wrong shape."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tuner import Optuna, SearchSpace, Sweep
from tuner.cli import OK, main
from tuner.errors import SpecError
from tuner.schedulers import SCHEDULERS
from tuner.schema import sweep_schema
from tuner.searchers import SEARCHERS
from tuner.space.kinds import KINDS, options_of
from tuner.spec import locate
from tuner.trainable import trainables
from tuner.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
SCHEMA = sweep_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

PARTS = {
    "trainable": "mlp",
    "space": {"lr": {"float": [0.001, 0.1], "points": 2}},
    "objective": {"metric": "val_accuracy", "mode": "max"},
    "budget": {"trials": 4, "iterations": 12},
}

# Wrong sweeps that a schema lets pass: they break a rule between parts, name what does not exist, or have a
# number that JSON cannot tell from a right one.
BEYOND_A_SCHEMA = {
    "asha_without_iterations",
    "bound_infinite",
    "bound_not_a_number",
    "budget_without_end",
    "constant_infinite",
    "constraint_too_tight",
    "constraint_unknown_name",
    "data_file_missing",
    "data_set_missing",
    "data_set_unknown",
    "data_splits_too_large",
    "gpu_for_an_estimator",
    "gpus_for_a_network",
    "grace_period_above_iterations",
    "grid_over_a_continuous_dimension",
    "grid_too_large",
    "grid_with_a_faulty_dimension",
    "group_shares_a_name",
    "hyperparameter_of_the_wrong_type",
    "iterations_missing",
    "logger_is_no_callback",
    "logger_setting_unknown",
    "low_above_high",
    "low_equals_high",
    "metric_of_regression",
    "mode_missing",
    "no_cpu_no_gpu",
    "objective_is_a_word",
    "objectives_for_one",
    "objectives_twice",
    "objectives_unknown",
    "pbt_interval_too_long",
    "pbt_mutates_what_is_not_searched",
    "pbt_without_trials",
    "points_outside_the_space",
    "replay_of_wrong_values",
    "replay_out_of_order",
    "step_not_dividing",
    "step_not_dividing_float",
    "trainable_class_misspelled",
    "trainable_file_missing",
    "trainable_is_no_trainable",
    "trainable_module_missing",
    "trials_fractional",
    "typo_in_a_metric",
    "warm_start_from_nowhere",
    "when_on_an_impossible_number",
    "when_on_an_impossible_value",
    "when_on_an_unknown_parent",
    "when_on_itself",
    "when_range_never_reached",
    "when_round_in_a_circle",
}


def messages(sweep):
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(sweep)]


ANY = {"trainable": "train.py:train"}
"""A trainable whose hyperparameters are unknown."""


def is_valid(**parts):
    return VALIDATOR.is_valid({**PARTS, **parts})


def wrong_sweeps():
    """Return the wrong sweep files that are YAML mappings; an editor reports the others without a schema."""
    for path in sorted((ROOT / "tests" / "tuner" / "wrong_sweeps").glob("*.yaml")):
        try:
            yield path.stem, read_yaml(path)
        except SpecError:
            continue


WRONG_SWEEPS = dict(wrong_sweeps())


def test_the_command_prints_a_json_schema(capsys):
    assert main(["schema"]) == OK
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(SCHEMA))
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(printed)


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_valid(path):
    assert messages(read_yaml(path)) == []


@pytest.mark.parametrize("kind", SEARCHERS)
def test_every_searcher_is_valid_by_name_and_resolved(kind):
    resolved = Sweep(**PARTS, searcher=kind).to_dict()
    assert messages({**PARTS, "searcher": kind}) == []
    assert messages(resolved) == []


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_every_scheduler_is_valid_by_name_and_resolved(kind):
    resolved = Sweep(**PARTS, scheduler=kind).to_dict()
    assert messages({**PARTS, "scheduler": kind}) == []
    assert messages(resolved) == []


@pytest.mark.parametrize("kind", trainables())
def test_every_hyperparameter_of_a_known_trainable_is_valid_with_its_default(kind):
    entry = trainables()[kind]
    required: dict[str, dict[str, object]] = {
        "sklearn": {"estimator": "package:Class"},
        "command": {"command": ["program"]},
    }
    settings = {"kind": kind, **required.get(kind, {})}
    model = locate(entry.config, {}, what="config")
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    space = model.model_construct().model_dump(mode="json", include=optional)
    assert messages({**PARTS, "trainable": settings, "space": space or {"x": 1}}) == []


@pytest.mark.parametrize("name", WRONG_SWEEPS)
def test_a_sweep_of_a_wrong_shape_is_invalid(name):
    assert VALIDATOR.is_valid(WRONG_SWEEPS[name]) == (name in BEYOND_A_SCHEMA)


def test_most_wrong_sweeps_are_invalid():
    assert WRONG_SWEEPS.keys() >= BEYOND_A_SCHEMA
    assert len(BEYOND_A_SCHEMA) < 0.4 * len(WRONG_SWEEPS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_dimension_has_the_options_of_its_kind(kind):
    assert SCHEMA["$defs"][f"dimension-{kind}"]["properties"].keys() == {kind, *options_of(KINDS[kind])}


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["a", "b", "4"])
WORDS = [*KINDS, "each", "log", "step", "points", "when", "default", "prior", "layers", "skip"]
KEYS = st.sampled_from([*WORDS, "min", "max", "tuple", "pairs", "grid_search", "x"])
ENTRIES = st.recursive(
    SCALARS | st.lists(st.integers(1, 9), min_size=2, max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.fixed_dictionaries({"choice": st.dictionaries(st.sampled_from("ab"), st.none() | inner)})
    ),
    max_leaves=6,
)


@given(ENTRIES)
def test_every_entry_that_a_space_accepts_is_valid(entry):
    space = {"width": entry, "a": {"choice": ["a", "b", 4]}}
    try:
        SearchSpace(space)
    except SpecError:
        return
    assert messages({**PARTS, "trainable": "file.py:train", "space": space}) == []


@pytest.mark.parametrize(
    "part",
    [
        {"trainable": {"kind": "package.module:Net", "width": 3, "layers": [1, 2]}},
        {"trainable": "train.py:train"},
        {"searcher": {"kind": "mine.py:Mine", "speed": 2}},
        {"loggers": ["csv", {"kind": "mine:Logger", "project": "p"}]},
        {"budget": {"seconds": "15min", "silence": 90}},
        {"objective": [{"metric": "loss", "mode": "min"}, {"metric": "size", "mode": "min"}]},
        {"resources": {"cpu": 0.5, "gpu": 2, "lanes": "auto"}},
        {"space": {"lr": {"float": [0.1, 1], "log": True, "default": 0.5, "prior": "normal"}}},
        {"space": {"optimizer": {"choice": {"sgd": {"momentum": {"float": [0, 0.9]}}, "adam": None}}}},
        {"space": {"hidden": {"int": [1, 9]}, "lr": {"float": [0.1, 1], "when": {"hidden": {"min": 2}}}}},
        {**ANY, "space": {"depth": {"int": [1, 3]}, "units": {"repeat": "depth", "each": {"int": [4, 8]}}}},
        {**ANY, "space": {"betas": {"repeat": 2, "each": {"choice": ["a", "b"]}, "default": ["a"]}}},
    ],
    ids=str,
)
def test_other_forms_of_a_part_are_valid(part):
    assert messages({**PARTS, **part}) == []


@pytest.mark.parametrize(
    "part",
    [
        {"budget": {"seconds": "15 minutes"}},
        {"searcher": {"kind": "optuna", "sampler": "gp", "candidates": 3}},
        {"searcher": {"kind": "optuna", "crossover": 0.5}},
        {"space": {"optimizer": {"choice": ["sgd", "adamm"]}}},
        {"space": {"optimizer": {"choice": {"sgd": {"momentun": 0.9}}}}},
        {"space": {"batch_size": 0}},
        {**ANY, "space": {"units": {"repeat": "depth"}}},
        {**ANY, "space": {"units": {"repeat": 0, "each": {"int": [4, 8]}}}},
        {**ANY, "space": {"units": {"repeat": 2, "each": {"repeat": 2, "each": {"int": [4, 8]}}}}},
        {"trainable": {"kind": "mlp", "dataste": "iris"}},
        {"out": "s3://bucket/results"},
        {"objective": []},
    ],
    ids=str,
)
def test_a_mistake_in_a_part_is_invalid(part):
    assert not is_valid(**part)


def test_each_sampler_accepts_only_its_own_settings():
    for sampler in ("tpe", "gp", "cmaes", "nsga2", "qmc", "random"):
        assert is_valid(searcher={**Optuna(sampler=sampler).model_dump(mode="json"), "kind": "optuna"})


@pytest.mark.parametrize("kind", [*SEARCHERS, *SCHEDULERS])
def test_every_setting_has_a_description_for_editors(kind):
    model = {**SEARCHERS, **SCHEDULERS}[kind]
    settings = {**SCHEMA["$defs"][model.__name__]["properties"]}
    del settings["kind"]
    assert all(setting["description"] for setting in settings.values())
