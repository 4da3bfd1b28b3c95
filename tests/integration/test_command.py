"""The command `tuner run` as a user starts it: its own process, exit code and two streams."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.running import TOYS

SWEEP = """
trainable: {{kind: "{toys}:{toy}"}}
space: {{x: {{float: [0.0, 1.0], points: 4}}}}
objective: {{metric: loss, mode: min}}
budget: {{trials: {trials}, iterations: {iterations}}}
"""


@pytest.fixture
def command(tmp_path):
    """Start `tuner` in a new folder, where the sweep file is `sweep.yaml`."""

    def start(
        *arguments: str, toy: str = "Toy", trials: int = 4, iterations: int = 3
    ) -> subprocess.Popen[str]:
        text = SWEEP.format(toys=TOYS, toy=toy, trials=trials, iterations=iterations)
        (tmp_path / "sweep.yaml").write_text(text)
        return subprocess.Popen(
            [sys.executable, "-m", "tuner.cli", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # If the tests run under nohup, child processes inherit that SIGHUP is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )

    return start


def test_json_is_the_only_thing_on_stdout_and_the_exit_code_is_0(command, tmp_path):
    process = command(
        "run", "sweep.yaml", "--json", "--set", "budget.trials=3", "--name", "mine", "--out", "here"
    )
    out, errors = process.communicate(timeout=120)
    data = json.loads(out)
    assert process.returncode == 0
    assert data["counts"]["completed"] + data["counts"]["failed"] == 3
    assert Path(tmp_path, data["results"]) == tmp_path / "here" / "mine"
    assert errors.startswith("3 trials of")
    assert "raylet" not in errors


def test_a_sweep_whose_trials_all_fail_exits_with_1(command, cluster):
    process = command("run", "sweep.yaml", "--address", cluster, toy="RaisingInSetup")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "No trial finished." in out
    assert "RuntimeError: no such model" in out


def test_an_existing_name_exits_with_2(command, cluster, tmp_path):
    (tmp_path / "results" / "taken").mkdir(parents=True)
    process = command("run", "sweep.yaml", "--name", "taken", "--address", cluster)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors == "error: name: results/taken already exists; choose another name or remove it\n"


def test_an_impossible_resource_request_exits_with_2(command):
    process = command("run", "sweep.yaml", "--set", "resources.gpu=16")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("error: resources: no node can hold a trial with cpu=1, gpu=16;")
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_an_interrupted_sweep_prints_its_best_and_leaves_no_process_behind(number, command):
    process = command("run", "sweep.yaml", toy="Slow", trials=50, iterations=1000)
    for line in process.stderr:
        if "best loss" in line:
            break
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    os.kill(process.pid, number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "best loss so far: " in out
    assert "it was interrupted" in out
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_sweep_interrupted_while_ray_starts_exits_with_130(number, command):
    process = command("run", "sweep.yaml", toy="Slow", trials=50, iterations=1000)
    while (process.pid, "raylet") not in [
        (each.info["ppid"], each.info["name"]) for each in psutil.process_iter(["ppid", "name"])
    ]:
        assert process.poll() is None
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_ray_does_not_take_over_a_handler_of_sigterm():
    code = """if True:
        import os, signal, time, ray
        from tuner.cluster import connection
        received = []
        signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
        init = ray.init
        def init_and_interrupt(**options):
            init(**options)
            os.kill(os.getpid(), signal.SIGTERM)  # while Ray's own handler is in place
        ray.init = init_and_interrupt
        with connection.connecting(None, verbose=False) as ready:
            ready()
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(4)  # Ray's handler would abort the process after 3 s
        assert received == [signal.SIGTERM, signal.SIGTERM], received
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_signal_while_ray_stops_is_harmless(tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP.format(toys=TOYS, toy="Rising", trials=2, iterations=1))
    code = """if True:
        import os, signal, sys, ray
        from tuner.cli import main
        end = ray.shutdown
        ray.shutdown = lambda: (os.kill(os.getpid(), signal.SIGTERM), end())
        sys.exit(main(["run", "sweep.yaml"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "best loss: " in done.stdout


def test_a_killed_sweep_can_still_be_reported(command, cluster, tmp_path):
    arguments = ["run", "sweep.yaml", "--name", "killed", "--address", cluster]
    process = command(*arguments, toy="Slow", trials=50, iterations=1000)
    for line in process.stderr:
        if "best loss" in line:
            break
    process.kill()
    process.communicate(timeout=60)
    assert "<h1>killed</h1>" in (tmp_path / "results" / "killed" / "report.html").read_text()
    report = command("report", "results/killed", "--json")
    out, _ = report.communicate(timeout=60)
    assert report.returncode == 0
    assert json.loads(out)["counts"]["running"] >= 1


def test_an_address_without_a_cluster_exits_with_2(command):
    process = command("run", "sweep.yaml", "--address", "127.0.0.1:1")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("error: address: no Ray cluster at '127.0.0.1:1' can be reached")


def test_a_sweep_restores_the_environment_and_the_log_levels(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP.format(toys=TOYS, toy="Toy", trials=1, iterations=1))
    program = f"""
import logging, os, tuner
names = ["tuner", "ray", "ray.tune", "ray.data", "ray.train"]
def levels(): return {{name: logging.getLogger(name).level for name in names}}
os.environ.pop("RAY_USAGE_STATS_ENABLED", None)
before = dict(os.environ)
logging.getLogger("ray.tune").setLevel(logging.ERROR)
seen = levels()
tuner.run(tuner.Sweep.read({str(path)!r}, ["out={tmp_path}"]), progress=None)
ours = {{name for name in before.keys() ^ os.environ.keys() if name.startswith(("RAY_", "TUNE_"))}}
print(sorted(ours), levels()["ray.tune"] == seen["ray.tune"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"
