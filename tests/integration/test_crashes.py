"""Recovery from a crash at the worst moment, and from a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.running import events, killed, run_toy
from tests.present import present
from tuner import Budget, Float, Objective, Report, Resources, ResultsError, Sweep, resume, run
from tuner.errors import ClusterError
from tuner.journal import FILE_NAME

HERE = Path(__file__).parent
PBT = {"kind": "pbt", "interval": 3}


def sweep_of(
    toy,
    out,
    /,
    *,
    scheduler="asha",
    concurrent=1,
    trials=8,
    budget=None,
    searcher="random",
    every=60,
    **settings,
):
    return Sweep(
        trainable={"kind": f"{HERE / 'diaries.py'}:{toy}", **settings},
        space={"x": Float(0.0, 1.0)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=trials, iterations=9, concurrent=concurrent, **(budget or {})),
        searcher=searcher,
        scheduler=scheduler,
        resources=Resources(lanes=1),
        seed=4,
        checkpoint_every=every,
        name="diary",
        out=str(out),
    )


def table(report: Report):
    return [(each.config, each.state, each.value, each.curve) for each in report.trials]


@pytest.fixture(scope="module")
def uninterrupted(cluster, tmp_path_factory):
    """Return the tables of uninterrupted sweeps, by scheduler."""
    out = tmp_path_factory.mktemp("uninterrupted")
    return {
        kind: table(run(sweep_of("Diary", out / kind, scheduler=each))) for kind, each in SCHEDULERS.items()
    }


SCHEDULERS = {"asha": "asha", "pbt": PBT}


@pytest.mark.parametrize(
    ("scheduler", "kind", "number", "before"),
    [
        ("asha", "checkpoint", 5, True),
        ("asha", "checkpoint", 5, False),
        ("asha", "ended", 3, False),
        ("pbt", "reconfigured", 1, True),
        ("pbt", "reconfigured", 1, False),
        ("pbt", "reconfigured", 3, False),
        ("pbt", "checkpoint", 14, False),
        ("pbt", "checkpoint", 8, True),  # of trials that others are about to copy from
        ("pbt", "checkpoint", 19, True),
    ],
)
def test_a_kill_at_any_moment_costs_no_trial(
    scheduler, kind, number, before, uninterrupted, cluster, tmp_path
):
    sweep = sweep_of("Diary", tmp_path, scheduler=SCHEDULERS[scheduler])
    resumed = resume(killed(sweep, kind, number, cluster, before=before))
    assert table(resumed) == uninterrupted[scheduler]
    kept = {path.name for path in (resumed.folder / "checkpoints").iterdir() if path.is_dir()}
    assert kept == {present(resumed.best()).id}


def test_a_sweep_killed_after_its_end_leaves_only_the_kept_checkpoints(cluster, tmp_path):
    folder = killed(sweep_of("Diary", tmp_path, trials=4), "finished", 1, cluster)
    kept = {path.name for path in (folder / "checkpoints").iterdir() if path.is_dir()}
    assert kept == {present(Report.read(folder).best()).id}


def emptied(path):
    path.write_text("")


def truncated(path):
    path.write_bytes(path.read_bytes()[:1])


@pytest.mark.parametrize("damage", [Path.unlink, emptied, truncated])
def test_trials_with_damaged_checkpoints_start_again(damage, uninterrupted, cluster, tmp_path):
    folder = killed(sweep_of("Diary", tmp_path), "checkpoint", 12, cluster)
    files = [path for path in (folder / "checkpoints").glob("*/*/history.json")]
    assert files
    for path in files:
        damage(path)
    resumed = resume(folder)
    assert table(resumed) == uninterrupted["asha"]
    assert any("missing or damaged: checkpoint_" in event.error for event in events(resumed, "lost"))


def test_a_half_written_checkpoint_does_not_mix_with_a_new_one_of_the_same_number(
    uninterrupted, cluster, tmp_path
):
    folder = killed(sweep_of("Diary", tmp_path), "checkpoint", 6, cluster)
    for trial in (folder / "checkpoints").glob("0*"):
        for number in range(6):
            stray = trial / f"checkpoint_{number:06d}.partial"
            stray.mkdir()
            (stray / "stray").touch()
        if not (trial / "checkpoint_000001").exists():
            (trial / "checkpoint_000001").mkdir()
            (trial / "checkpoint_000001" / "stray").touch()
    resumed = resume(folder)
    assert table(resumed) == uninterrupted["asha"]
    assert not list((folder / "checkpoints").glob("**/stray"))


def test_a_checkpoint_that_is_damaged_while_the_sweep_runs_costs_no_trial(uninterrupted, cluster, tmp_path):
    report = run(sweep_of("Ripping", tmp_path, folder=str(tmp_path)))
    assert table(report) == uninterrupted["asha"]
    assert any("missing or damaged" in event.error for event in events(report, "lost"))


def test_a_results_folder_that_vanishes_ends_the_sweep_in_one_line(cluster, tmp_path):
    out = tmp_path / "gone"
    with pytest.raises(ResultsError) as caught:
        run(sweep_of("Burning", out, folder=str(out)))
    assert "\n" not in str(caught.value)
    assert str(out) in str(caught.value)


def test_workers_that_die_before_they_are_ready_end_the_sweep_in_one_line(cluster, tmp_path):
    with pytest.raises(ClusterError) as caught:
        run_toy("DyingAtStart", tmp_path)
    assert str(caught.value) == (
        "3 workers in a row died before they were ready: "
        "The actor died unexpectedly before finishing this task; "
        f"when this is fixed, continue with: tuner resume {tmp_path / 'sweep'}"
    )


@pytest.fixture
def small_disk(tmp_path):
    """Return a function that mounts a file system limited to this many bytes and files."""
    mounted = []

    def mount(options):
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("a file system can be mounted by root only")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("options", ["size=3m", "nr_inodes=40"])
def test_a_sweep_that_fills_the_disk_can_be_resumed(options, uninterrupted, small_disk, cluster, tmp_path):
    disk = small_disk(options)
    ballast = 500_000 if options.startswith("size") else 0
    with pytest.raises(ResultsError) as caught:
        run(sweep_of("Diary", disk, ballast=ballast))
    assert "\n" not in str(caught.value)
    assert "No space left on device" in str(caught.value) or "full" in str(caught.value)
    assert not Report.read(disk / "diary").counts()["failed"]
    subprocess.run(["mount", "-o", "remount,size=100m,nr_inodes=10000", str(disk)], check=True)
    assert table(resume(disk / "diary")) == uninterrupted["asha"]


def test_a_journal_locked_by_another_process_is_an_error_in_one_line(cluster, tmp_path):
    import sqlite3

    folder = killed(sweep_of("Diary", tmp_path), "checkpoint", 2, cluster)
    other = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ResultsError, match="is locked"):
        resume(folder)
    other.close()


class Interrupting:
    """Send a signal to this process after this number of results."""

    def __init__(self, number, signal):
        self.number, self.signal = number, signal

    def open(self, sweep, folder, slots):
        return

    def show(self, driver):
        if sum(course.iteration for course in driver.state.trials.values()) >= self.number:
            self.number = 10**9
            os.kill(os.getpid(), self.signal)

    def close(self):
        return


def steps(folder):
    """Return the iterations of each trial in the order in which it did them."""
    return [[int(line.split()[1]) for line in path.read_text().splitlines()] for path in folder.glob("*.log")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_saves_all_trials_and_repeats_no_iteration(number, cluster, tmp_path):
    sweep = sweep_of("Lasting", tmp_path, scheduler="fifo", concurrent=2, trials=2, folder=str(tmp_path))
    before = signal.signal(number, signal.SIG_DFL)  # even if the tests run under nohup
    first = run(sweep, progress=Interrupting(6, number))
    signal.signal(number, before)
    assert first.reason == "interrupted"
    assert resume(first.folder).reason == "trials"
    assert steps(tmp_path) == [list(range(1, 10))] * 2


def test_regular_saves_limit_the_cost_of_a_lost_worker(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.cluster.save_times._COST", 100.0)
    settings = {"scheduler": "fifo", "trials": 2, "folder": str(tmp_path), "concurrent": 2, "every": 0.01}
    report = run(sweep_of("DyingOften", tmp_path, **settings))
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 9)] * 2
    assert steps(tmp_path) == [list(range(1, 10))] * 2
    assert len(events(report, "lost")) == 6


def test_no_trial_continues_from_an_older_checkpoint_than_decided(uninterrupted, cluster, tmp_path):
    settings = {"scheduler": PBT, "folder": str(tmp_path), "concurrent": 2}
    report = run(sweep_of("DyingAsItIsSaved", tmp_path, **settings))
    assert len(events(report, "lost")) >= 8
    assert table(report) == uninterrupted["pbt"]


def test_a_trial_that_makes_progress_may_lose_any_number_of_workers(cluster, tmp_path):
    report = run(
        sweep_of("DyingOften", tmp_path, scheduler="fifo", trials=1, folder=str(tmp_path), every=None)
    )
    assert report.counts()["completed"] == 1


def test_an_error_after_progress_does_not_fail_the_trial(cluster, tmp_path):
    settings = {"scheduler": "fifo", "trials": 2, "folder": str(tmp_path), "fails_at": [8], "times": 1}
    report = run(sweep_of("Failing", tmp_path, **settings))
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 9)] * 2
    assert len(events(report, "lost")) == 2


@pytest.mark.parametrize(("retries", "state"), [(0, "failed"), (1, "failed"), (2, "completed")])
def test_the_retries_limit_failures_without_progress(retries, state, cluster, tmp_path):
    settings = {"scheduler": "fifo", "trials": 1, "folder": str(tmp_path), "fails_at": [3, 5], "times": 2}
    report = run(sweep_of("Failing", tmp_path, budget={"retries": retries}, **settings))
    assert [trial.state for trial in report.trials] == [state]
    assert len(events(report, "lost")) == {0: 0, 1: 1, 2: 4}[retries]


def test_trials_that_cannot_share_a_process_get_separate_ones(cluster, tmp_path):
    report = run(sweep_of("Unsociable", tmp_path, scheduler="fifo", trials=6))
    assert report.counts()["completed"] == 6
    ended = [event.metrics["process"] for event in events(report, "result") if event.iteration == 1]
    assert len(set(ended)) == 6
    assert len(events(report, "lost")) == 2  # then the driver uses fresh processes
