"""``tuner check`` says whether trials can share lanes and, if not, why."""

import pytest

from tuner.cli import OK, WRONG_INPUT, main

SWEEP = """
trainable: {{kind: "{trainable}"{settings}}}
space: {space}
objective: {{metric: {metric}, mode: min}}
budget: {{trials: 4, iterations: 3}}
"""
MODELS = """
from ray.tune import Trainable
from torch import nn
from trainables.models.mlp import MLP


class Noisy(nn.Linear):
    def forward(self, x):
        return super().forward(nn.functional.dropout(x, 0.5, self.training))


class Unstackable(MLP):
    def model(self, config):
        return Noisy(self.dataset.features, self.dataset.outputs)


class OwnLoss(MLP):
    def loss(self, config):
        return lambda outputs, targets: nn.functional.cross_entropy(outputs, targets)


class Broken(MLP):
    def model(self, config):
        raise RuntimeError("out of ideas")


class Plain(Trainable):
    pass
"""


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """Return a function that checks a sweep: exit code, lines of stdout after the first, and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "check_models.py").write_text(MODELS)

    def call(trainable, space, *arguments, metric="val_loss", settings=", dataset: iris"):
        text = SWEEP.format(trainable=trainable, space=space, metric=metric, settings=settings)
        (tmp_path / "sweep.yaml").write_text(text)
        code = main(["check", "sweep.yaml", *arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines()[1:], captured.err

    return call


def test_trials_of_one_shape_train_together(check):
    code, lines, _ = check("mlp", "{lr: {float: [0.001, 0.1]}, dropout: {float: [0.1, 0.5]}}")
    assert (code, lines) == (
        OK,
        ["lanes: trials of the same shape train together (32 of 32 sampled trials match another)"],
    )


def test_trials_that_match_no_other_are_not_counted(check):
    space = "{hidden: {int: [1, 64]}}"
    _, [line], _ = check("mlp", space)
    count = int(line.split("(")[1].split()[0])
    assert 2 <= count < 32
    assert line == (
        f"lanes: trials of the same shape train together ({count} of 32 sampled trials match another)"
    )
    assert check("mlp", space)[1] == [line]


def test_trials_of_different_shapes_train_one_after_another(check):
    _, lines, _ = check("mlp", "{batch_size: {int: [1, 1000000]}}")
    assert lines == [
        "lanes: trials train one after another: no two of 32 sampled trials have the same batch size"
    ]


def test_a_model_that_cannot_be_stacked_gets_the_reason(check):
    code, [line], _ = check("check_models.py:Unstackable", "{lr: {float: [0.001, 0.1]}}")
    assert code == OK
    assert line.startswith("lanes: trials train one after another: vmap: called random operation")


def test_a_loss_that_differs_between_trials_is_named(check):
    _, lines, _ = check("check_models.py:OwnLoss", "{lr: {float: [0.001, 0.1]}}")
    assert lines == ["lanes: trials train one after another: no two of 32 sampled trials have the same loss"]


def test_trials_that_train_alone_are_not_counted_as_matches(check):
    space = "{amp: {choice: [none, bf16]}, lr: {float: [0.001, 0.1]}}"
    _, [line], _ = check("mlp", space)
    count = int(line.split("(")[1].split()[0])
    assert 2 <= count < 32


def test_check_prints_nothing_about_lanes_that_are_turned_off(check):
    assert check("mlp", "{lr: {float: [0.001, 0.1]}}", "--set", "resources.lanes=1") == (OK, [], "")


def test_check_prints_nothing_about_a_trainable_without_lanes(check):
    code, lines, errors = check(
        "check_models.py:Plain", "{x: {float: [0.0, 1.0]}}", metric="loss", settings=""
    )
    assert (code, lines, errors) == (OK, [], "")


def test_a_model_that_cannot_be_built_is_wrong_input(check):
    code, _, errors = check("check_models.py:Broken", "{lr: {float: [0.001, 0.1]}}")
    assert code == WRONG_INPUT
    assert errors == (
        "error: trainable: check_models.py:Broken raised RuntimeError for a trial of this sweep: "
        "out of ideas\n"
    )


def test_check_says_nothing_about_lanes_of_trials_of_several_processes(check):
    assert check("mlp", "{hidden: {choice: [16, 64]}}", "--set", "resources.processes=2") == (OK, [], "")
