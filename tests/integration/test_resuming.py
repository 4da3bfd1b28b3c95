"""Sweeps that are resumed after their driver was killed."""

from __future__ import annotations

import os
import signal

import pytest

from tests.integration.running import events, killed, sweep_of
from tests.present import present
from tuner import Float, Report, Resources, ResultsError, resume, run
from tuner.journal import Journal, read
from tuner.state import SweepState, replay

CASES = [("optuna", "asha"), ("random", "hyperband"), ("hyperopt", "fifo"), ("random", "pbt")]


def make(folder, searcher, scheduler):
    return sweep_of(
        "Lineage",
        folder,
        trials=8,
        iterations=9,
        space={"x": Float(0.0, 0.5)},
        searcher=searcher,
        scheduler={"kind": "pbt", "interval": 3} if scheduler == "pbt" else scheduler,
        budget={"concurrent": 1},
        resources=Resources(lanes=1),
        seed=4,
    )


def table(report: Report):
    return [
        (trial.config, trial.state, trial.value, trial.iterations, trial.curve) for trial in report.trials
    ]


@pytest.mark.parametrize(("searcher", "scheduler"), CASES, ids=lambda case: str(case))
def test_a_killed_sweep_resumes_as_if_never_interrupted(searcher, scheduler, cluster, tmp_path):
    uninterrupted = run(make(tmp_path / "whole", searcher, scheduler))
    folder = killed(make(tmp_path / "broken", searcher, scheduler), None, 40, cluster)
    broken = Report.read(folder)
    assert broken.reason is None
    assert sum(broken.counts()[state] for state in ("completed", "stopped")) < 8
    resumed = resume(folder)
    assert resumed.reason == "trials"
    assert table(resumed) == table(uninterrupted)
    kept = [entry.name for entry in (resumed.folder / "checkpoints").iterdir() if entry.is_dir()]
    assert kept == [present(resumed.best()).id]


def test_an_interrupted_sweep_can_be_resumed_more_than_once(cluster, tmp_path):
    sweep = make(tmp_path, "optuna", "asha")
    folder = killed(sweep, None, 20, cluster)
    copy = folder.rename(tmp_path / "moved")

    class Interrupting:
        """End the run, as Ctrl-C would, when the sixth trial has begun."""

        def open(self, sweep, folder, slots):
            return

        def show(self, driver):
            if len(driver.state.trials) == 6:
                os.kill(os.getpid(), signal.SIGINT)

        def close(self):
            return

    first = resume(copy, progress=Interrupting())
    assert first.reason == "interrupted"
    last = resume(copy)
    assert last.reason == "trials"
    assert table(last) == table(run(make(tmp_path / "whole", "optuna", "asha")))
    assert len(events(last, "resumed")) == 2


def test_a_sweep_that_has_ended_is_not_resumed(cluster, tmp_path):
    report = run(sweep_of("Toy", tmp_path, trials=2, iterations=2, space={"x": Float(0.0, 0.5)}))
    with pytest.raises(ResultsError, match=r"has ended .every trial was run.; there is nothing to resume"):
        resume(report.folder)


def test_a_running_sweep_is_not_resumed(tmp_path):
    journal = Journal(tmp_path)
    with pytest.raises(ResultsError, match="a sweep is running in it"):
        resume(tmp_path)
    journal.close()


def test_a_journal_of_another_searcher_is_refused(cluster, tmp_path):
    folder = killed(make(tmp_path, "random", "fifo"), None, 30, cluster)
    other = make(tmp_path / "other", "random", "fifo").model_copy(update={"seed": 5})
    with pytest.raises(ResultsError, match=r"trial 00000 ran .* but the searcher suggests"):
        replay(SweepState.begin(other), read(folder))
