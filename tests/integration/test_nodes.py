"""Sweeps on a cluster of several nodes (Ray's own test cluster), joined with `--address`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.running import TOYS, events
from tests.present import present
from tuner import Report

pytestmark = pytest.mark.cluster

SWEEP = """
trainable: {{kind: "{toys}:{toy}", folder: "{folder}", together: 2}}
space: {{x: {{float: [0.0, 1.0]}}}}
objective: {{metric: loss, mode: min}}
budget: {{trials: 4, iterations: {iterations}}}
"""
ON_DEVICES = """
trainable: {{kind: "{toys}:TogetherOnDevices", folder: "{folder}", together: {at_once}}}
space: {{x: {{float: [0.0, 1.0]}}}}
objective: {{metric: loss, mode: min}}
budget: {{trials: 10, iterations: 1}}
resources: {{cpu: 0.5, gpu: {gpu}, lanes: 1}}
"""


@pytest.fixture
def nodes():
    """Start a head node without trials and two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    workers = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
    yield cluster, workers
    cluster.shutdown()


ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "token"}


def command(address: str) -> list[str]:
    """Return the command that runs the sweep of ``sweep.yaml`` on a cluster."""
    return [sys.executable, "-m", "tuner.cli", "run", "sweep.yaml", "--address", address]


def start(folder: Path, address: str, *, toy: str, iterations: int) -> subprocess.Popen[str]:
    text = SWEEP.format(toys=TOYS, toy=toy, folder=folder, iterations=iterations)
    (folder / "sweep.yaml").write_text(text)
    return subprocess.Popen(
        [*command(address), "--json"],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path, address: str, *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run the sweep of ``sweep.yaml`` to its end."""
    return subprocess.run(
        command(address), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=seconds
    )


def test_trials_run_on_all_nodes_and_the_cluster_is_left_running(nodes, tmp_path):
    cluster, _ = nodes
    for _ in range(2):
        process = start(tmp_path, cluster.address, toy="Together", iterations=1)
        out, errors = process.communicate(timeout=150)
        assert process.returncode == 0, errors
        assert json.loads(out)["counts"]["completed"] == 4
        for marker in tmp_path.glob("*.here"):
            marker.unlink()


def test_a_trial_of_a_lost_node_continues_on_another_node(nodes, tmp_path):
    cluster, workers = nodes
    process = start(tmp_path, cluster.address, toy="Slow", iterations=40)
    for line in present(process.stderr):
        if "2 running" in line:
            break
    cluster.remove_node(workers[0], allow_graceful=False)
    out, errors = process.communicate(timeout=150)
    assert process.returncode == 0, errors
    data = json.loads(out)
    valid = [trial for trial in data["trials"] if trial["config"]["x"] <= 0.6]
    assert valid
    assert {(trial["state"], trial["iterations"]) for trial in valid} == {("completed", 40)}


def test_gpu_seconds_end_a_sweep(tmp_path):
    """Ray believes the given number of GPUs; two trials share one."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 1, "include_dashboard": False}
    )
    (tmp_path / "sweep.yaml").write_text(
        f"trainable: '{TOYS}:Toy'\nspace: {{x: {{float: [0.0, 0.5]}}}}\n"
        "objective: {metric: loss, mode: min}\nbudget: {gpu_seconds: 3, iterations: 9}\n"
        "resources: {cpu: 1, gpu: 0.5}\n"
    )
    try:
        done = finished(tmp_path, cluster.address, seconds=120)
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr
    report = Report.read(tmp_path / "results" / "sweep")
    assert report.reason == "gpu_seconds"
    starts = [event.time for event in events(report, "started")]
    ends = [event.time for event in events(report, "ended")]
    assert max(ends) - min(starts) == pytest.approx(3, abs=1.5)  # two halves of a GPU are in use all the time


@pytest.fixture(scope="module")
def devices():
    """Start a node that claims two GPUs; Ray assigns them without checking that they exist."""
    from ray.cluster_utils import Cluster

    about = {"num_cpus": 4, "num_gpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=about)
    yield cluster
    cluster.shutdown()


@pytest.mark.parametrize(("gpu", "at_once"), [(0.25, 8), (0.4, 4), (1, 2)])
def test_trials_are_spread_over_shared_gpus_and_see_only_their_own(gpu, at_once, devices, tmp_path):
    sweep = ON_DEVICES.format(toys=TOYS, folder=tmp_path, gpu=gpu, at_once=at_once)
    (tmp_path / "sweep.yaml").write_text(sweep)
    done = finished(tmp_path, devices.address, seconds=150)
    assert done.returncode == 0, done.stderr
    assert f", {at_once} workers;" in done.stderr
    results = events(Report.read(tmp_path / "results" / "sweep"), "result")
    seen = {(event.metrics["devices"], event.metrics["process"]) for event in results}
    assert sorted(devices for devices, _ in seen) == ["0"] * (at_once // 2) + ["1"] * (at_once // 2)


GANGS = """
trainable: "{gangs}:occupy"
space: {{x: {{float: [0.0, 1.0]}}, size: {{choice: [1, 2, 3]}}, folder: "{folder}"}}
objective: {{metric: loss, mode: min}}
budget: {{trials: 12}}
searcher: random
resources: {{cpu: 0.25, gpu: 1, processes: size}}
"""


def test_trials_of_several_processes_share_the_gpus_of_two_machines(tmp_path):
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    notes = tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "sweep.yaml").write_text(GANGS.format(gangs=Path(TOYS).with_name("gangs.py"), folder=notes))
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, num_gpus=2, include_dashboard=False)
        done = finished(tmp_path, cluster.address, seconds=240)
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr
    report = Report.read(tmp_path / "results" / "sweep")
    assert report.counts()["completed"] == 12
    ranks = [json.loads(path.read_text()) for path in notes.glob("*.json")]
    assert all(each["own"] for each in ranks)
    for trial in report.trials:
        own = [each for each in ranks if each["trial"] == trial.id]
        assert {int(each["RANK"]) for each in own} == set(range(trial.config["size"]))
        assert len({each["device"] for each in own}) == trial.config["size"]
        assert {int(each["NODE_RANK"]) for each in own} == set(range(len({each["node"] for each in own})))
    uses = sorted((each["device"], each["began"], each["ended"]) for each in ranks)
    for (device, _, ended), (other, began, _) in pairwise(uses):
        assert device != other or ended <= began
    assert len({device for device, _, _ in uses}) == 4
