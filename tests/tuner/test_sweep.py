"""``Sweep``: strict YAML, overrides, names, round trips, and the messages about a wrong file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner import (
    Asha,
    Budget,
    Choice,
    Fifo,
    Float,
    Grid,
    HyperOpt,
    Objective,
    Optuna,
    Random,
    Resources,
    Sweep,
)
from tuner.cluster.progress import opening
from tuner.errors import Problem, SpecError
from tuner.searchers import SEARCHERS, SearcherSpec
from tuner.yaml12 import read_yaml

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "sweeps" / "digits.yaml"
WRONG_SWEEPS = Path(__file__).parent / "wrong_sweeps"

PARTS: dict[str, Any] = {
    "trainable": "mlp",
    "space": {"lr": {"float": [0.001, 0.1]}},
    "objective": {"metric": "val_accuracy", "mode": "max"},
    "budget": {"trials": 4, "iterations": 3},
}

# ruff: noqa: E501 (each message is on one line, as users read it)

# File name -> its messages, in order.
SENTENCES: dict[str, list[str]] = {
    "alias_of_itself": ["space.lr: must not hold itself (by an alias)"],
    "alias_unknown": ["{file}: line 2: not valid YAML: found undefined alias 'common'"],
    "asha_without_iterations": ["scheduler: needs the maximum resource of a trial; set budget.iterations"],
    "bound_as_text": ["space.lr: low must be a number, got the text '1e-4'"],
    "bound_fractional_for_int": ["space.depth: high must be a whole number, got 2.5"],
    "bound_infinite": ["space.lr: high must be finite, got inf"],
    "bound_not_a_number": ["space.lr: low must be finite, got nan"],
    "bounds_not_a_list": ["space.lr.float: must be [low, high], got 0.1"],
    "bounds_three": ["space.lr.float: must be [low, high], got 3 values; write {choice: [0.001, 0.01, 0.1]}"],
    "budget_missing": ["budget: must be given"],
    "budget_without_end": ["budget: must have 'trials' or 'seconds', or the sweep would never end"],
    "choice_empty": ["space.optimizer: a choice needs at least one value"],
    "choice_is_a_word": ["space.optimizer.choice: must be a list of values, got the text 'adam'"],
    "choice_twice": ["space.optimizer: duplicate value 'sgd' among the choices"],
    "choice_unknown_to_the_trainable": ["space.optimizer: unknown value 'admn'; did you mean 'adam'? (mlp)"],
    "concurrent_zero": ["budget.concurrent: must be at least 1, got 0"],
    "constant_as_text": ["space.weight_decay: must be a number, got the text '1e-4' (mlp)"],
    "constant_blank": ["space.batch_size: must be a whole number, got nothing (mlp)"],
    "constant_infinite": ["space.weight_decay: a constant must be a value that JSON can write, got inf"],
    "constant_out_of_range": ["space.batch_size: must be at least 1, got 0 (mlp)"],
    "cpu_fractional_above_one": ["resources.cpu: must be a whole number if it is above 1, got 1.5"],
    "cpu_negative": ["resources.cpu: must be at least 0, got -1"],
    "data_file_missing": [
        "trainable.path: there is no file 'no_such_folder/table.csv'; its directory 'no_such_folder' does not exist"
    ],
    "data_set_missing": ["trainable.dataset: exactly one of dataset and path must be given, got neither"],
    "data_set_unknown": ["trainable.dataset: unknown data set 'digit'; did you mean 'digits'?"],
    "data_splits_too_large": [
        "trainable.validation: validation + test must be below 1 to leave rows for training, got 0.6 + 0.5"
    ],
    "dimension_without_kind": [
        "space.lr: must say one of float, int, choice, ordinal, architecture and repeat, got {'log': True}"
    ],
    "empty_file": ["{file}: must hold a mapping, got nothing"],
    "failures_negative": ["budget.failures: must be at least 0, got -1"],
    "gpu_is_yes": ["resources.gpu: must be a number, got the text 'yes'"],
    "grace_period_above_iterations": ["scheduler.grace_period: must be at most budget.iterations (3), got 5"],
    "grid_over_a_continuous_dimension": ["space.lr: a grid needs 'points' (the number of values) or 'step'"],
    "grid_too_large": [
        "space: the grid must have at most 1000000 configurations, got 4000000; give fewer 'points'"
    ],
    "grid_with_a_faulty_dimension": ["space.lr: a grid needs 'points' (the number of values) or 'step'"],
    "constraint_of_a_faulty_hyperparameter": [
        "space.lr: low must be below high, got low=1.0, high=0.1",
        "space.hiden: mlp has no hyperparameter 'hiden'; did you mean 'hidden'?",
    ],
    "constraint_too_tight": [
        "space.constraints: must be met by at least 0.5% of the space, got 0 of 2000 draws (0.00%); "
        "narrow the ranges, or write conditions"
    ],
    "constraint_unknown_name": [
        "space.constraints: 'lrr <= 0.5' names an unknown hyperparameter 'lrr'; did you mean 'lr'?"
    ],
    "gpu_for_an_estimator": ["resources.gpu: a trial of sklearn uses none; must be at most 0, got 0.5"],
    "gpus_for_a_network": [
        "resources.gpu: a trial of mlp uses no more in a process; must be at most 1, got 2; "
        "write resources.processes for more"
    ],
    "group_shares_a_name": [
        "space.optimizer.sgd.lr: 'lr' can be active together with 'lr'; choose another name"
    ],
    "points_outside_the_space": [
        "searcher.initial_points.0.lr: can never be 2.0; it is a number in [0.1, 1.0]",
        "searcher.initial_points.1.momentum: is not active at this point; leave it out",
        "searcher.initial_points.2: unknown hyperparameter 'momentun'; did you mean 'momentum'?",
        "searcher.initial_points.3.momentum: is not active at this point; leave it out, or say what optimizer is",
    ],
    "sampler_setting_of_another": [
        "searcher.candidates: is a setting of sampler tpe, not of gp; must be one of deterministic, startup_trials"
    ],
    "warm_start_from_nowhere": [
        "searcher.warm_start: results/nowhere: holds no sweep; must be a results folder with a journal.sqlite"
    ],
    "when_range_never_reached": [
        "space.dropout.when: 'depth' can never be in {\"min\": 4}; it is a whole number in [1, 3]"
    ],
    "hyperparameter_in_both_places": [
        "trainable.lr: is a hyperparameter, so it belongs under 'space'; it is already there, so remove it here"
    ],
    "hyperparameter_misspelled": [
        "space.optimiser: mlp has no hyperparameter 'optimiser'; did you mean 'optimizer'?"
    ],
    "hyperparameter_of_the_wrong_type": ["space.hidden: must be a whole number, got 16.0 (mlp)"],
    "hyperparameter_out_of_range": ["space.dropout: must be below 1, got 1.5 (mlp)"],
    "hyperparameter_out_of_range_at_both_ends": [
        "space.dropout: must be at least 0, got -0.5 (mlp)",
        "space.dropout: must be below 1, got 1.5 (mlp)",
    ],
    "hyperparameter_twice": ["{file}: line 2: duplicate key 'lr'"],
    "hyperparameter_under_trainable": [
        "trainable.batch_size: is a hyperparameter, so it belongs under 'space'; move it there"
    ],
    "hyperparameter_unknown": [
        "space.leaning_rate: mlp has no hyperparameter 'leaning_rate'; did you mean 'lr'?"
    ],
    "iterations_missing": ["budget.iterations: must be given: a class trainable runs until it is stopped"],
    "key_is_a_number": ["a key must be text, got 7"],
    "key_twice": ["{file}: line 6: duplicate key 'seed'"],
    "log_as_text": ["space.lr: log must be true or false, got the text 'yes'"],
    "log_from_zero": ["space.lr: low must be above 0 if log is true, got low=0"],
    "log_with_step": ["space.hidden: log and step cannot be combined; leave one out"],
    "logger_is_no_callback": ["loggers.0: 'json:dumps' must be a subclass of ray.tune.Callback"],
    "logger_setting_unknown": [
        "loggers.0: 'csv' does not take these settings: got an unexpected keyword argument 'delimiter'"
    ],
    "logger_unknown": ["loggers.1: unknown logger 'tensorbord'; did you mean 'tensorboard'?"],
    "logger_without_kind": ["loggers.0: unknown key 'knd'; did you mean 'kind'?"],
    "loggers_is_a_word": ["loggers: must be a list, got the text 'csv'; write [csv]"],
    "low_above_high": ["space.lr: low must be below high, got low=0.1, high=0.001"],
    "low_equals_high": ["space.depth: low must be below high, got low=2, high=2"],
    "metric_empty": ["objective.metric: must have at least 1 character, got the text ''"],
    "metric_of_regression": [
        "objective.metric: mlp reports no 'val_rmse'; must be one of epoch_seconds, gradient_norm, learning_rate, parameters, train_loss, val_accuracy, val_loss"
    ],
    "mistakes_around_a_faulty_parent": [
        "space.optimizer: duplicate value 'sgd' among the choices",
        "space.momentum: must be below 1, got 1.5 (mlp)",
        "space.dropuot: mlp has no hyperparameter 'dropuot'; did you mean 'dropout'?",
    ],
    "mode_missing": [
        "objective.mode: must be given, since 'gain' is not a standard metric; write {metric: gain, mode: min} or mode: max",
        "objective.metric: mlp reports no 'gain'; must be one of epoch_seconds, gradient_norm, learning_rate, parameters, train_loss, val_accuracy, val_loss",
    ],
    "name_with_a_slash": [
        "name: must begin with a letter or digit and contain only letters, digits, '.', '_' and '-', got the text 'results/mine'"
    ],
    "no_cpu_no_gpu": ["resources: must give a trial some cpu or gpu, got cpu=0, gpu=0"],
    "not_a_mapping": ["{file}: must hold a mapping, got ['mlp', 'lr']"],
    "not_yaml": ["{file}: line 2: not valid YAML: expected ',' or '}', but got ':'"],
    "not_yaml_but_tabs": [
        "{file}: line 3: not valid YAML: found character '\\t' that cannot start any token"
    ],
    "objective_is_a_word": [
        "objective: must be a standard metric, or a mapping with 'metric' and 'mode', got the text 'gain'; write {metric: gain, mode: min} or mode: max",
    ],
    "objective_missing": ["objective: must be given"],
    "objectives_faulty": [
        "objective.1.mode: unknown value 'maximum'; write 'max'",
    ],
    "objectives_for_one": [
        "searcher: supports a single objective, got several; use grid or optuna or random or sobol",
        "scheduler: supports a single objective, got several; use asha or fifo or replay",
    ],
    "objectives_twice": ["objective: duplicate metric 'val_loss'"],
    "objectives_unknown": ["objective.1.metric: mlp reports no 'val_acuracy'; did you mean 'val_accuracy'?"],
    "pbt_interval_too_long": ["scheduler.interval: must be below budget.iterations (9), got 9"],
    "pbt_mutates_what_is_not_searched": [
        "scheduler.mutate: 'hiden' is not searched in this space; must be one of lr"
    ],
    "pbt_without_trials": ["scheduler: needs the size of the population; set budget.trials"],
    "points_one": ["space.lr: points must be a whole number, at least 2, got 1"],
    "python_tag": [
        "{file}: line 2: not valid YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd'"
    ],
    "reduction_factor_one": ["scheduler.reduction_factor: must be at least 2, got 1"],
    "replay_of_wrong_values": [
        "scheduler.changes: must come before budget.iterations (9), got at=9",
        "scheduler.changes: the space has no hyperparameter 'momentun'; must be one of hidden, lr",
        "scheduler: lr: must be above 0, got -1.0 (mlp)",
    ],
    "replay_out_of_order": ["scheduler.changes: must have strictly rising 'at', got [4, 2]"],
    "scheduler_setting_of_another": [
        "scheduler: unknown key 'grace_period'; must be one of kind, maximum, reduction_factor, resource"
    ],
    "searcher_is_a_number": ["searcher: must be a name or a mapping with 'kind', got 3"],
    "searcher_setting_as_text": ["searcher.gamma: must be a number, got the text '0.25'"],
    "searcher_setting_too_small": ["searcher.startup_trials: must be at least 1, got 0"],
    "searcher_without_kind": [
        "searcher.kind: must be given, got sampler: tpe; write {kind: optuna, sampler: tpe}"
    ],
    "seed_fractional": ["seed: must be a whole number, got 1.5"],
    "seed_in_the_space": ["space.seed: tuner sets this from the sweep's 'seed'; choose another name"],
    "seed_negative": ["seed: must be at least 0, got -1"],
    "seed_too_large": ["seed: must be below 4294967296, got 4294967296"],
    "seed_under_trainable": ["trainable.seed: tuner sets this from the sweep's 'seed'; choose another name"],
    "setting_in_both_places": [
        "space.validation: is a setting, so it belongs under 'trainable'; it is already there, so remove it here"
    ],
    "setting_in_the_space": [
        "space.validation: is a setting, so it belongs under 'trainable'; move it there"
    ],
    "several_mistakes": [
        "space.lr: low must be below high, got low=0.1, high=0.001",
        "objective.mode: unknown value 'maximise'; write 'max'",
        "budget.trials: must be at least 1, got 0",
        "budget: unknown key 'iteration'; did you mean 'iterations'?",
        "searcher: unknown searcher 'optunna'; did you mean 'optuna'?",
        "scheduler: unknown key 'grace_perod'; did you mean 'grace_period'?",
        "resources.cpu: must be a whole number if it is above 1, got 1.5",
        "seed: must be at least 0, got -1",
        "space.dropuot: mlp has no hyperparameter 'dropuot'; did you mean 'dropout'?",
        "space.hidden: must be at least 1, got 0 (mlp)",
        "objective.metric: mlp reports no 'val_acc'; did you mean 'val_accuracy'?",
    ],
    "space_empty": ["space: an empty space has nothing to search; name at least one hyperparameter"],
    "space_is_a_list": ["space: must be a mapping of hyperparameters, got ['lr']"],
    "space_missing": ["space: must be given"],
    "step_not_dividing": [
        "space.hidden: high must be low plus a whole number of steps, got low=16, high=70, step=16; the last step ends at 64"
    ],
    "step_not_dividing_float": [
        "space.dropout: high must be low plus a whole number of steps, got low=0, high=0.5, step=0.2; the last step ends at 0.4"
    ],
    "step_zero": ["space.depth: step must be above 0, got 0"],
    "trainable_class_misspelled": ["trainable: 'trainables.models.mlp' has no 'MPL'; did you mean 'MLP'?"],
    "trainable_file_missing": ["trainable: there is no file 'no_such_folder/model.py' (looked in {cwd})"],
    "trainable_is_no_trainable": [
        "trainable: 'trainables.configs:MLPConfig' must be a subclass of ray.tune.Trainable or a function"
    ],
    "trainable_kind_is_a_number": ["trainable.kind: must be a name, a class or a function, got 3"],
    "trainable_kind_misspelled": ["trainable: unknown key 'knd'; did you mean 'kind'?"],
    "trainable_missing": ["trainable: must be given"],
    "trainable_module_missing": ["trainable: there is no module 'no_such_package.model'"],
    "trainable_without_kind": ["trainable.kind: must be given: the trainable's name"],
    "trainable_without_module": [
        "trainable: must be package.module:Name or path/to/file.py:Name, got ':Model'"
    ],
    "trials_fractional": ["budget.trials: must be a whole number, got 4.0"],
    "trials_zero": ["budget.trials: must be at least 1, got 0"],
    "two_documents": [
        "{file}: line 2: not valid YAML: expected a single document in the stream, but found another document"
    ],
    "two_kinds_of_dimension": [
        "space.depth: must say one of float, int, choice, ordinal, architecture and repeat, got int and choice"
    ],
    "typo_in_a_budget": ["budget: unknown key 'trails'; did you mean 'trials'?"],
    "typo_in_a_dimension": ["space.lr: unknown key 'flaot'; did you mean 'float'?"],
    "typo_in_a_dimension_option": ["space.lr: unknown key 'lgo'; did you mean 'log'?"],
    "typo_in_a_metric": ["objective.metric: mlp reports no 'val_acuracy'; did you mean 'val_accuracy'?"],
    "typo_in_a_mode": ["objective.mode: unknown value 'maximum'; write 'max'"],
    "typo_in_a_sampler": ["searcher.sampler: unknown value 'tpee'; did you mean 'tpe'?"],
    "typo_in_a_scheduler": ["scheduler: unknown scheduler 'hyperbnd'; did you mean 'hyperband'?"],
    "typo_in_a_scheduler_setting": [
        "scheduler: unknown key 'redution_factor'; did you mean 'reduction_factor'?"
    ],
    "typo_in_a_searcher": ["searcher: unknown searcher 'optunna'; did you mean 'optuna'?"],
    "typo_in_a_searcher_setting": ["searcher: unknown key 'startup_trial'; did you mean 'startup_trials'?"],
    "typo_in_a_section": ["unknown key 'objectiv'; did you mean 'objective'?"],
    "typo_in_a_trainable": ["trainable: unknown trainable 'mpl'; did you mean 'mlp'?"],
    "typo_in_a_trainable_setting": ["trainable: unknown key 'datset'; did you mean 'dataset'?"],
    "typo_in_an_objective": ["objective: unknown key 'metrik'; did you mean 'metric'?"],
    "typo_in_resources": ["resources: unknown key 'gpus'; did you mean 'gpu'?"],
    "when_is_a_list": ["space.momentum: when must be a mapping of parents to values, got ['optimizer']"],
    "when_never_allowed": ["space.momentum.when: 'optimizer' needs at least one value, got []"],
    "when_on_an_impossible_number": [
        "space.hidden.when: 'depth' can never be 0; it is a whole number in [1, 3]"
    ],
    "when_on_an_impossible_value": [
        "space.momentum.when: 'optimizer' can never be 'rmsprop'; it is one of 'sgd', 'adam'"
    ],
    "when_on_an_unknown_parent": [
        "space.momentum.when: unknown hyperparameter 'optimiser'; did you mean 'optimizer'?"
    ],
    "when_on_itself": ["space.optimizer.when: 'optimizer' cannot depend on itself"],
    "when_round_in_a_circle": ["space: conditions form a cycle: optimizer -> activation -> optimizer"],
}


class Patient(SearcherSpec):
    """A user's searcher: not in the table, with its own setting."""

    patience: int = 3

    def build(self, space: Any, *, objective: Objective, seed: int) -> Any:
        raise NotImplementedError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a sweep file with this text and gives its path."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("[" * 3000 + "]" * 3000, "not valid YAML: it is nested too deeply"),
        ("{a: " * 3000 + "1" + "}" * 3000, "not valid YAML: it is nested too deeply"),
        ("!!int x", "line 1: not valid YAML: cannot read the text 'x' as int"),
        ("!!bool x", "line 1: not valid YAML: cannot read the text 'x' as bool"),
        ('"a\\ud800"', "line 1: not valid YAML: cannot read the text 'a\ud800' as str"),
        ("!!timestamp 2020-13-45", "line 1: not valid YAML: cannot read the text '2020-13-45' as timestamp"),
        ("9" * 5000, f"line 1: not valid YAML: cannot read the text '{'9' * 200}...' as int"),
    ],
)
def test_an_unreadable_value_is_refused_with_its_position(
    value: str, sentence: str, write: Callable[[str], Path]
) -> None:
    path = write(f"seed: {value}")
    with pytest.raises(SpecError) as refusal:
        read_yaml(path)
    assert str(refusal.value) == f"{path}: {sentence}"
    with pytest.raises(SpecError) as refusal:
        Sweep.read(DIGITS, [f"seed={value}"])
    assert str(refusal.value) == f"--set seed: {sentence}"


