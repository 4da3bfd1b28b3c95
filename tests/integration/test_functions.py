"""Everything that a trial may raise, return or report, on a real local Ray."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import torch

from tests.integration.odd_functions import DEATHS
from tests.integration.running import events
from tests.present import present
from tuner import Budget, Choice, ClusterError, Float, Objective, Sweep, run
from tuner.cli import main

HERE = Path(__file__).parent
LOSS = Objective(metric="loss", mode="min")


def run_each(
    name, out, /, *, objective=LOSS, iterations=None, progress=None, retries=0, concurrent=2, **choices
):
    """Run one trial per combination of ``choices``; hyperparameters with a single value are constants."""
    space = {key: Choice(values) if len(values) > 1 else values[0] for key, values in choices.items()}
    sweep = Sweep(
        trainable=f"{HERE / 'odd_functions.py'}:{name}",
        space=space,
        objective=objective,
        # 0 retries: otherwise each kind of error costs a fresh process.
        budget=Budget(iterations=iterations, retries=retries, concurrent=concurrent),
        searcher="grid",
        out=str(out),
    )
    return run(sweep, progress=progress)


CAUSES = {
    "exit 1": "SystemExit: 1",
    "exit text": "SystemExit: no data",
    "argparse": "SystemExit: 2",
    "interrupt": "KeyboardInterrupt",
    "cancelled": "asyncio.exceptions.CancelledError",
    "generator exit": "GeneratorExit",
    "stop iteration": "StopIteration: no more",
    "two arguments": "odd_functions.TwoArguments: first",
    "odd text": r"ValueError: a \0 and a \ud800",
    "no text": "odd_functions.ColourError: <exception str() failed>",
}


def test_any_exception_of_a_function_ends_only_its_own_trial(tmp_path):
    report = run_each("ends", tmp_path, how=list(CAUSES), reports=[True, False])
    assert {trial.state for trial in report.trials} == {"failed"}
    assert [trial.cause for trial in report.trials] == [
        CAUSES[trial.config["how"]] for trial in report.trials
    ]
    assert [trial.iterations for trial in report.trials] == [int(t.config["reports"]) for t in report.trials]


def test_a_dead_worker_is_reported_with_its_signal_or_exit_code_and_the_line(tmp_path):
    report = run_each("dies", tmp_path, how=list(DEATHS))
    causes = {trial.config["how"]: trial.cause for trial in report.trials}
    crash = r"crashed: segmentation fault \(SIGSEGV\) at .*odd_functions.py:\d+ in <lambda>$"
    assert re.search(crash, causes["segmentation fault"])
    assert re.search(r"ended by os._exit\(3\) at .*odd_functions.py:\d+ in <lambda>$", causes["exit"])
    assert "killed by SIGKILL" in causes["kill"]
    assert not (report.folder / ".workers").exists()


def test_a_function_that_exits_with_code_0_completes_if_it_has_reported(tmp_path):
    report = run_each("ends", tmp_path, how=["exit 0", "exit"], reports=[True, False])
    for trial in report.trials:
        assert trial.state == ("completed" if trial.config["reports"] else "failed")
    assert {trial.error for trial in report.trials} == {None, "the function ended without reporting 'loss'"}


def test_a_very_long_error_is_cut_in_the_middle(tmp_path):
    [trial] = run_each("ends", tmp_path, how=["long text"], reports=[True]).trials
    assert len(trial.error) < 21_000
    assert trial.error.startswith("Traceback")
    assert "characters left out" in trial.error
    assert trial.error.endswith("xxx")


@pytest.mark.parametrize("where", ["setup", "step", "save"])
def test_any_exception_of_a_class_ends_only_its_own_trial(tmp_path, where):
    report = run_each("Ends", tmp_path, how=list(CAUSES), where=[where], iterations=3)
    assert {trial.state for trial in report.trials} == {"failed"}
    assert [trial.cause for trial in report.trials] == [
        CAUSES[trial.config["how"]] for trial in report.trials
    ]


def test_a_trial_that_cannot_be_saved_at_its_end_is_not_retried_forever(tmp_path):
    report = run_each("Ends", tmp_path, how=["exit 1"], where=["save"], iterations=3, retries=None)
    [trial] = report.trials
    assert (trial.state, trial.cause) == ("failed", "SystemExit: 1")
    assert max(event.iteration for event in events(report, "result")) == 3


def test_a_class_that_raises_in_cleanup_has_completed(tmp_path):
    report = run_each(
        "Ends", tmp_path, how=["exit 1", "interrupt", "exit 0"], where=["cleanup"], iterations=3
    )
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 3)] * 3


@pytest.mark.parametrize("name", ["tidies", "Tidies"])
def test_the_last_trials_clean_up_before_the_sweep_ends(tmp_path, name):
    tidied = tmp_path / "tidied"
    tidied.mkdir()
    run_each(name, tmp_path, folder=[str(tidied)], number=[0, 1, 2], iterations=3)
    assert {path.name for path in tidied.iterdir()} == {"0", "1", "2"}


def test_a_class_that_exits_with_code_0_completes_with_its_results(tmp_path):
    report = run_each("Ends", tmp_path, how=["exit 0", "exit"], where=["step"], iterations=3)
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 1)] * 2
    report = run_each("Ends", tmp_path, how=["exit 0"], where=["setup"], iterations=3)
    assert [trial.state for trial in report.trials] == ["failed"]


def test_a_module_that_exits_on_import_in_a_worker_ends_the_sweep_with_an_error(tmp_path, monkeypatch):
    text = "import sys\nif 'worker' in sys.argv[0]: sys.exit(3)\ndef train(config): return 0.0\n"
    (tmp_path / "exits_in_workers.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    sweep = Sweep(
        trainable="exits_in_workers:train",
        space={"x": Float(0.0, 1.0)},
        objective=LOSS,
        budget=Budget(trials=2),
        out=str(tmp_path),
    )
    with pytest.raises(ClusterError, match="a worker cannot load the trainable: SystemExit: 3"):
        run(sweep)


KINDS = ["float", "zero", "int", "numpy", "array", "torch", "learned"]


@pytest.mark.parametrize(
    ("name", "ways"),
    [("returns", ["return", "return the metric", "report", "report to train"]), ("yields", ["yield"])],
)
def test_every_kind_of_number_counts_as_a_number(tmp_path, name, ways):
    report = run_each(name, tmp_path, value=KINDS, way=ways)
    expected = [{"zero": 0.0, "int": 1.0}.get(trial.config["value"], 0.25) for trial in report.trials]
    assert [trial.value for trial in report.trials] == expected
    assert {trial.state for trial in report.trials} == {"completed"}


def test_nested_results_are_named_by_path(tmp_path):
    objective = Objective(metric="val/loss", mode="min")
    report = run_each("reports_nested", tmp_path, objective=objective, value=["float", "numpy"])
    assert [trial.value for trial in report.trials] == [0.25, 0.25]
    assert events(report, "result")[0].metrics == {"loss": 1.0, "val/loss": 0.25, "val/by/class": 2}
    [trial] = run_each("ReportsNested", tmp_path, objective=objective, iterations=2, x=[1]).trials
    assert trial.curve == [(1, 2.0), (2, 1.0)]


def test_a_function_may_return_the_values_of_several_objectives(tmp_path):
    objective = Objective.model_validate([{"metric": name, "mode": "min"} for name in ("loss", "size")])
    report = run_each("returns_two", tmp_path, objective=objective, value=["float", "zero"])
    assert [trial.values for trial in report.trials] == [(1.0, 0.25), (1.0, 0.0)]


def test_what_a_function_returns_must_be_a_result(tmp_path):
    [trial] = run_each("returns_text", tmp_path, x=[1]).trials
    assert trial.error == "the function must return a number, metrics by name, or nothing, got 'low'"
    [trial] = run_each("reports_a_number", tmp_path, x=[1]).trials
    assert trial.cause == "TypeError: tune.report takes a mapping of metrics, got 0.5"


def test_a_trial_finds_its_own_folder_in_the_results(tmp_path):
    report = run_each("writes_a_file", tmp_path, x=[1, 2])
    for trial in report.trials:
        assert (report.folder / "trials" / trial.id / "note.txt").read_text() == str(trial.config["x"])


def test_trials_that_ask_for_no_folder_leave_none(tmp_path):
    report = run_each("returns", tmp_path, value=["float", "zero"], way=["return"])
    assert not (report.folder / "trials").exists()


class Watching:
    """End the sweep, as Ctrl-C would, at its first note."""

    def __init__(self):
        self.notes = []

    def open(self, sweep, folder, slots):
        return

    def show(self, driver):
        if driver.notes and not self.notes:
            self.notes += driver.notes
            os.kill(os.getpid(), signal.SIGINT)

    def close(self):
        return


def test_trials_that_wait_for_tasks_without_resources_are_announced(tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.cluster.listener._SECONDS_TO_STARVE", 2.0)
    watching = Watching()
    report = run_each("waits_for_a_task", tmp_path, progress=watching, concurrent=None, x=list(range(9)))
    assert report.reason == "interrupted"
    [note] = watching.notes
    assert note.startswith("trials wait for their own tasks or actors, which request 1 CPU")
    assert "budget.concurrent" in note


def test_a_second_sweep_at_once_in_one_process_is_refused(tmp_path):
    class Starting(Watching):
        error = None

        def show(self, driver):
            if self.error is None:
                with pytest.raises(ClusterError) as refusal:
                    run_each("returns", tmp_path / "second", value=["float", "zero"], way=["return"])
                self.error = str(refusal.value)

    starting = Starting()
    run_each("returns", tmp_path / "first", progress=starting, value=["float", "zero"], way=["return"])
    assert present(starting.error).startswith("another sweep is running in this process")
    assert not (tmp_path / "second").exists()


FILE = """
import logging, multiprocessing, os, pickle
import torch
from ray import tune

