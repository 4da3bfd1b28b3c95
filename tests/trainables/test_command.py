"""The command line of a program, its results, and how it ends. Real processes, no Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trainables import watched
from trainables.command import arguments
from trainables.command.program import Program
from trainables.command.results import ResultCollector, no_result, reader_of, take_checkpoint
from trainables.command.trainable import command
from trainables.configs import CommandSettings
from trainables.configs.strict import parse

CONFIG = {"lr": 1e-05, "low": -1e-05, "units": [64, 32], "wide": True, "name": "a b", "gone": None}


def settings_of(*words, **settings):
    return CommandSettings(command=list(words), **settings)


def line(*words, values=CONFIG, other=None, **settings):
    found = {"seed": "7", "trial": "00003", "checkpoint": "", **(other or {})}
    return arguments.command_line(settings_of(*words, **settings), values, found.__getitem__)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["{lr}"], ["1e-05"]),
        (["--lr={lr}", "x{{lr}}"], ["--lr=1e-05", "x{lr}"]),
        (["{seed}-{trial}"], ["7-00003"]),
        (['{"json": 1}'], ['{"json": 1}']),
        (["a", ["--resume", "{checkpoint}"]], ["a"]),
        (["a", ["--low", "{low}"]], ["a", "--low", "-1e-05"]),
        (["{units}"], ["[64, 32]"]),
    ],
)
def test_placeholders_are_filled_in(words, expected):
    assert line(*words) == expected


def test_all_hyperparameters_are_options_that_argparse_reads_back():
    code = (
        "import argparse, json; p = argparse.ArgumentParser();"
        "[p.add_argument('--' + n, type=t) for n, t in [('lr', float), ('low', float)]];"
        "[p.add_argument('--' + n) for n in ('wide', 'name')];"
        "p.add_argument('--units', type=int, nargs='+'); print(json.dumps(vars(p.parse_args())))"
    )
    done = subprocess.run(
        line(sys.executable, "-c", code, "{args}"), capture_output=True, text=True, check=True
    )
    assert done.stdout == '{"lr": 1e-05, "low": -1e-05, "wide": "true", "name": "a b", "units": [64, 32]}\n'


def test_a_hyperparameter_without_a_value_is_no_empty_word():
    with pytest.raises(ValueError, match=r"\{momentum\} has no value in this trial"):
        line("--momentum", "{momentum}")


@pytest.mark.parametrize(
    ("booleans", "true", "false"),
    [
        ("values", ["--b", "true"], ["--b", "false"]),
        ("flags", ["--b"], []),
        ("no-flags", ["--b"], ["--no-b"]),
    ],
)
def test_booleans_have_three_forms(booleans, true, false):
    assert line("{args}", values={"b": True}, booleans=booleans) == true
    assert line("{args}", values={"b": False}, booleans=booleans) == false


def test_overrides_follow_the_grammar_of_hydra():
    values = {"optimizer.lr": 0.1, "name": "it's", "sizes": (1, 2), "flags": {"a": True}}
    expected = ["optimizer.lr=0.1", "name='it\\'s'", "sizes=[1,2]", "flags={a:true}"]
    assert line("{overrides}", values=values) == expected


def test_values_are_quoted_for_the_shell():
    settings = CommandSettings(command="printf '%s|' {name} {args}", shell=True)
    words = arguments.command_line(settings, {"name": "a b; exit 9"}, str)
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "a b; exit 9|--name|a b; exit 9|"


@pytest.mark.parametrize(
    ("settings", "config", "message"),
    [
        (
            {"command": ["a", "{lrr}"]},
            {"lr": 1},
            "command: {lrr} is no hyperparameter of every trial; did you mean 'lr'",
        ),
        (
            {"command": ["a"], "results": "json"},
            {"lr": 1},
            "command: must use the hyperparameter 'lr'; add '{args}'",
        ),
        ({"command": ["a"], "cwd": "nowhere"}, {}, "cwd: there is no folder 'nowhere'"),
    ],
)
def test_a_command_line_that_does_not_fit_is_refused(settings, config, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        command.check({**settings, **config, "seed": 0})
    assert message in str(raised.value)


def test_a_conditional_hyperparameter_may_be_used_in_a_group():
    command.check({"command": ["a", "{args}", ["--momentum", "{momentum}"]], "lr": 0.1, "seed": 0})


PRINTS = "import argparse\nprint('val_loss: 0.87')"
NO_CLIENT = "results: must say how to read the results of train.py, which does not use tuner.client; write "
EQUAL = "so all trials would be equal; add '{args}' to pass all as --name value, or '{config}'"


@pytest.mark.parametrize(
    ("text", "words", "messages"),
    [
        (PRINTS, ["{args}"], [NO_CLIENT + "results: pairs"]),
        (PRINTS, [], [NO_CLIENT, f"command: train.py gets no hyperparameter, {EQUAL}"]),
        ("import helper\n" + PRINTS, ["{args}"], [NO_CLIENT]),
        (
            "from tuner import client\nclient.report({'loss': 1})",
            [],
            [f"command: train.py does not call tuner.client.config, {EQUAL}"],
        ),
    ],
)
def test_a_script_that_cannot_report_to_the_client_is_refused(text, words, messages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(text)
    (tmp_path / "helper.py").write_text("import json, os.path")
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        command.check({"command": ["python", "train.py", *words], "lr": 0.1, "seed": 0})
    problems = str(raised.value).splitlines()
    assert len(problems) == len(messages)
    assert all(problem.startswith(message) for problem, message in zip(problems, messages, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "from tuner import client\nclient.config()",
        "from tuner.client import config, report",
        "import reporting",  # a module beside the script
        "import own_library_of_another_environment",
        "import subprocess\nsubprocess.run(['python', 'other.py'])",
    ],
)
def test_a_script_that_may_use_the_client_is_accepted(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(text)
    (tmp_path / "reporting.py").write_text("from tuner import client\nconfig = client.config()")
    (tmp_path / "data.csv").write_text("1,2")
    command.check({"command": ["python", "train.py", "data.csv"], "lr": 0.1, "seed": 0})
    command.check({"command": ["python", "-m", "train", "data.csv"], "lr": 0.1, "seed": 0})


def test_a_command_may_name_the_callback_that_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(PRINTS)
    callback = "++hydra.callbacks.tuner._target_=tuner.integrations.hydra.ReportReturnValue"
    command.check({"command": ["python", "train.py", "{overrides}", callback], "lr": 0.1, "seed": 0})


@pytest.mark.parametrize(
    ("results", "found", "last", "message"),
    [
        (
            "client",
            {},
            ["Epoch 10/10 val_loss: 0.87"],
            "without reporting 'val_loss' through tuner.client; its output has it: write results: pairs",
        ),
        ("client", {}, ['{"val_loss": 0.87}'], "its output has it: write results: json"),
        ("client", {}, ["done"], "it must call tuner.client.report, or results must say how to read"),
        (
            "pairs",
            {"train_loss": 1, "val_losses": 2},
            [],
            "without reporting 'val_loss', only train_loss, val_losses; did you mean 'val_losses'?",
        ),
        ("pairs", {}, ["done"], "without reporting 'val_loss' or any other metric; see results"),
    ],
)
def test_a_program_without_a_result_gets_the_remedy(results, found, last, message):
    settings = settings_of("a", results=results)
    assert message in no_result(settings, ["val_loss"], found=found, last=last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"command": []}, "command: must name a program, got []"),
        ({"command": "a b"}, "command: must be a list of words; for one text, add shell: true, got 'a b'"),
        ({"command": ["a"], "shell": True}, "command: must be one text, got ['a']"),
        (
            {"command": ["a"], "results": {"csv": "x", "regex": "y"}},
            "must have one of tensorboard, csv and regex",
        ),
        ({"command": ["a"], "results": {"regex": "("}}, "regex is no regular expression"),
        ({"command": ["a"], "results": {"regex": "loss (.*)"}}, "regex must have named groups"),
        ({"command": ["a"], "grace": -1}, "grace: must be greater than or equal to 0, got -1"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        parse(CommandSettings, settings, where="trainable")
    assert message in str(raised.value)


def test_a_program_sees_hyperparameters_and_seeds_but_no_settings():
    config = {"command": ["a"], "nested": True, "optimizer.lr": 1, "seed": 2}
    assert command.visible(config) == {"optimizer.lr": 1, "seed": 2}


LINES = {
    "json": ['{"loss": 0.5, "step": 1}', "noise", '{"broken', '{"acc": 0.9}', '{"loss": 0.25}'],
    "pairs": ["epoch 1 loss=0.5 step: 1", "noise = here", "acc=0.9", "val.loss=3, x_loss=4", "loss: 2.5e-1,"],
    "regex": ["loss 0.5 at step 1", "noise", "loss 0.25 at step 2"],
}
FOUND = {
    "json": [{"loss": 0.5, "step": 1}, {"acc": 0.9, "loss": 0.25}],
    "pairs": [
        {"loss": 0.5, "step": 1},
        {"acc": 0.9, "val.loss": 3, "x_loss": 4, "loss": 0.25},
    ],
    "regex": [{"loss": 0.5, "step": 1}, {"loss": 0.25, "step": 2}],
}
SOURCES = {
    "json": "json",
    "pairs": "pairs",
    "regex": {"regex": r"loss (?P<loss>\S+) at step (?P<step>\d+)"},
}


def collected(source, read, folder, objectives=("loss",)):
    reader = reader_of(settings_of("a", results=source), folder)
    collector = ResultCollector(objectives)
    return [found for metrics in read(reader) if (found := collector.add(metrics)) is not None]


@pytest.mark.parametrize("kind", SOURCES)
def test_lines_of_the_output_become_results(kind, tmp_path):
    def read(reader):
        return [metrics for text in LINES[kind] for metrics in reader.read_line(text)]

    assert collected(SOURCES[kind], read, tmp_path) == FOUND[kind]


def test_a_result_waits_for_every_objective(tmp_path):
    def read(reader):
        return [m for text in ("loss=1", "size=2", "loss=3 size=4") for m in reader.read_line(text)]

    assert collected("pairs", read, tmp_path, ("loss", "size")) == [
        {"loss": 1, "size": 2},
        {"loss": 3, "size": 4},
    ]


def test_rows_added_to_a_csv_file_become_results(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,9\n")  # of an earlier run

    def read(reader):
        found = list(reader.read_files())
        for text in ("2,0.5\n3,0.", "25\n4,\n"):
            with path.open("a") as file:
                file.write(text)
            found += reader.read_files()
        path.write_text("loss,acc\n7,8\n")
        return [*found, *reader.read_files()]

    assert collected({"csv": "log.csv"}, read, tmp_path) == [
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 0.25},
        {"step": 4, "loss": 7, "acc": 8},
    ]


def test_scalars_of_one_step_in_event_files_become_a_result(tmp_path):

    import torch
    from tensorboardX import SummaryWriter

    def read(reader):
        with SummaryWriter(str(tmp_path / "runs")) as writer:
            for step in range(3):
                writer.add_scalar("loss", 1 / (1 + step), step)
                writer.add_scalar("acc", step, step)
                writer.add_histogram("weights", torch.ones(2), step)
                writer.flush()
            first = list(reader.read_files())
        return [*first, *reader.read_files(), reader.rest()]  # a writer may write late

    found = collected({"tensorboard": "runs"}, read, tmp_path)
    assert found == [{"loss": pytest.approx(1 / (1 + step)), "acc": step, "step": step} for step in range(3)]


def test_the_checkpoint_in_a_result_is_a_folder(tmp_path):
    result = {"loss": 1, "checkpoint": "state"}
    assert take_checkpoint(result, tmp_path) == str(tmp_path / "state")
    assert result == {"loss": 1}
    assert take_checkpoint(result, tmp_path) is None


def started(code, tmp_path, *, grace=5.0, arguments=()):
    line = [sys.executable, "-c", code, *map(str, arguments)]
    return Program(line, folder=tmp_path, environment=dict(os.environ), grace=grace)


def ended(program):
    printed = []
    while program.outcome is None:
        printed += program.lines(1.0)
    return [(each.stream, each.text) for each in printed], program.outcome.code


def test_a_program_ends_with_its_output_and_exit_code(tmp_path):
    code = "import os, sys; print('out', os.getcwd()); print('err', file=sys.stderr); sys.exit(3)"
    printed, exit_code = ended(started(code, tmp_path))
    assert sorted(printed) == [("stderr", "err"), ("stdout", f"out {tmp_path}")]
    assert exit_code == 3


def test_a_program_that_a_signal_kills_has_a_negative_exit_code(tmp_path):
    assert ended(started("import os; os.kill(os.getpid(), 9)", tmp_path)) == ([], -signal.SIGKILL)


def test_a_program_that_does_not_exist_is_reported(tmp_path):
    program = Program(["no-such-program"], folder=tmp_path, environment=dict(os.environ), grace=1)
    while program.outcome is None:
        list(program.lines(1.0))
    assert program.outcome.code is None
    assert "no-such-program" in program.outcome.error


def test_long_and_odd_output_is_kept(tmp_path):
    code = "import sys; sys.stdout.buffer.write(b'x' * 200_000 + b'\\n\\xff\\r50%\\nend')"
    printed, _ = ended(started(code, tmp_path))
    texts = [text for _, text in printed]
    assert "".join(texts[:-2]) == "x" * 200_000
    assert texts[-2:] == ["\ufffd\r50%", "end"]


# Starts a child in the same group and a daemon in a session of its own. Their numbers are written to a file.
FAMILY = """
import os, signal, subprocess, sys, time
ignores = sys.argv[2] == "ignores"
nap = "import signal, time; " + ("signal.signal(signal.SIGTERM, signal.SIG_IGN); " if ignores else "")
nap += "print('up', flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", nap], stdout=subprocess.PIPE)
daemon = subprocess.Popen([sys.executable, "-c", nap], stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline(), daemon.stdout.readline()
if ignores:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {child.pid} {daemon.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
if sys.argv[3] == "stays":
    time.sleep(600)
"""


@pytest.mark.parametrize("reaction", ["obeys", "ignores"])
def test_a_stopped_program_leaves_no_process_behind(tmp_path, reaction):
    program = started(FAMILY, tmp_path, grace=0.5, arguments=[tmp_path / "pids", reaction, "stays"])
    pids = watched.family(tmp_path / "pids")
    list(program.stop())
    assert watched.gone(pids, seconds=5)
    assert program.outcome.code == (-signal.SIGTERM if reaction == "obeys" else -signal.SIGKILL)


def test_a_program_that_ends_leaves_no_process_behind(tmp_path):
    program = started(FAMILY, tmp_path, arguments=[tmp_path / "pids", "obeys", "ends"])
    _, code = ended(program)
    assert code == 0
    assert watched.gone(watched.family(tmp_path / "pids"), seconds=5)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_no_process_is_left_when_the_process_that_runs_the_program_is_killed(tmp_path):
    code = (
        "import os, sys, time; from pathlib import Path; from trainables.command.program import Program;"
        f"Program([sys.executable, '-c', {FAMILY!r}, {str(tmp_path / 'pids')!r}, 'ignores', 'stays'],"
        " folder=Path.cwd(), environment=dict(os.environ), grace=0.5); time.sleep(600)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code])
    pids = watched.family(tmp_path / "pids")
    worker.kill()
    worker.wait()
    assert watched.gone(pids, seconds=10)


def test_a_program_that_handles_the_signal_gets_its_time(tmp_path):
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.3); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    program = started(code, tmp_path, grace=20)
    while not list(program.lines(1.0)):
        pass
    began = time.monotonic()
    assert [each.text for each in program.stop()] == ["saved"]
    assert program.outcome.code == 0
    assert time.monotonic() - began < 15


def test_scripts_that_mention_checkpoints_seem_to_write_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain.py").write_text("print('loss=1')")
    Path("saving.py").write_text("client.restore(model=model)")
    assert not command.writes_checkpoints({"command": ["python", "plain.py"]})
    assert command.writes_checkpoints({"command": ["python", "saving.py"]})
    assert command.writes_checkpoints({"command": ["tool", ["--from", "{checkpoint}"]]})
    assert command.files({"command": ["python", "plain.py"]}) == [tmp_path / "plain.py"]


def test_a_file_is_found_from_another_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("train.py").write_text("")
    shutil.copy("train.py", "sub/inner.py")
    found = line("python", "train.py", "inner.py", cwd="sub")
    assert found == ["python", str(tmp_path / "train.py"), "inner.py"]
