"""Amounts of resources that depend on a trial's hyperparameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuner import Budget, Objective, Resources, Sweep
from tuner.cluster.gangs import Gang
from tuner.cluster.placement import _request_of
from tuner.errors import SpecError
from tuner.report.phrases import where
from tuner.space import SearchSpace

SPACE = {
    "model": {"choice": ["large", "small"]},
    "hidden": {"int": [256, 1024]},
    "depth": {"choice": [1, 2]},
    "heads": {"int": [1, 2], "when": {"model": "large"}},
    "lr": {"float": [0.1, 1.0]},
    "units": {"repeat": 2, "each": {"int": [8, 64]}},
}
LARGE = {"model": "large", "hidden": 1024, "depth": 2, "heads": 2, "lr": 0.5, "units": [8, 16]}
SMALL = {"model": "small", "hidden": 256, "depth": 1, "lr": 0.5, "units": [8, 8]}


@pytest.mark.parametrize(
    ("amount", "large", "small"),
    [
        ({"when": {"model": {"large": 8, "small": 1}}}, 8, 1),
        ({"when": {"model": {"large": 8}}, "else": 2}, 8, 2),
        ({"when": {"depth": {1: 1, 2: 4}}}, 4, 1),
        ({"when": {"heads": {2: 4}}, "else": 1}, 4, 1),
        ("max(1, hidden // 512)", 2, 1),
        ("depth", 2, 1),
        ("units[1] / 8", 2, 1),
        (3, 3, 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("stored", [False, True])
def test_an_amount_depends_on_the_configuration(amount: Any, large: int, small: int, stored: bool) -> None:
    for name in ("cpu", "processes", "license"):
        given = json.loads(Resources(**{name: amount}).model_dump_json()) if stored else {name: amount}
        resources = Resources(**given)
        found = []
        for config in (LARGE, SMALL):
            own = resources.of(config)
            assert not own.depends
            found.append(own.custom["license"] if name == "license" else getattr(own, name))
        assert found == [large, small]
        assert resources.depends == (amount != 3)
        if name == "processes":
            assert all(isinstance(processes, int) for processes in found)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"processes": {"when": {"modl": {"large": 8}}, "else": 1}},
            "processes.when: unknown hyperparameter 'modl'; did you mean 'model'?",
        ),
        (
            {"processes": {"when": {"model": {"huge": 8}}, "else": 1}},
            "processes.when.model: 'model' can never be 'huge'; it is one of 'large', 'small'",
        ),
        (
            {"gpu": {"when": {"model": {"large": 8}}}},
            "gpu.when.model: must have an amount for 'small'; or write 'else'",
        ),
        (
            {"cpu": {"when": {"heads": {1: 1, 2: 2}}}},
            "cpu: must have 'else' for the trials in which 'heads' is inactive",
        ),
        (
            {"cpu": {"when": {"lr": {0.5: 2}}}},
            "cpu: must have 'else' for the other values of 'lr'; it is a number in [0.1, 1.0]",
        ),
        (
            {"cpu": "hiden // 256"},
            "cpu: 'hiden // 256' names an unknown hyperparameter 'hiden'",
        ),
        ({"cpu": "model * 2"}, "cpu: 'model * 2' computes with 'model', which is not always a number"),
        ({"cpu": "heads"}, "cpu: 'heads' computes with 'heads', which is not always active; write {when: "),
        ({"cpu": "2"}, "cpu: must be a number, got the text '2'"),
        ({"cpu": "depth < 2"}, "cpu: 'depth < 2' must be arithmetic, but 'depth < 2' is not"),
        ({"processes": "hidden / 512"}, "processes: must be a whole number, got "),
        ({"cpu": "hidden / 100"}, "cpu: must be a whole number if it is above 1, got "),
        ({"license": "depth - 1"}, "license: must be above 0, got 0, for a trial with depth=1"),
        (
            {"cpu": "1 / (depth - 1)"},
            "cpu: '1 / (depth - 1)' cannot be computed (division by zero) for depth=1",
        ),
        (
            {"cpu": 0, "gpu": {"when": {"model": {"large": 1, "small": 0}}}},
            "must give a trial some cpu or gpu",
        ),
    ],
    ids=lambda part: str(part)[:40],
)
def test_impossible_amounts_are_found_before_a_trial_starts(given: Any, problem: str) -> None:
    [found] = Resources(**given).problems(SearchSpace(SPACE))
    assert str(found).startswith(problem)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"processes": {"when": {"model": {"large": 1.5}}}},
            "processes.when.model.large: must be a whole number",
        ),
        (
            {"cpu": {"when": {"model": {"large": 1.5}}}},
            "cpu.when.model.large: must be a whole number if it is",
        ),
        ({"cpu": {"when": {"model": {}}}}, "cpu.when.model: must be a mapping of values to amounts, got {}"),
        ({"cpu": {"whn": {"model": {}}}}, "cpu: unknown key 'whn'; did you mean 'when'?"),
        (
            {"cpu": {"when": {"a": {1: 1}, "b": {1: 1}}}},
            "cpu: must be {when: {NAME: ",
        ),
        ({"cpu": "depth", "lanes": 4}, "lanes: must be 1 with amounts that depend on the trial, got 4"),
        ({"processes": "depth", "lanes": 4}, "lanes: must be 1 with several processes per trial, got 4"),
        ({"nproc_per_node": 4}, "unknown key 'nproc_per_node'; write 'processes'"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_wrong_form_is_refused(given: Any, sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Resources(**given)
    assert str(refusal.value).startswith(sentence)


def test_a_value_that_a_scheduler_introduces_needs_a_possible_amount() -> None:
    resources = Resources(processes="hidden // 256")
    assert resources.problems(SearchSpace(SPACE)) == []
    [problem] = resources.problems(SearchSpace(SPACE), new_values=[("hidden", 100)])
    assert str(problem) == "processes: must be at least 1, got 0, for a trial with hidden=100"


def sweep_of(trainable: str, resources: Resources, **parts: Any) -> Sweep:
    space = {"model": {"choice": ["large", "small"]}, **parts}
    budget, objective = Budget(trials=1, iterations=1), Objective(metric="val_accuracy", mode="max")
    return Sweep(trainable=trainable, space=space, objective=objective, budget=budget, resources=resources)


def test_a_sweep_with_varying_resources_reads_back_as_the_same() -> None:
    resources = Resources(processes={"when": {"model": {"large": 2, "small": 1}}})
    sweep = sweep_of("mlp", resources)
    assert Sweep(**sweep.to_dict()).resources == resources
    assert "large: 2" in sweep.to_yaml()


def test_each_trial_requests_its_own_gang_even_of_one_process() -> None:
    request = _request_of(Resources(processes={"when": {"model": {"large": 2, "small": 1}}}))
    large, small = request({"model": "large"}, {}), request({"model": "small"}, {})
    assert (large, small) == (Gang(Resources(processes=2)), Gang(Resources()))
    assert isinstance(small, Gang)


def test_a_trial_of_one_process_that_depends_on_the_configuration_is_no_gang() -> None:
    request = _request_of(Resources(cpu={"when": {"model": {"large": 2, "small": 1}}}))
    large = request({"model": "large"}, {})
    assert large.bundles == [{"CPU": 2}]
    assert not isinstance(large, Gang)


@pytest.mark.parametrize(
    ("trainable", "processes"),
    [
        ({"kind": "sklearn", "estimator": "sklearn.svm:SVC", "dataset": "iris"}, 2),
        (
            {"kind": "sklearn", "estimator": "sklearn.svm:SVC", "dataset": "iris"},
            {"when": {"C": {1.0: 1, 2.0: 2}}},
        ),
    ],
    ids=["always", "sometimes"],
)
def test_more_processes_than_train_a_trial_are_refused(trainable: Any, processes: Any) -> None:
    sweep = Sweep(
        trainable=trainable,
        space={"C": {"choice": [1.0, 2.0]}},
        objective=Objective(metric="val_accuracy", mode="max"),
        budget=Budget(trials=1, iterations=1),
        resources=Resources(processes=processes),
    )
    with pytest.raises(SpecError) as refusal:
        sweep.check()
    what = "resources.processes: a trial of sklearn trains in no more; must be at most 1, got 2"
    assert str(refusal.value) == what


def test_a_report_names_the_ranks_and_gpus_of_each_machine() -> None:
    ranks = [{"node": "10.0.0.1", "gpus": ["0"]}, {"node": "10.0.0.1", "gpus": ["1"]}]
    ranks += [{"node": "10.0.0.2", "gpus": []}]
    assert where(ranks) == "0, 1 on 10.0.0.1 (GPU 0, 1); 2 on 10.0.0.2"
