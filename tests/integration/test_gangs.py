"""Trials of several processes, on a real local Ray."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from tests.integration import gangs
from tests.integration.running import events
from tests.present import present
from tuner import Budget, Choice, Objective, Report, Resources, Sweep, run

HERE = Path(__file__).parent
LOSS = Objective(metric="loss", mode="min")


def run_gang(name: str, out: Path, /, *, processes=2, lr=(0.05,), budget=None, **parts) -> Report:
    """Run trials of several processes, one per learning rate. ``parts`` without a field are constants."""
    notes = out / "notes"
    notes.mkdir(exist_ok=True)
    fields = {key: parts.pop(key) for key in list(parts) if key in Sweep.model_fields}
    space = {"lr": Choice(list(lr)) if len(lr) > 1 else lr[0], "folder": str(notes), **parts}
    sweep = Sweep(
        **{
            "trainable": f"{HERE / 'gangs.py'}:{name}",
            "space": space,
            "objective": LOSS,
            "budget": Budget(**{"retries": 0, "iterations": 9, "concurrent": 1, **(budget or {})}),
            "searcher": "grid",
            "resources": Resources(cpu=1, processes=processes),
            "out": str(out),
            **fields,
        }
    )
    return run(sweep)


def noted(out: Path) -> list[dict]:
    """Return what each rank of each start of a trial has written."""
    return [json.loads(path.read_text()) for path in (out / "notes").glob("*.json")]


def curve(report: Report, number: int) -> dict[int, float]:
    return {e.iteration: present(e.value) for e in events(report, "result") if e.trial == number}


@pytest.fixture(scope="module", params=["descend", "Descent"])
def alone(request, cluster, tmp_path_factory) -> tuple[str, Report, Path]:
    """Two undisturbed trials of two processes, one after another."""
    out = tmp_path_factory.mktemp(request.param)
    return request.param, run_gang(request.param, out, lr=(0.05, 0.2)), out


def test_each_rank_knows_its_place_and_the_processes_are_reused(alone):
    _, report, out = alone
    assert report.counts()["completed"] == 2
    starts = defaultdict(list)
    for each in noted(out):
        starts[each["trial"]].append(each)
    for ranks in starts.values():
        assert {(one["RANK"], one["LOCAL_RANK"]) for one in ranks} == {("0", "0"), ("1", "1")}
        assert {(one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"], one["NODE_RANK"]) for one in ranks} == {
            ("2", "2", "0")
        }
        assert len({one["MASTER_PORT"] for one in ranks}) == 1
    assert len({each["MASTER_PORT"] for each in noted(out)}) == 2
    assert len({each["pid"] for each in noted(out)}) == 2


def test_the_output_of_each_rank_is_kept(alone):
    name, report, _ = alone
    if name == "descend":
        logs = report.folder / "logs"
        assert {path.name for path in logs.iterdir()} >= {"00000.log", "00000-rank1.log"}
        assert "rank 1: " in (logs / "00000-rank1.log").read_text()


def test_a_paused_and_resumed_trial_has_the_curve_of_an_undisturbed_one(alone, tmp_path):
    name, undisturbed, _ = alone
    report = run_gang(name, tmp_path, lr=(0.2, 0.05), scheduler="asha")
    expected = {trial.config["lr"]: curve(undisturbed, trial.number) for trial in undisturbed.trials}
    assert any(event.action == "pause" for event in events(report, "decision"))
    for trial in report.trials:
        found = curve(report, trial.number)
        assert found == {iteration: expected[trial.config["lr"]][iteration] for iteration in found}
    assert max(trial.iterations for trial in report.trials) == 9


@pytest.mark.parametrize(
    ("alone", "how", "rank"), [("descend", "kill", 1), ("Descent", "exit", 0)], indirect=["alone"]
)
def test_a_trial_continues_after_the_death_of_a_rank(alone, tmp_path, how, rank):
    name, undisturbed, _ = alone
    report = run_gang(name, tmp_path, how=how, rank=rank)
    assert [trial.state for trial in report.trials] == ["completed"]
    assert curve(report, 0) == curve(undisturbed, 0)
    [lost] = events(report, "lost")
    assert ("rank 1 of 2" in lost.error) == (rank == 1)
    assert ("SIGKILL" if how == "kill" else "os._exit(3)") in lost.error


@pytest.mark.parametrize(("alone", "rank"), [("descend", 1), ("Descent", 0)], indirect=["alone"])
def test_an_error_of_one_rank_fails_the_trial_with_its_traceback(alone, tmp_path, rank):
    name, _, _ = alone
    report = run_gang(name, tmp_path, how="raise", rank=rank, lr=(0.05, 0.2))
    for trial in report.trials:
        assert (trial.state, trial.cause, trial.iterations) == (
            "failed",
            "ValueError: this rank is broken",
            2,
        )
        assert (present(trial.error)).count("Traceback") == 1
        assert present(trial.error).startswith("rank 1 of 2") == (rank == 1)


def test_ranks_that_do_not_report_are_awaited(cluster, tmp_path):
    report = run_gang("silent_members", tmp_path, processes=3)
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 3)]
    assert {each["RANK"] for each in noted(tmp_path)} == {"1", "2"}


def test_a_rank_that_hangs_fails_the_trial(cluster, tmp_path):
    report = run_gang("Hangs", tmp_path, lr=(0.05, 0.2), budget={"silence": 2.0})
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("failed", 2)] * 2
    assert all("reported nothing for 2 s" in present(trial.error) for trial in report.trials)


@pytest.mark.parametrize("fails", [-1, 0, 1])
def test_a_command_runs_in_each_process(cluster, tmp_path, fails):
    (tmp_path / "script.py").write_text(gangs.SCRIPT)
    command = ["python", str(tmp_path / "script.py"), "--lr", "{lr}", "--fails", str(fails)]
    trainable = {"kind": "command", "command": command, "results": "pairs"}
    report = run_gang(
        "command", tmp_path, trainable=trainable, budget={"iterations": None}, space={"lr": 0.5}
    )
    [trial] = report.trials
    if fails == -1:
        assert (trial.state, trial.iterations) == ("completed", 3)
    else:
        assert trial.state == "failed"
        assert present(trial.error).startswith("rank 1 of 2") == (fails == 1)
        assert f"exited with code 1: rank {fails} fails" in present(trial.error)