def test_an_error_shortens_a_long_value() -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep(**{**PARTS, "seed": "x" * 10_000, "space": {"lr": {"float": [1, 10**400]}}})
    assert str(refusal.value).splitlines() == [
        "space.lr: high must be finite, got a whole number of 1329 bits",
        f"seed: must be a whole number, got the text '{'x' * 200}...'",
    ]


def test_the_example_sweep_is_read_completely() -> None:
    sweep = Sweep.read(DIGITS)
    assert sweep.trainable.name == "mlp"
    assert sweep.trainable.settings == {"dataset": "digits"}
    assert sweep.space.names == [
        "optimizer", "lr", "momentum", "weight_decay", "hidden", "depth", "activation", "dropout", "batch_size",
    ]  # fmt: skip
    assert sweep.space.dimensions["lr"] == Float(1e-4, 1.0, log=True)
    assert sweep.space.dimensions["momentum"] == Float(0.0, 0.99, when={"optimizer": ["sgd", "nesterov"]})
    assert sweep.space.constants == {"batch_size": 64}
    assert sweep.objective == Objective(metric="val_accuracy", mode="max")
    assert sweep.budget == Budget(trials=64, iterations=27)
    assert sweep.searcher == Optuna()
    assert sweep.scheduler == Asha(grace_period=1, reduction_factor=3)
    assert sweep.resources == Resources(cpu=1, gpu=0)
    assert (sweep.seed, sweep.name, sweep.out, sweep.trials) == (7, "digits", "results", 64)


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_a_wrong_sweep_is_refused_with_one_sentence_per_mistake(name: str) -> None:
    path = WRONG_SWEEPS / f"{name}.yaml"
    with pytest.raises(SpecError) as refusal:
        Sweep.read(path)
    found = [str(problem) for problem in refusal.value.problems]
    assert [
        said.replace(str(path), "{file}").replace(str(Path.cwd()), "{cwd}") for said in found
    ] == SENTENCES[name]


