"""Advice for sweeps in the terms of Ray Tune, Optuna, Weights & Biases, Syne Tune or Ax."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tuner import Sweep
from tuner.cluster.progress import opening
from tuner.errors import SpecError
from tuner.space import Choice, Float, Int, SearchSpace
from tuner.space.foreign import in_our_form

CASES = YAML(typ="safe").load(Path(__file__).with_name("sweeps_of_other_tools.yaml").read_text())

SOUND = {
    "trainable": "{kind: mlp, dataset: iris}",
    "space": "{lr: {float: [0.001, 0.1], log: true}}",
    "objective": "{metric: val_accuracy, mode: max}",
    "budget": "{trials: 4, iterations: 3}",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_sweep_of_another_tool_gets_advice_on_what_to_write(case: dict[str, Any], tmp_path: Path) -> None:
    own = {line.partition(":")[0] for line in case["sweep"].splitlines()}
    left = own | set(case.get("without", []))
    unchanged = [f"{part}: {text}" for part, text in SOUND.items() if part not in left]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join([*unchanged, case["sweep"]]))
    with pytest.raises(SpecError) as refusal:
        Sweep.read(path)
    assert sorted(map(str, refusal.value.problems)) == sorted(case["answers"])


def test_the_table_of_other_tools_is_not_short() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize(
    ("text", "metric", "mode"),
    [("val_accuracy", "val_accuracy", "max"), ("val_loss", "val_loss", "min")],
)
def test_the_name_of_a_standard_metric_is_an_objective(
    text: str, metric: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(f"{part}: {body}" for part, body in {**SOUND, "objective": text}.items()))
    objective = Sweep.read(path).objective
    assert (objective.metric, objective.mode) == (metric, mode)
    other = Sweep.read(path, ["objective=train_loss"]).objective
    assert (other.metric, other.mode) == ("train_loss", "min")
    other = Sweep.read(path, ["objective.metric=train_loss"]).objective
    assert (other.metric, other.mode) == ("train_loss", "min")


def test_the_name_of_a_standard_metric_is_an_objective_in_python() -> None:
    parts = {"trainable": "train.py:train", "space": {"x": Float(0, 1)}, "budget": {"trials": 1}}
    assert Sweep(**parts, objective="val_f1").objective.mode == "max"
    several = Sweep(**parts, objective=["loss", {"metric": "size", "mode": "min"}]).objective
    assert [one.mode for one in several.all] == ["min", "min"]
    assert Sweep(**parts, objective={"metric": "mse"}).to_dict()["objective"] == {
        "metric": "mse",
        "mode": "min",
    }


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("searcher=tpe", "searcher: unknown searcher 'tpe'; write {kind: optuna, sampler: tpe}"),
        ("trials=8", "unknown key 'trials'; write budget: {trials: 8}"),
        ("lr=0.1", "unknown key 'lr'; write space: {lr: 0.1}"),
        ("objective=gain", "objective: must be a standard metric, or a mapping with 'metric' and 'mode', got "
         "the text 'gain'; write {metric: gain, mode: min} or mode: max"),
    ],
)  # fmt: skip
def test_overrides_get_the_same_advice(override: str, answer: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(f"{part}: {body}" for part, body in SOUND.items()))
    with pytest.raises(SpecError) as refusal:
        Sweep.read(path, [override])
    assert str(refusal.value) == answer


@pytest.mark.parametrize(
    ("entry", "ours"),
    [
        ({"quniform": [0, 1, 0.1]}, "{float: [0, 1], step: 0.1}"),
        ({"qrandint": [8, 64, 8]}, "{int: [8, 64], step: 8}"),
        ({"lograndint": [1, 100]}, "{int: [1, 99], log: true}"),
        ({"randn": [0, 1]}, "{float: [-2.5, 2.5], default: 0.0, prior: normal}"),
        ({"distribution": "q_uniform", "min": 0, "max": 64, "q": 8}, "{float: [0, 64], step: 8}"),
        ({"distribution": "log_uniform", "min": -9, "max": -1}, "{float: [0.0001234, 0.3679], log: true}"),
        ({"_type": "loguniform", "_value": [1e-4, 0.1]}, "{float: [0.0001, 0.1], log: true}"),
        ({"parameterType": "int", "feasibleSpace": {"min": "1", "max": "3"}}, "{int: [1, 3]}"),
        ({"MinValue": "0.1", "MaxValue": "1", "ScalingType": "Logarithmic"}, "{float: [0.1, 1], log: true}"),
        ({"hp.loguniform": [-9, -2]}, "{float: [0.0001234, 0.1353], log: true}"),
        ({"suggest_int": {"low": 1, "high": 5}}, "{int: [1, 5]}"),
        ({"log_float": [1e-4, 1]}, "{float: [0.0001, 1], log: true}"),
        ({"boolean": None}, "{choice: [true, false]}"),
        ("tag(log, interval(1e-4, 1e-1))", "{float: [0.0001, 0.1], log: true}"),
        ("choice(adam,sgd)", "{choice: [adam, sgd]}"),
        ("hp.uniform('lr', 0, 1)", "{float: [0, 1]}"),
        ("trial.suggest_float('lr', 1e-5, 1e-1, log=True)", "{float: [1e-05, 0.1], log: true}"),
        ("relu(x)", None),
        ("uniform", None),
        ("uniform('\\d')", None),
        ({"eps": 1e-8}, None),
        ({"step": 10, "gamma": 0.1}, None),
        ({"mean": 0.5, "std": 0.2}, None),
        ({"type": "linear", "value": 3}, None),
    ],
    ids=str,
)  # fmt: skip
def test_a_dimension_of_another_tool_is_rewritten_in_our_form(entry: Any, ours: str | None) -> None:
    assert in_our_form(entry) == ours
    if ours is not None:
        SearchSpace({"x": YAML(typ="safe").load(ours)})  # the advised form is accepted


def test_objects_of_libraries_are_rewritten_in_our_form() -> None:
    import scipy.stats
    from optuna import distributions
    from ray import tune

    objects = {
        "{float: [0.0001, 0.1], log: true}": tune.loguniform(1e-4, 0.1),
        "{float: [0, 1], step: 0.1}": tune.quniform(0, 1, 0.1),
        "{int: [0, 9]}": tune.randint(0, 10),
        "{int: [8, 64], step: 8}": tune.qrandint(8, 64, 8),
        "{choice: [a, b]}": tune.choice(["a", "b"]),
        "{float: [-2.5, 2.5], default: 0, prior: normal}": tune.randn(0, 1),
        "{float: [0.0001, 1.0], log: true}": distributions.FloatDistribution(1e-4, 1.0, log=True),
        "{int: [1, 9], step: 2}": distributions.IntDistribution(1, 9, step=2),
        "{float: [0, 2]}": scipy.stats.uniform(0, 2),
        "{int: [1, 4]}": scipy.stats.randint(1, 5),
    }
    for ours, found in objects.items():
        assert str(in_our_form(found)).replace("0.0, prior", "0, prior") == ours
    with pytest.raises(SpecError, match=r"x: a constant must be .*; write \{float: \[0, 1\]\}$"):
        SearchSpace({"x": tune.uniform(0, 1)})
    assert in_our_form(Float(0, 1)) is None or isinstance(Float(0, 1), Float)


@pytest.mark.parametrize(
    "space",
    [{"x": "linear(2)"}, {"x": {"type": "linear", "value": 3}}, {"x": [0.1, 0.2]}, {"x": {"value": 3}}],
    ids=str,
)
def test_a_constant_that_is_no_dimension_of_another_tool_stays_a_constant(space: dict[str, Any]) -> None:
    read = SearchSpace({**space, "lr": {"float": [0, 1]}})
    assert read.constants == space
    assert not isinstance(read.dimensions.get("x"), (Choice, Int))


def test_a_list_that_no_trial_varies_is_mentioned_where_nothing_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("def train(config):\n    return {'loss': 1.0}\n")
    space = {"lr": [0.001, 0.1], "kind": ["a", "b"], "sizes": [64, 64], "names": ["only"], "x": Float(0, 1)}
    sweep = Sweep(trainable=f"{path}:train", space=space, objective="loss", budget={"trials": 2})
    note = (
        "lr is the constant [0.001, 0.1]; to search it, "
        "write {choice: [0.001, 0.1]} or {float: [0.001, 0.1], log: true}; "
        "kind is the constant [a, b]; to search it, write {choice: [a, b]}"
    )
    assert sweep.constant_lists() == note
    assert opening(sweep, None).endswith(note)
    quiet = sweep.with_parts(space={"x": Float(0, 1), "sizes": {"choice": [[1, 2]]}})
    assert quiet.constant_lists() is None
