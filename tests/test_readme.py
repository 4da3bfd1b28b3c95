"""README shows only what works: its blocks are run as they stand there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tuner import SearchSpace
from tuner.cli import parser as command_line
from tuner.searchers import SEARCHERS, beginning
from tuner.yaml12 import read_yaml

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def block_with(language: str, text: str) -> str:
    [found] = [block for block in blocks(language) if text in block]
    return found


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=170)


def test_first_commands_are_the_two_that_set_everything_up():
    assert blocks("sh")[0].strip() == "pip install -c constraints.txt -e . && tuner run sweeps/digits.yaml"
    assert blocks("sh")[1].strip() == 'pip install -c constraints.txt -e ".[test]" && pytest'


@pytest.mark.parametrize(
    "line", blocks("sh")[2].strip().splitlines(), ids=lambda line: line.split("#")[0].strip()
)
def test_every_command_shown_is_understood(line):
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    options = command_line().parse_args(words[1:])
    assert words[0] == "tuner"
    assert Path(ROOT, getattr(options, "sweep", ".")).exists()


def test_sweep_file_shown_is_right(tmp_path):
    (tmp_path / "sweep.yaml").write_text(blocks("yaml")[0])
    done = run([sys.executable, "-m", "tuner.cli", "check", "sweep.yaml"], tmp_path)
    assert (done.returncode, done.stdout) == (
        0,
        "sweep.yaml: 64 trials of mlp, searcher optuna, scheduler asha\n"
        "lanes: trials of the same shape train together (8 of 32 sampled trials match another)\n",
    )


def test_wrong_sweep_shown_gives_the_errors_shown(tmp_path):
    right = blocks("yaml")[0]
    wrong = (
        right.replace("[1.0e-4, 1.0]", "[1.0, 1.0e-4]")
        .replace("hidden:   ", "hiden:    ")
        .replace("reduction_factor", "redution_factor")
    )
    (tmp_path / "wrong.yaml").write_text(wrong)
    done = run([sys.executable, "-m", "tuner.cli", "check", "wrong.yaml"], tmp_path)
    shown = blocks("text")[0].splitlines()[1:]
    assert done.returncode == 2
    assert done.stderr.splitlines() == shown


@pytest.mark.ray
def test_python_shown_runs(tmp_path):
    (tmp_path / "script.py").write_text(block_with("python", "report = run(sweep)"))
    done = run([sys.executable, "script.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "'optimizer'" in done.stdout
    assert "config.lr" in done.stdout


SWEEP = """
trainable: {trainable}
space: {space}
objective: {objective}
budget: {{trials: 4, iterations: 5}}
"""


@pytest.mark.ray
@pytest.mark.parametrize(
    ("text", "name", "sweep"),
    [
        (
            "def train(config)",
            "train.py:train",
            {"space": "{lr: {float: [0.1, 0.5]}}", "objective": "{metric: loss, mode: min}"},
        ),
        (
            "class Linear(",
            "train.py:Linear",
            {
                "space": "{lr: {float: [1e-3, 1], log: true}, bias: {choice: [true, false]}}",
                "objective": "{metric: val_accuracy, mode: max}",
            },
        ),
        (
            "class Moons(",
            "train.py:Moons",
            {
                "space": "{lr: {float: [1e-3, 1], log: true}, scaling: {choice: [none, robust]}}",
                "objective": "{metric: val_confidence, mode: max}",
            },
        ),
    ],
    ids=["function", "torch", "own data"],
)
def test_trainable_shown_runs(text, name, sweep, tmp_path):
    (tmp_path / "train.py").write_text(block_with("python", text))
    settings = ", dataset: iris" if "Linear" in name else ""
    trainable = f"{{kind: '{name}'{settings}}}"
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(trainable=trainable, **sweep))
    done = run([sys.executable, "-m", "tuner.cli", "run", "sweep.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "trials      4: 4 completed" in done.stdout


@pytest.mark.ray
def test_estimator_shown_is_tuned(tmp_path):
    (tmp_path / "sweep.yaml").write_text(block_with("yaml", "kind: sklearn"))
    arguments = ["run", "sweep.yaml", "--set", "budget.trials=4"]
    done = run([sys.executable, "-m", "tuner.cli", *arguments], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best val_accuracy: " in done.stdout
    assert " 0 failed" not in done.stdout


def test_model_shown_is_loaded_and_predicts(tmp_path, monkeypatch):
    from trainables.models.mlp import MLP

    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    trial = MLP(config={"dataset": "digits", "lr": 0.01})
    for _ in range(3):
        trial.train()
    trial.save(str(tmp_path / "saved"))
    MLP.export(str(tmp_path / "saved"), str(tmp_path / "model"))
    (tmp_path / "script.py").write_text(block_with("python", "load_model"))
    done = run([sys.executable, "script.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.9


def test_a_model_of_ones_own_takes_at_most_15_lines():
    lines = block_with("python", "class Moons(").splitlines()
    assert len([line for line in lines if line.strip()]) <= 15


def test_contract_shown_is_inherited_in_three_lines(tmp_path):
    (tmp_path / "test_mine.py").write_text(block_with("python", "SearcherContract"))
    done = run([sys.executable, "-m", "pytest", "-q", "test_mine.py", "-p", "no:cacheprovider"], tmp_path)
    assert done.returncode == 0, done.stdout


def test_space_shown_is_right_for_every_searcher(tmp_path):
    (tmp_path / "space.yaml").write_text(block_with("yaml", "constraints:"))
    space = SearchSpace(read_yaml(tmp_path / "space.yaml")["space"])
    found = {name: beginning.problems(spec(), space) for name, spec in SEARCHERS.items()}
    # They go through lists of values, and say that they need to know how many.
    finite = {"grid", "reinforce"}
    assert {name for name, problems in found.items() if problems} == finite
    assert {problem.what.split("'")[1] for name in finite for problem in found[name]} == {"points"}