def test_every_wrong_sweep_file_is_tested() -> None:
    assert {path.stem for path in WRONG_SWEEPS.iterdir()} == SENTENCES.keys()


def test_the_text_of_an_error_has_one_line_per_problem() -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep(**{**PARTS, "seed": -1, "budget": {"trials": 0}})
    assert refusal.value.problems == (
        Problem("budget.trials", "must be at least 1, got 0"),
        Problem("seed", "must be at least 0, got -1"),
    )
    assert str(refusal.value) == "budget.trials: must be at least 1, got 0\nseed: must be at least 0, got -1"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(SpecError) as refusal:
        Sweep.read(path)
    assert str(refusal.value) == f"{path}: there is no such file"


def test_a_folder_is_not_a_sweep_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep.read(tmp_path)
    assert str(refusal.value).startswith(f"{tmp_path}: cannot be read: ")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: M\xfcller".encode("latin-1"))
    with pytest.raises(SpecError) as refusal:
        read_yaml(path)
    assert str(refusal.value).startswith(f"{path}: cannot be read: 'utf-8' codec can't decode byte 0xfc")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ('"1e-4"', "1e-4"),
        ("'1'", "1"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1:30:00", "1:30:00"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0b101", "0b101"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("sgd", "sgd"),
    ],
)
def test_a_plain_scalar_is_read_as_yaml_1_2_says(write: Callable[[str], Path], text: str, value: Any) -> None:
    read = read_yaml(write(f"x: {text}\n"))["x"]
    assert (read, type(read)) == (value, type(value))


