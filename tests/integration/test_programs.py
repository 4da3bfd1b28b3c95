"""Programs as trials (``kind: command``) on a real local Ray."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.integration.running import events
from tests.trainables import watched
from tuner import Budget, Choice, Float, Objective, SpecError, Sweep, run
from tuner.cli import main

LOSS = Objective(metric="loss", mode="min")


def run_program(command, out, /, *, space=None, budget=None, scheduler="fifo", check=False, **settings):
    sweep = Sweep(
        trainable={"kind": "command", "command": command, "results": "json", **settings},
        space=space or {"x": Float(0.0, 1.0)},
        objective=LOSS,
        budget=Budget(**{"trials": 4, "retries": 0, "concurrent": 2, **(budget or {})}),
        scheduler=scheduler,
        out=str(out),
    )
    if check:
        return sweep.check()
    return run(sweep)


# Keeps its state in a file, and tells the folder with it as the checkpoint of each result.
COUNTING = """
epoch=0
test -n "$2" && epoch=$(cat "$2/epoch")
while test $epoch -lt 9; do
    epoch=$((epoch + 1))
    mkdir -p "$3/$epoch"
    echo $epoch > "$3/$epoch/epoch"
    echo "{\\"loss\\": $1.$((9 - epoch)), \\"epoch\\": $epoch, \\"checkpoint\\": \\"$3/$epoch\\"}"
    sleep 0.05
done
"""


def test_a_shell_script_is_paused_and_continues_from_its_folder(tmp_path):
    script = tmp_path / "count.sh"
    script.write_text(COUNTING)
    command = ["sh", str(script), "{x}", "{checkpoint}", "{folder}"]
    space = {"x": Choice([3, 1, 2, 0, 5, 4])}
    report = run_program(
        command, tmp_path, space=space, budget={"trials": 6, "iterations": 9}, scheduler="asha"
    )
    assert len(events(report, "started")) > 6
    for result in events(report, "result"):
        assert result.metrics["epoch"] == result.iteration
    assert {trial.error for trial in report.trials} == {None}
    assert "completed" in {trial.state for trial in report.trials}


CLIENT = """
lr=$({python} -m tuner.client config x)
from=$({python} -m tuner.client checkpoint)
epoch=0
test -n "$from" && epoch=$(cat "$from/epoch")
while test $epoch -lt 4; do
    epoch=$((epoch + 1))
    rm -rf state; mkdir state; echo $epoch > state/epoch
    {python} -m tuner.client report loss=$lr epoch=$epoch --checkpoint state || exit