torch.set_default_dtype(torch.float64)
os.environ["OF_THE_FILE"] = "there"
logging.basicConfig(level=logging.ERROR)


class Net:
    def __init__(self, size):
        self.size = size


def size_of(net):
    return net.size


def train(config):
    import neighbour

    with multiprocessing.get_context("spawn").Pool(1) as pool:
        size = pool.apply(size_of, (pickle.loads(pickle.dumps(Net(3))),))
    logging_is_set = logging.getLogger().level == logging.ERROR
    name = train.__module__
    dtype, there = str(torch.get_default_dtype()), os.environ.get("OF_THE_FILE")
    tune.report({"loss": size, "dtype": dtype, "there": there, "logs": logging_is_set, "name": name,
                 "near": neighbour.VALUE})
"""


@pytest.mark.parametrize("kind", ["train_it.py:train", "train_it:train"])
def test_a_file_is_one_module_under_one_name_everywhere(kind, tmp_path, monkeypatch):
    (tmp_path / "train_it.py").write_text(FILE)
    (tmp_path / "neighbour.py").write_text("VALUE = 5\n")
    monkeypatch.chdir(tmp_path)
    dtype, modules = torch.get_default_dtype(), dict(sys.modules)
    monkeypatch.setattr("sys.path", list(sys.path))
    try:
        report = run(
            Sweep(
                trainable=kind,
                space={"x": Float(0.0, 1.0)},
                objective=LOSS,
                budget=Budget(trials=1),
                out=str(tmp_path),
            )
        )
    finally:
        torch.set_default_dtype(dtype)
        os.environ.pop("OF_THE_FILE")
        for name in sys.modules.keys() - modules.keys():
            del sys.modules[name]
    assert report.trials[0].error is None
    [result] = events(report, "result")
    expected = {"dtype": "torch.float64", "there": "there", "logs": True, "name": "train_it", "near": 5}
    assert result.metrics == {"loss": 3, **expected}


def test_what_a_trial_prints_is_kept_and_can_be_shown(tmp_path, capsys):
    report = run_each("prints", tmp_path, x=[1, 2, 3])
    for trial in report.trials:
        text = (report.folder / "logs" / f"{trial.id}.log").read_text()
        assert f"printed by {trial.config['x']}\n" in text
        assert f"logged by {trial.config['x']}\n" in text
        assert text.count("by") == 2
        assert ("train: error: unrecognized arguments: --nope" in text) is (trial.config["x"] == 2)
    assert main(["logs", str(report.folder), "1"]) == 0
    assert capsys.readouterr().out == (report.folder / "logs" / "00001.log").read_text()
    assert main(["logs", str(report.folder), "7"]) == 2
    expected = f"error: {report.folder}: has no trial 7; must be below 3\n"
    assert capsys.readouterr().err == expected


def test_a_trial_that_prints_nothing_has_no_log(tmp_path, capsys):
    report = run_each("prints_nothing", tmp_path, x=[1, 2])
    assert not (report.folder / "logs").exists()
    assert main(["logs", str(report.folder), "0"]) == 0
    assert capsys.readouterr().err == "trial 0 printed nothing\n"