def test_infinity_and_nan_are_read_as_such(write: Callable[[str], Path]) -> None:
    assert str(read_yaml(write("x: [.inf, -.Inf, .nan]"))["x"]) == "[inf, -inf, nan]"


def test_a_part_can_be_shared_by_an_alias(write: Callable[[str], Path]) -> None:
    text = "a: &range {float: [0, 1]}\nb: *range\nc: {<<: *range, log: true}"
    shared = {"float": [0, 1]}
    assert read_yaml(write(text)) == {"a": shared, "b": shared, "c": {**shared, "log": True}}


def test_the_resolved_sweep_reads_back_as_the_same(write: Callable[[str], Path]) -> None:
    sweep = Sweep.read(DIGITS)
    again = Sweep.read(write(sweep.to_yaml()))
    assert again == sweep
    assert again.to_yaml() == sweep.to_yaml()


def test_the_resolved_sweep_contains_every_default() -> None:
    assert Sweep(**PARTS).to_dict() == {
        "trainable": {"kind": "mlp"},
        "space": {"lr": {"float": [0.001, 0.1]}},
        "objective": {"metric": "val_accuracy", "mode": "max"},
        "budget": {
            "trials": 4,
            "total_iterations": None,
            "seconds": None,
            "gpu_seconds": None,
            "failures": None,
            "concurrent": None,
            "iterations": 3,
            "trial_seconds": None,
            "silence": None,
            "retries": None,
        },
        "searcher": {"kind": "random"},
        "scheduler": {"kind": "fifo", "resource": "iterations", "maximum": None},
        "resources": {
            "cpu": 1.0,
            "gpu": 0.0,
            "processes": 1,
            "placement": "pack",
            "accelerator": None,
            "lanes": "auto",
            "isolation": "worker",
        },
        "loggers": [],
        "seed": 0,
        "checkpoint_every": 60.0,
        "name": "sweep",
        "out": "results",
    }


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(
        [
            "1e-4",
            "no",
            "on",
            "12:30",
            "2024-01-01",
            "1_000",
            "~",
            "null",
            "0x1F",
            "<<",
            "",
            " a",
            "\x85",
            "\u2028",
        ]
    )
)