done
"""


def test_a_shell_script_may_call_the_client(tmp_path):
    (tmp_path / "train.sh").write_text(CLIENT.replace("{python}", "python"))
    report = run_program(
        ["sh", "train.sh"],
        tmp_path,
        results="client",
        cwd=str(tmp_path),
        budget={"trials": 2, "iterations": 4, "concurrent": 1},
        scheduler={"kind": "asha", "reduction_factor": 2},
    )
    assert {trial.error for trial in report.trials} == {None}
    assert [result.metrics["epoch"] == result.iteration for result in events(report, "result")]
    assert len(events(report, "started")) > 2


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
def test_a_program_in_another_language_reports_in_pairs(tmp_path):
    code = 'for my $i (1..3) { printf "epoch $i: loss = %.3f\\n", $ARGV[0] / $i }'
    report = run_program(
        ["perl", "-e", code.replace("{", "{{").replace("}", "}}"), "{x}"], tmp_path, results="pairs"
    )
    for trial in report.trials:
        assert [value for _, value in trial.curve] == [round(trial.config["x"] / i, 3) for i in (1, 2, 3)]


FAILURES = {
    "exit": ["sh", "-c", "echo '{{\"loss\": 1}}'; echo to stdout; echo no data >&2; exit 7 # {x}"],
    "kill": ["sh", "-c", "kill -9 $$ # {x}"],
    "silent": ["sh", "-c", "echo '{{\"los\": 1}}' # {x}"],
    "missing": ["no-such-program", "{x}"],
}
CAUSES = {
    "exit": "the command exited with code 7: no data",
    "kill": "the command was killed by SIGKILL; it printed nothing",
    "silent": (
        "the command ended without reporting 'loss', only los; did you mean 'los'? (its last line: "
        '{"los": 1})'
    ),
    "missing": "the command did not start: [Errno 2] No such file or directory: 'no-such-program'",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_program_that_fails_fails_its_trial_with_its_last_words(tmp_path, kind, capsys):
    report = run_program(FAILURES[kind], tmp_path, budget={"trials": 1})
    [trial] = report.trials
    assert (trial.state, trial.cause) == ("failed", CAUSES[kind])
    assert trial.error.startswith("$ ")
    if kind == "exit":
        assert main(["logs", str(report.folder), "0"]) == 0
        assert sorted(capsys.readouterr().out.splitlines()) == ["no data", "to stdout", '{"loss": 1}']


def test_stopped_programs_and_their_children_are_gone(tmp_path):
    """Each program starts a child that ignores SIGTERM, and writes both process numbers."""
    code = (
        "import os, subprocess, sys, time\n"
        "nap = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)'\n"
        "child = subprocess.Popen([sys.executable, '-c', nap])\n"
        f"open(os.path.join({str(tmp_path)!r}, f'{{os.getpid()}}.pids'), 'w')"
        ".write(f'{os.getpid()} {child.pid}')\n"
        "for epoch in range(1000):\n"
        "    print('loss=' + sys.argv[1], flush=True); time.sleep(0.02)\n"
    )
    command = ["python", "-c", code.replace("{", "{{").replace("}", "}}"), "{x}"]
    report = run_program(
        command, tmp_path, results="pairs", grace=0.2, budget={"iterations": 4}, scheduler="asha_stop"
    )
    assert {trial.error for trial in report.trials} == {None}
    files = list(tmp_path.glob("*.pids"))
    assert len(files) == 4
    assert all(watched.gone(watched.family(path), seconds=10) for path in files)


def test_no_program_outlives_a_killed_driver(tmp_path):
    (tmp_path / "nap.py").write_text(
        f"import os, sys, time\nopen({str(tmp_path / 'pids')!r}, 'w').write(str(os.getpid()))\n"
        "print('loss=' + sys.argv[1], flush=True)\ntime.sleep(600)\n"
    )
    (tmp_path / "sweep.yaml").write_text(
        json.dumps(
            {
                "trainable": {"kind": "command", "command": ["python", "nap.py", "{x}"], "results": "pairs"},
                "space": {"x": {"float": [0, 1]}},
                "objective": {"metric": "loss", "mode": "min"},
                "budget": {"trials": 1},
            }
        )
    )
    code = "import sys; from tuner.cli import main; sys.exit(main(['run', 'sweep.yaml']))"
    driver = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    pids = watched.family(tmp_path / "pids", seconds=60)
    driver.kill()
    driver.wait()
    assert watched.gone(pids, seconds=30)


def test_a_scheduler_that_pauses_is_refused_without_checkpoints(tmp_path):
    with pytest.raises(SpecError) as raised:
        run_program(["echo", "{x}"], tmp_path, budget={"iterations": 9}, scheduler="asha", check=True)
    assert "asha pauses trials" in str(raised.value)
    assert "asha_stop" in str(raised.value)


def test_programs_get_the_python_and_the_environment_of_the_sweep(tmp_path):
    code = (
        "import json, os, sys; print(json.dumps(dict(loss=1, mine=os.environ['MINE'], x=sys.argv[1],"
        " executable=sys.executable, threads=os.environ['OMP_NUM_THREADS'])))"
    )
    report = run_program(["python", "-c", code, "{x}"], tmp_path, budget={"trials": 1}, env={"MINE": 3})
    [result] = events(report, "result")
    assert result.metrics["mine"] == "3"
    assert os.path.samefile(os.path.dirname(result.metrics["executable"]), os.path.dirname(sys.executable))
    assert float(result.metrics["x"]) == report.trials[0].config["x"]
    assert result.metrics["threads"] == "1"
