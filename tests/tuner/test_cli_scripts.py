"""``tuner run SCRIPT --NAME VALUES``: the sweep file that it writes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tuner import Sweep
from tuner.cli import main, scripts
from tuner.cli.scripts import dimension, sweep_of
from tuner.errors import SpecError

OPTIONS = ["--lr", "1e-4..1e-1:log", "--hidden=16,32,64", "--metric", "val_loss:min", "--trials", "32"]

SCRIPTS = {
    "import argparse": (["python", "train.py", "{args}"], {"results": "pairs"}),
    "import argparse, json; print(json.dumps({}))": (["python", "train.py", "{args}"], {"results": "json"}),
    "from tuner import client": (["python", "train.py"], {}),
    "import argparse; from tuner import client": (["python", "train.py", "{args}"], {}),
    "@hydra.main()": (["python", "train.py", "{overrides}"], {"results": "pairs"}),
    "import click  # action='store_true'": (
        ["python", "train.py", "{args}"],
        {"results": "pairs", "booleans": "flags"},
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def with_sweep_file(arguments):
    with scripts.with_sweep_file(arguments) as changed:
        return changed


def script(text="import argparse", name="train.py"):
    Path(name).write_text(text)
    return Path(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4..1e-1:log", {"float": [1e-4, 1e-1], "log": True}),
        ("-1.5..2", {"float": [-1.5, 2]}),
        ("16..256", {"int": [16, 256]}),
        ("16..256:log:step=2", {"int": [16, 256], "log": True, "step": 2}),
        ("16,32,64", {"choice": [16, 32, 64]}),
        ("sgd, adam", {"choice": ["sgd", "adam"]}),
        ("true,false", {"choice": [True, False]}),
        ("{float: [0, 1]}", {"float": [0, 1]}),
        ("3", 3),
        ("../data", "../data"),
        ("a=b:c", "a=b:c"),
        ("'1-10'", "1-10"),
        ("2024-01", "2024-01"),
    ],
)
def test_the_value_of_an_option_is_a_dimension_or_a_constant(text, expected):
    assert dimension(text) == expected


@pytest.mark.parametrize("text", ["1..2:lin", "1..x", "1..2:step", "1..2:log=3"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="must be"):
        dimension(text)


@pytest.mark.parametrize("text", ["1e-4-1e-1", "1e-4:1e-1", "1-10", "1 to 10", "-3--1"])
def test_a_text_that_looks_like_a_range_is_questioned(text):
    with pytest.raises(ValueError, match=r"looks like a range; write [\d.e-]+\.\.[\d.e-]+ for a range, or "):
        dimension(text)


@pytest.mark.parametrize(
    ("option", "meant"),
    [("hiden-size", "hidden-size"), ("hidden_size", "hidden-size"), ("lr", None), ("hid", None)],
)
def test_an_option_that_the_script_nearly_has_is_questioned(option, meant):
    path = script("import argparse; add_argument('--hidden-size'); add_argument('--lr'); args.hidden_size")
    words = [f"--{option}", "1,2", *OPTIONS[-4:]]
    if meant is None:
        assert sweep_of(path, words)["space"] == {option: {"choice": [1, 2]}}
        return
    with pytest.raises(SpecError) as raised:
        sweep_of(path, words)
    assert str(raised.value) == f"--{option}: train.py has no such option; did you mean --{meant}?"


@pytest.mark.parametrize("more", [["--set", "budget.trails=3"], ["--name", "a/b"], ["--set"]])
def test_a_refused_command_leaves_no_sweep_file_behind(more, capsys):
    script()
    arguments = ["run", "train.py", *OPTIONS]
    with contextlib.suppress(SystemExit):
        assert main([*arguments, *more]) == 2
    assert not Path("train.yaml").exists()
    with_sweep_file(arguments)
    with contextlib.suppress(SystemExit):
        assert main([*arguments, *more]) == 2
    assert Path("train.yaml").exists()  # it was there before


@pytest.mark.parametrize("text", SCRIPTS)
def test_the_text_of_a_script_tells_how_it_is_called(text):
    command, settings = SCRIPTS[text]
    sweep = sweep_of(script(text), OPTIONS)
    assert sweep["trainable"] == {"kind": "command", "command": command, **settings}


def test_the_file_is_written_once_and_run():
    script()
    arguments = ["run", "train.py", *OPTIONS, "--scheduler", "{kind: asha_stop, grace_period: 2}", "--json"]
    rest = ["--set", "seed=3", "--out", "elsewhere", "--iterations", "9"]
    assert with_sweep_file([*arguments, *rest]) == [
        *("run", "train.yaml", "--json", "--set", "seed=3", "--out", "elsewhere")
    ]
    sweep = Sweep.read("train.yaml")
    assert list(sweep.space.names) == ["lr", "hidden"]
    assert (sweep.budget.trials, sweep.budget.iterations) == (32, 9)
    assert sweep.to_dict()["scheduler"]["grace_period"] == 2
    written = Path("train.yaml").read_text()
    with_sweep_file([*arguments, *rest])
    assert not Path("train-2.yaml").exists()
    assert with_sweep_file([*arguments])[1] == "train-2.yaml"
    assert Path("train.yaml").read_text() == written


@pytest.mark.parametrize(
    "arguments",
    [["run", "sweep.yaml"], ["run", "--out", "train.py", "sweep.yaml"], ["check", "train.py"], [], ["run"]],
)
def test_other_command_lines_are_unchanged(arguments):
    script()
    assert with_sweep_file(arguments) == arguments


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (
            ["--lr", "1..x"],
            ["--lr: must be a range such as", "--metric: must be given", "--trials: must be given"],
        ),
        ([], ["no hyperparameter is given", "--metric: must be given"]),
        (["--lr", "1", "2"], ["'2' has no option before it"]),
        (["--metric", "loss:min", "--lr", "1..2"], ["--trials: must be given"]),
        (
            ["--metric", "foo", "--lr", "1..2", "--trials", "3"],
            ["--metric: the direction of 'foo' is unknown; write --metric foo:min"],
        ),
        (["--metric", "loss:low", "--lr", "1..2", "--trials", "3"], ["objective.mode: "]),
    ],
)
def test_mistakes_are_reported_together(words, messages, capsys):
    script()
    assert main(["run", "train.py", *words]) == 2
    printed = capsys.readouterr().err
    assert all(f"error: {message}" in printed for message in messages)


def test_a_script_that_does_not_exist_or_cannot_run_is_refused(capsys):
    assert main(["run", "trian.py", *OPTIONS]) == 2
    assert "trian.py: there is no such file" in capsys.readouterr().err
    script("x", "train.xyz")
    with pytest.raises(SpecError, match="neither executable nor a script of a known language"):
        with_sweep_file(["run", "train.xyz", *OPTIONS])
    Path("train.xyz").chmod(0o755)
    assert sweep_of(Path("train.xyz"), OPTIONS)["trainable"]["command"] == ["./train.xyz", "{args}"]