@given(constants=st.lists(PLAIN | st.lists(PLAIN, max_size=3), min_size=1, max_size=4))
def test_every_constant_survives_the_round_trip_through_yaml(
    tmp_path_factory: pytest.TempPathFactory, constants: list[Any]
) -> None:
    space = {"x": {"float": [0, 1]}, **{f"c{index}": value for index, value in enumerate(constants)}}
    sweep = Sweep(**{**PARTS, "space": space})
    path = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    path.write_text(sweep.to_yaml(), encoding="utf-8", newline="")
    read = Sweep(**read_yaml(path)).space.constants
    assert repr(read) == repr(sweep.space.constants)


def test_the_default_name_of_a_sweep_is_that_of_the_file(write: Callable[[str], Path]) -> None:
    text = DIGITS.read_text()
    assert Sweep.read(write(text)).name == "mine"
    assert Sweep.read(write(text + "name: given\n")).name == "given"


@pytest.mark.parametrize("name", ["a", "7", "digits.v2", "A_b-c.d"])
def test_a_name_suitable_for_a_folder_is_accepted(name: str) -> None:
    assert Sweep(**PARTS, name=name).name == name


@pytest.mark.parametrize("name", ["", "..", ".hidden", "-x", "a/b", "a b", "\u00fcber", "a\n"])
def test_a_name_unsuitable_for_a_folder_is_refused(name: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep(**PARTS, name=name)
    assert str(refusal.value) == (
        "name: must begin with a letter or digit and contain only letters, digits, '.', '_' and '-', "
        f"got the text '{name}'"
    )


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_a_seed_of_32_bits_is_accepted(seed: int) -> None:
    assert Sweep(**PARTS, seed=seed).seed == seed


@pytest.mark.parametrize(
    ("override", "where", "value"),
    [
        ("budget.trials=8", ("budget", "trials"), 8),
        ("space.lr.float=[1e-5, 1e-1]", ("space", "lr"), {"float": [1e-5, 1e-1], "log": True}),
        ("space.batch_size=32", ("space", "batch_size"), 32),
        ("trainable.dataset=iris", ("trainable", "dataset"), "iris"),
        ("resources={cpu: 0.5}", ("resources", "cpu"), 0.5),
        ("searcher.startup_trials=5", ("searcher", "startup_trials"), 5),
        ("searcher=random", ("searcher", "kind"), "random"),
        ("scheduler.reduction_factor=4", ("scheduler", "reduction_factor"), 4),
        ("budget.seconds=1e2", ("budget", "seconds"), 100.0),
    ],
)
def test_an_override_sets_the_value_at_its_key(override: str, where: tuple[str, ...], value: Any) -> None:
    resolved: Any = Sweep.read(DIGITS, [override]).to_dict()
    for key in where:
        resolved = resolved[key]
    assert resolved == value


def test_an_override_of_a_bare_name_keeps_the_name() -> None:
    sweep = Sweep.read(DIGITS, ["searcher=hyperopt", "space.momentum=0.9", "searcher.startup_trials=5"])
    assert sweep.searcher == HyperOpt(startup_trials=5)


def test_overrides_apply_in_order() -> None:
    assert Sweep.read(DIGITS, ["seed=1", "seed=2"]).seed == 2


def test_an_override_can_add_a_part_missing_from_the_file() -> None:
    assert Sweep.read(DIGITS, ["resources.cpu=0.5"]).resources == Resources(cpu=0.5)


def test_an_override_does_not_change_values_shared_by_an_alias(write: Callable[[str], Path]) -> None:
    path = write(
        "trainable: {kind: mlp, dataset: iris}\n"
        "space: {lr: &range {float: [0.001, 0.1]}, weight_decay: *range}\n"
        "objective: {metric: val_loss, mode: min}\nbudget: {trials: 2, iterations: 1}\n"
    )
    sweep = Sweep.read(path, ["space.lr.log=true"])
    assert sweep.space.dimensions == {"lr": Float(0.001, 0.1, log=True), "weight_decay": Float(0.001, 0.1)}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("trials", "--set: must be key=value, got 'trials'"),
        ("=8", "--set: must be key=value, got '=8'"),
        ("seed.x=8", "--set seed.x: 'seed' must be a mapping, got 7"),
        ("budget.trials={", "--set budget.trials: line 1: not valid YAML: expected the node content, "
         "but found '<stream end>'"),
        ("space={1: 2}", "--set space: a key must be text, got 1"),
        ("budget.trails=8", "budget: unknown key 'trails'; did you mean 'trials'?"),
        ("budget.trials=", "budget: must have 'trials' or 'seconds', or the sweep would never end"),
        ('budget.trials="8"', "budget.trials: must be a whole number, got the text '8'"),
        ("budget.seconds=5 minutes", "budget.seconds: must be seconds, or text like 90s, 15min, 2h, got the text "
         "'5 minutes'"),
        ("checkpoint_every=1.2.3s", "checkpoint_every: must be seconds, or text like 90s, 15min, 2h, got the text "
         "'1.2.3s'"),
        ("resources.lanes=all", "resources.lanes: must be auto, or a whole number from 1, got the text 'all'"),
        ("resources.lanes=0", "resources.lanes: must be auto, or a whole number from 1, got 0"),
        ("searcher=optunna", "searcher: unknown searcher 'optunna'; did you mean 'optuna'?"),
        ("bugdet.trials=8", "unknown key 'bugdet'; did you mean 'budget'?"),
    ],
)  # fmt: skip
def test_a_wrong_override_is_refused(override: str, sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep.read(DIGITS, [override])
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("kind", sorted(SEARCHERS))
def test_a_searcher_can_be_a_name_a_mapping_or_an_object(kind: str) -> None:
    parts = {**PARTS, "space": {"depth": {"choice": [1, 2, 3, 4]}}}
    as_name, as_mapping, as_object = (
        Sweep(**parts, searcher=searcher) for searcher in (kind, {"kind": kind}, SEARCHERS[kind]())
    )
    assert as_name == as_mapping == as_object


def test_a_user_s_searcher_is_imported_and_written_by_its_path() -> None:
    path = f"{__name__}:Patient"
    sweep = Sweep(**PARTS, searcher={"kind": path, "patience": 5})
    assert sweep.searcher == Patient(patience=5)
    assert sweep.to_dict()["searcher"] == {"kind": path, "patience": 5}
    assert Sweep(**sweep.to_dict()) == sweep


@pytest.mark.parametrize(
    ("searcher", "sentence"),
    [
        ("tuner.space:Float", "searcher.kind: 'tuner.space:Float' must be a subclass of "
         "tuner.searchers.base.SearcherSpec"),
        (f"{__name__}:Patent", f"searcher: '{__name__}' has no 'Patent'; did you mean 'Patient'?"),
        ({"kind": f"{__name__}:Patient", "patients": 5}, "searcher: unknown key 'patients'; "
         "did you mean 'patience'?"),
        ("no_such_module:Patient", "searcher: there is no module 'no_such_module'"),
        (["random"], "searcher: must be a name or a mapping with 'kind', got ['random']"),
        (None, "searcher: must be a name or a mapping with 'kind', got nothing; leave the key out for the default"),
    ],
)  # fmt: skip
def test_an_object_that_is_not_a_searcher_is_refused(searcher: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep(**PARTS, searcher=searcher)
    assert str(refusal.value) == sentence


def test_by_default_trials_are_random_and_run_to_their_end() -> None:
    sweep = Sweep(**PARTS)
    assert (sweep.searcher, sweep.scheduler) == (Random(), Fifo())


def test_a_grid_determines_the_number_of_trials() -> None:
    space = {"depth": Choice([1, 2, 3]), "hidden": {"int": [8, 16], "step": 8}}
    sweep = Sweep(**{**PARTS, "space": space, "budget": {}, "searcher": Grid()})
    assert sweep.trials == 6
    assert sweep.unequal_grid() is None


@pytest.mark.parametrize(("asked", "run"), [(4, 4), (6, 6), (9, 6)])
def test_the_smaller_of_grid_size_and_trial_budget_applies_and_is_reported(asked: int, run: int) -> None:
    space = {"depth": Choice([1, 2, 3]), "hidden": {"int": [8, 16], "step": 8}}
    sweep = Sweep(**{**PARTS, "space": space, "budget": {"trials": asked}, "searcher": Grid()})
    assert sweep.trials == run
    said = f"the grid has 6 configurations and budget.trials is {asked}; {run} will run"
    assert opening(sweep, None).startswith(f"{run} trials of ")
    assert (said in opening(sweep, None)) == (asked != 6)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my sweep (1).yaml", "my_sweep_1"),
        ("lr=0.1, größe.yaml", "lr_0.1_groe"),
        (".hidden.yaml", "hidden"),
        ("v1.2_.yaml", "v1.2_"),
        ("试验.yaml", "sweep"),
    ],
)
def test_a_file_name_unsuitable_for_a_folder_is_converted(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_text(DIGITS.read_text())
    assert Sweep.read(tmp_path / file).name == name


def test_a_sweep_limited_by_time_has_no_number_of_trials() -> None:
    assert Sweep(**{**PARTS, "budget": {"seconds": 0.5}}).trials is None


def test_a_sweep_built_in_python_is_checked_against_its_trainable_on_demand() -> None:
    sweep = Sweep(
        **{**PARTS, "trainable": {"kind": "mlp", "dataset": "iris"}, "space": {"hiden": Float(0.1, 1)}}
    )
    with pytest.raises(SpecError) as refusal:
        sweep.check()
    assert str(refusal.value) == "space.hiden: mlp has no hyperparameter 'hiden'; did you mean 'hidden'?"


def test_a_sweep_is_immutable() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sweep(**PARTS).seed = 3  # type: ignore[misc]


def test_the_recipe_example_has_at_least_fifteen_conditional_hyperparameters() -> None:
    space = Sweep.read(ROOT / "sweeps" / "recipe.yaml").space
    assert sum(bool(dimension.when) for dimension in space.dimensions.values()) >= 15


@pytest.mark.parametrize(
    "out", ["s3://bucket/sweeps", "gs://b/x", "file:///tmp/x", "hdfs://n/x", "memory://x"]
)
def test_remote_storage_for_results_is_refused(out: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Sweep(**{**PARTS, "out": out})
    expected = f"out: must be a folder (a mounted one is possible), not a URL, got '{out}'"
    assert str(refusal.value) == expected


def test_a_sweep_can_be_built_after_its_warm_start_folder_is_gone():
    """A finished sweep must remain open to evaluation and reports."""
    searcher = {"kind": "random", "warm_start": "results/nowhere"}
    sweep = Sweep(**PARTS, searcher=searcher)
    with pytest.raises(SpecError, match=r"searcher.warm_start: results/nowhere: holds no sweep"):
        sweep.check()


def test_points_of_a_searcher_are_refused_with_their_new_name():
    with pytest.raises(SpecError) as refused:
        Sweep(**PARTS, searcher={"kind": "random", "points": [{"lr": 0.1}]})
    assert str(refused.value) == (
        "searcher.points: is called 'initial_points', since 'points' is the grid size of a dimension"
    )


def test_a_name_that_is_no_possible_folder_name_is_refused():
    with pytest.raises(SpecError, match=r"name: must have at most 200 characters, got 300"):
        Sweep(**PARTS, name="x" * 300)


def test_peers_of_the_median_rule_are_refused_with_their_new_name():
    with pytest.raises(SpecError, match=r"scheduler.peers: is called 'min_trials'"):
        Sweep(**PARTS, scheduler={"kind": "median", "peers": 5})
