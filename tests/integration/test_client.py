"""``tuner.client`` in functions, on a real local Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import events, killed
from tuner import Budget, Float, Objective, Sweep, resume, run

SCRIPTS = Path(__file__).parent / "scripts.py"


SCRIPT = {"kind": "command", "command": ["python", str(SCRIPTS)]}


def sweep_of(trained, out, /, *, scheduler="fifo", space=None, iterations=9, trials=5, every=60):
    return Sweep(
        trainable=trained if isinstance(trained, dict) else f"{SCRIPTS}:{trained}",
        space=space or {"lr": Float(0.01, 0.3, log=True)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=trials, iterations=iterations, concurrent=1),
        scheduler=scheduler,
        checkpoint_every=every,
        seed=3,
        out=str(out),
    )


def curves(report):
    return [list(trial.curve) for trial in report.trials]


@pytest.fixture(scope="module")
def unbroken(cluster, tmp_path_factory):
    return run(sweep_of("trains", tmp_path_factory.mktemp("unbroken")))


def test_a_paused_trial_continues_as_if_it_had_not_been_paused(unbroken, tmp_path):
    report = run(sweep_of("trains", tmp_path, scheduler="asha"))
    for mine, whole in zip(curves(report), curves(unbroken), strict=True):
        assert mine == whole[: len(mine)]
    promoted = [each.trial for each in events(report, "started")]
    assert len(promoted) > len(set(promoted))  # some trial was paused and started again
    assert events(report, "lost") == []


def test_checkpoints_are_written_only_when_they_are_due(unbroken):
    saved = [(each.trial, each.iteration) for each in events(unbroken, "checkpoint")]
    best, improvements = float("inf"), []
    for each in events(unbroken, "result"):
        if each.value < best:
            best = each.value
            improvements.append((each.trial, each.iteration))
    assert saved == improvements
    assert len(saved) < len(events(unbroken, "result"))


def test_periodic_checkpoints_are_written_too(tmp_path):
    report = run(sweep_of("trains", tmp_path, trials=1, every=0.001))
    improvements = 6  # of this curve of nine results
    assert len(events(report, "checkpoint")) > improvements


def test_population_based_training_sets_the_learning_rate_of_a_copied_optimizer(tmp_path):
    scheduler = {"kind": "pbt", "interval": 3, "quantile": 0.4}
    report = run(sweep_of("trains", tmp_path, scheduler=scheduler))
    [*copies] = events(report, "reconfigured")
    assert copies
    for copy in copies:
        after = [each for each in events(report, "result") if each.trial == copy.trial]
        rate = next(each.metrics["rate"] for each in after if each.iteration > copy.iteration)
        assert rate == pytest.approx(copy.config["lr"])


def test_a_killed_sweep_continues_from_the_checkpoints_of_its_functions(unbroken, cluster, tmp_path):
    folder = killed(sweep_of("trains", tmp_path, every=0.001), "result", 14, cluster)
    report = resume(folder)
    assert curves(report) == curves(unbroken)


def test_a_function_with_nothing_left_to_do_completes_after_a_resume(cluster, tmp_path):
    sweep = sweep_of("trains", tmp_path, iterations=None, trials=1, every=0.001)
    folder = killed(sweep, "ended", 1, cluster, before=True)
    report = resume(folder)
    assert [(trial.state, trial.iterations, trial.error) for trial in report.trials] == [
        ("completed", 9, None)
    ]


def test_a_function_that_asks_whether_to_stop_ends_itself(tmp_path):
    trace = tmp_path / "trace"
    space = {"x": Float(0.0, 1.0), "trace": str(trace)}
    report = run(sweep_of("ends_itself", tmp_path, scheduler="asha_stop", space=space))
    assert {trial.state for trial in report.trials} == {"stopped", "completed"}
    ends = [int(line) for line in trace.read_text().split()]
    # The worker of the last trial is killed with the sweep, perhaps before it has written its line.
    assert ends[:4] == [trial.iterations for trial in report.trials][:4]


def test_processes_of_a_function_report_once(tmp_path):
    report = run(sweep_of("in_processes", tmp_path, space={"x": Float(0.0, 1.0)}, iterations=None, trials=2))
    assert [trial.iterations for trial in report.trials] == [6, 6]
    assert {each.metrics["rank"] for each in events(report, "result")} == {0.0}


def test_processes_of_a_stopped_function_end(tmp_path):
    space = {"x": Float(0.0, 1.0)}
    report = run(sweep_of("in_processes", tmp_path, space=space, scheduler="asha_stop"))
    assert "stopped" in {trial.state for trial in report.trials}
    assert {trial.error for trial in report.trials} == {None}


def test_a_script_trains_pauses_and_continues_as_the_function_does(unbroken, tmp_path):
    report = run(sweep_of(SCRIPT, tmp_path, scheduler="asha", trials=3))
    for mine, whole in zip(curves(report), curves(unbroken), strict=False):
        assert mine == whole[: len(mine)]
    assert len(events(report, "started")) > len(report.trials)
    assert {trial.error for trial in report.trials} == {None}


def test_a_killed_sweep_of_a_script_continues_from_its_checkpoints(unbroken, cluster, tmp_path):
    folder = killed(sweep_of(SCRIPT, tmp_path, trials=2, every=0.001), "result", 13, cluster)
    assert curves(resume(folder)) == curves(unbroken)[:2]
