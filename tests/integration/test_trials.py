"""The input and the end of a trial, on a real local Ray."""

from __future__ import annotations

import json
import math
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private import state
from ray.util.placement_group import placement_group_table

import tuner
from tests.integration.running import events, most_at_once, run_toy, sweep_of
from tests.present import present
from tuner import Budget, ClusterError, Float, Int, Objective, Report, Resources, SpecError, Sweep, run
from tuner.cluster import connection
from tuner.report import renderings


def test_a_function_reports_until_its_budget_is_used_up(tmp_path):
    report = run_toy("reports", tmp_path, trials=3, iterations=5)
    assert [trial.iterations for trial in report.trials] == [5, 5, 5]
    assert report.counts()["completed"] == 3


def test_a_function_that_returns_early_is_completed(tmp_path):
    report = run_toy("ends_by_itself", tmp_path, trials=3, iterations=None)
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 3)] * 3


def test_the_return_value_of_a_function_is_its_result(tmp_path):
    report = run_toy("returns_only", tmp_path, trials=3, iterations=None)
    assert [trial.value for trial in report.trials] == [trial.config["x"] for trial in report.trials]


def test_a_function_that_reports_nothing_fails(tmp_path):
    report = run_toy("reports_nothing", tmp_path, trials=2, iterations=None)
    assert {trial.error for trial in report.trials} == {"the function ended without reporting 'loss'"}
    assert report.best() is None


def test_a_function_can_be_given_as_an_object(tmp_path):
    from ray import tune

    scale = 3.0

    def train(config):
        tune.report({"loss": scale * config["x"]})

    sweep = Sweep(
        trainable=train,
        space={"x": Float(0.0, 1.0)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=3),
        out=str(tmp_path),
    )
    report = run(sweep)
    assert [trial.value for trial in report.trials] == [3.0 * trial.config["x"] for trial in report.trials]


def test_a_function_continues_from_the_checkpoint_it_reported(tmp_path):
    report = run_toy(
        "with_checkpoints",
        tmp_path,
        trials=4,
        iterations=27,
        scheduler="asha",
        settings={"folder": str(tmp_path)},
    )
    best = present(report.best())
    steps = [int(line) for line in Path(tmp_path, f"{best.config['x']}.steps").read_text().splitlines()]
    assert best.iterations == 27
    assert steps == list(range(1, 28))


def test_a_trial_without_checkpoints_starts_over_after_a_pause(tmp_path):
    report = run_toy("WithoutCheckpoints", tmp_path, trials=6, iterations=9, scheduler="asha")
    best = present(report.best())
    repeated = [event.iteration for event in events(report, "result") if event.trial == best.number]
    assert best.iterations == 9
    assert best.checkpoint is None
    assert repeated == [1, 1, 2, 3, *range(1, 10)]


def test_a_raising_trial_fails_alone_and_its_traceback_is_kept(tmp_path):
    report = run_toy("Raising", tmp_path, trials=6, iterations=2, searcher="grid", budget={"concurrent": 2})
    counts = {state: count for state, count in report.counts().items() if count}
    assert counts == {"completed": 3, "failed": 3}
    assert 'raise OSError("the disk of this trial is full")' in renderings.errors(report)
    assert "tuner/worker" not in renderings.errors(report)


def test_an_error_in_setup_fails_the_trial(tmp_path):
    report = run_toy("RaisingInSetup", tmp_path, trials=3)
    assert report.counts()["failed"] == 3
    assert present(report.trials[0].error).endswith("RuntimeError: no such model")


def test_too_many_failures_end_the_sweep(tmp_path):
    report = run_toy("RaisingInSetup", tmp_path, trials=50, budget={"failures": 2, "concurrent": 1})
    assert report.reason == "failures"
    assert report.counts()["failed"] == 3


def test_a_trial_whose_process_dies_continues_from_its_checkpoint(tmp_path):
    report = run_toy(
        "Dying",
        tmp_path,
        trials=2,
        iterations=9,
        space={"x": Float(0.6, 1.0, points=2)},
        searcher="grid",
        settings={"folder": str(tmp_path)},
    )
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 9)] * 2
    assert len(events(report, "lost")) == 2


def test_the_log_describes_the_events_of_workers_and_trials(tmp_path):
    settings = {"folder": str(tmp_path)}
    report = run_toy("Dying", tmp_path, trials=1, iterations=5, space={"x": 0.6}, settings=settings)
    lines = [line.split(" ", 2)[2] for line in (report.folder / "tuner.log").read_text().splitlines()]
    assert lines[0] == f"INFO sweep sweep: {report.sweep['trainable']['kind']}, tuner {tuner.__version__}"
    assert any(line.startswith("INFO a worker is ready on ") for line in lines)
    assert any("WARNING trial 00000 is restarted: the process ended by os._exit(1)" in line for line in lines)
    assert "INFO a worker is replaced: its process died or could not be restored" in lines
    assert lines[-2:] == ["INFO trial 00000 completed", "INFO the sweep has ended: every trial was run"]


def test_a_trial_that_always_kills_its_process_fails_and_the_others_continue(tmp_path):
    report = run_toy(
        "Dying",
        tmp_path,
        trials=4,
        iterations=5,
        searcher="grid",
        settings={"folder": str(tmp_path)},
        budget={"retries": 1, "concurrent": 2},
    )
    states = {round(trial.config["x"], 2): trial.state for trial in report.trials}
    assert states == {0.0: "failed", 0.33: "failed", 0.67: "completed", 1.0: "completed"}
    assert "died" in present(report.trials[0].error)


def test_a_worker_that_hangs_in_a_stopped_function_is_replaced(tmp_path):
    report = run_toy("slow_between_reports", tmp_path, trials=3, iterations=2, budget={"concurrent": 1})
    assert report.counts()["completed"] == 3
    assert report.seconds < 60


@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_follow_the_cpus_of_a_trial(cpus, tmp_path):
    report = run_toy("Process", tmp_path, trials=1, iterations=1, resources=Resources(cpu=cpus))
    assert events(report, "result")[0].metrics["threads"] == cpus


def test_the_requested_number_of_trials_runs_at_once(tmp_path):
    settings = {"folder": str(tmp_path), "together": 4}
    report = run_toy(
        "Together",
        tmp_path,
        trials=8,
        iterations=1,
        searcher="optuna",
        settings=settings,
        budget={"concurrent": 4},
    )
    assert report.counts()["completed"] == 8


def test_fractions_of_a_cpu_let_more_trials_run_at_once(tmp_path):
    settings = {"folder": str(tmp_path), "together": 6}
    report = run_toy(
        "Together", tmp_path, trials=6, iterations=1, settings=settings, resources=Resources(cpu=0.5)
    )
    assert report.counts()["completed"] == 6


def test_a_sweep_waits_for_its_first_worker_without_limit(tmp_path, monkeypatch):
    """Ray warns after a minute; here it warns at once."""
    from ray.tune.execution import insufficient_resources_manager as impatience

    monkeypatch.setattr(impatience, "_get_insufficient_resources_warning_threshold", lambda: 0)
    report = run_toy("SlowToStart", tmp_path, trials=2, iterations=1, space={"x": Float(0.0, 0.5)})
    assert report.counts()["completed"] == 2


@pytest.fixture(scope="module")
def one_by_one(cluster, tmp_path_factory) -> Report:
    """Run six trials, one after the other, that report facts about their process."""
    folder = tmp_path_factory.mktemp("one_by_one")
    return run_toy("Process", folder, trials=6, iterations=1, seed=11, budget={"concurrent": 1})


def test_trials_follow_one_another_in_one_process(one_by_one):
    assert len({event.metrics["process"] for event in events(one_by_one, "result")}) == 1


def test_a_trial_keeps_the_working_directory(one_by_one):
    assert {event.metrics["folder"] for event in events(one_by_one, "result")} == {str(Path.cwd())}


def test_every_trial_has_its_own_seed_and_the_sweep_s(one_by_one):
    trials = one_by_one.trials
    seen = {event.trial: event.metrics for event in events(one_by_one, "result")}
    assert [seen[trial.number]["seed"] for trial in trials] == [trial.seed for trial in trials]
    assert len({trial.seed for trial in trials}) == 6
    assert {metrics["sweep_seed"] for metrics in seen.values()} == {11}


def test_a_sweep_with_invalid_data_leaves_no_worker_and_no_folder(tmp_path):
    sweep = Sweep(
        trainable={"kind": "mlp", "dataset": str(tmp_path / "none.csv"), "target": "y"},
        space={"lr": Float(0.001, 0.1)},
        objective=Objective(metric="val_accuracy", mode="max"),
        budget=Budget(trials=2, iterations=1),
        out=str(tmp_path / "results"),
    )
    with pytest.raises(SpecError, match=r"none\.csv"):
        run(sweep)
    assert not (tmp_path / "results").exists()
    deadline = time.monotonic() + 30
    while left := [each for each in state.actors().values() if each["State"] != "DEAD"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_an_impossible_resource_request_is_an_error_at_once(tmp_path):
    with pytest.raises(ClusterError) as caught:
        run_toy("Process", tmp_path, resources=Resources(cpu=64))
    assert str(caught.value) == (
        "resources: no node can hold a trial with cpu=64, gpu=0; the largest of 1 has 4 CPU and 0 GPU"
    )
    assert not list(tmp_path.iterdir())


def test_a_missing_gpu_is_an_error_at_once(tmp_path):
    with pytest.raises(ClusterError, match=r"no node can hold a trial with cpu=1, gpu=0\.5"):
        run_toy("Process", tmp_path, resources=Resources(gpu=0.5))


def test_a_cluster_that_does_not_start_in_time_is_a_cluster_error(monkeypatch):
    def init(**_options):
        raise Exception("The current node timed out during startup.\nThis could be anything.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    message = r"^address: cannot start Ray here: The current node timed out during startup\.$"
    with pytest.raises(ClusterError, match=message), connection.connected(None, verbose=False):
        pass


@pytest.mark.parametrize("scheduler", ["fifo", "asha"])
def test_a_trial_of_several_bundles_has_a_placement_group(scheduler, tmp_path):
    report = run_toy("Spread", tmp_path, trials=4, iterations=3, searcher="grid", scheduler=scheduler)
    assert report.counts()["failed"] == 0
    for event in events(report, "result"):
        assert event.trial is not None
        cpus = 2 if report.trials[event.trial].config["x"] < 0.5 else 3
        expected = {"cpus": cpus, "granted": cpus, "together": True}
        assert event.metrics == {"loss": event.value, **expected}
    assert most_at_once(report) <= 2
    assert not [group for group in placement_group_table().values() if group["state"] != "REMOVED"]


def run_sized(tmp_path: Path, **parts: Any) -> tuple[Report, dict[float, set[int]]]:
    """Run trials that ask for 2 or all 4 CPUs, and return the processes for each size."""
    settings = {"folder": str(tmp_path), **parts.pop("settings", {})}
    report = run_toy("Sized", tmp_path, settings=settings, iterations=2, **parts)
    processes: dict[float, set[int]] = {}
    for event in events(report, "result"):
        assert event.trial is not None
        cpus = 2 if report.trials[event.trial].config["x"] < 0.5 else 4
        assert (event.metrics["cpus"], event.metrics["threads"]) == (cpus, cpus)
        processes.setdefault(cpus, set()).add(event.metrics["process"])
    counts = report.counts()
    assert counts["completed"] + counts["stopped"] == len(report.trials)
    assert not [group for group in placement_group_table().values() if group["state"] != "REMOVED"]
    return report, processes


def test_trials_with_equal_requests_share_processes_in_turn(tmp_path):
    report, processes = run_sized(tmp_path, trials=12, searcher="grid")
    assert len(report.trials) == 12
    assert len(processes[2]) <= 2
    assert len(processes[4]) == 1
    assert not processes[2] & processes[4]


def test_trials_with_different_requests_take_turns_on_a_full_cluster(tmp_path):
    report, processes = run_sized(tmp_path, trials=12, searcher="random", seed=1, scheduler="asha")
    sizes = [trial.config["x"] < 0.5 for trial in report.trials]
    assert len(sizes) == 12
    assert sum(now != before for before, now in pairwise(sizes)) >= 3
    assert sum(map(len, processes.values())) < len(events(report, "started"))


def test_trials_with_their_own_requests_get_fresh_processes_if_asked_for(tmp_path):
    resources = Resources(isolation="process")
    _, processes = run_sized(tmp_path, trials=4, searcher="grid", resources=resources)
    assert {cpus: len(those) for cpus, those in processes.items()} == {2: 2, 4: 2}


def test_a_crashed_process_of_any_size_is_replaced(tmp_path):
    report, processes = run_sized(
        tmp_path, trials=6, searcher="grid", settings={"deadly": 0.2}, budget={"concurrent": 1}
    )
    assert [event.trial for event in events(report, "lost")] == [1]
    assert most_at_once(report) == 1
    assert (len(processes[2]), len(processes[4])) == (2, 1)
    results = [event.metrics["process"] for event in events(report, "result") if event.trial != 0]
    assert int((tmp_path / "died").read_text()) not in results


def test_a_bundle_too_large_for_any_node_is_an_error_at_once(tmp_path):
    with pytest.raises(
        ClusterError, match="resources: a trial requests 99 CPU on one node; no node has that much"
    ):
        run_toy("TooSpread", tmp_path)
    assert not list(tmp_path.iterdir())


def test_gpus_that_no_trial_can_use_are_refused_even_if_the_trainable_requests_them(tmp_path):
    with pytest.raises(
        SpecError, match=r"resources\.gpu: .*TwoGpus uses no more in a process; must be at most 1, got 2"
    ):
        run_toy("TwoGpus", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_single_bundle_requested_by_a_trainable_sizes_the_workers(tmp_path):
    report = run_toy("Wide", tmp_path, trials=6, iterations=1)
    metrics = [event.metrics for event in events(report, "result")]
    assert {metric["threads"] for metric in metrics} == {2}
    assert len({metric["process"] for metric in metrics}) <= 2


def test_resources_from_both_the_sweep_and_the_trainable_are_refused(tmp_path):
    with pytest.raises(SpecError, match="resources: the trainable requests its own resources"):
        run_toy("Wide", tmp_path, resources=Resources(cpu=1.0, gpu=0.5))


def test_a_concurrency_above_the_cluster_s_capacity_is_reduced_to_it(tmp_path):
    settings = {"folder": str(tmp_path), "together": 4}
    report = run_toy(
        "Together", tmp_path, trials=8, iterations=1, settings=settings, budget={"concurrent": 50}
    )
    assert report.counts()["completed"] == 8
    assert most_at_once(report) == 4


def test_a_time_budget_ends_the_sweep_and_keeps_all_results(tmp_path):
    report = run_toy(
        "Slow", tmp_path, iterations=10_000, space={"x": Float(0.0, 0.5)}, budget={"seconds": 5, "trials": 3}
    )
    assert report.reason == "seconds"
    assert report.counts()["stopped"] == len(report.trials) > 0
    assert report.best() is not None
    assert report.seconds < 25


def test_time_alone_can_limit_a_sweep(tmp_path):
    sweep = sweep_of("Toy", tmp_path, trials=1, space={"x": Float(0.0, 0.5)})
    sweep = sweep.model_copy(update={"budget": Budget(seconds=5, iterations=2)})
    report = run(sweep)
    assert report.reason == "seconds"
    assert len(report.trials) > 4


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_the_same_seed_gives_the_same_table_when_trials_run_one_by_one(searcher, tmp_path):
    tables = [
        run_toy(
            "Toy", tmp_path, trials=12, searcher=searcher, scheduler="asha", seed=5, budget={"concurrent": 1}
        ).table()
        for _ in range(2)
    ]
    first, second = (table.drop(columns="seconds") for table in tables)
    assert first.equals(second)


def test_configurations_do_not_depend_on_the_number_of_concurrent_trials(tmp_path):
    alone, together = (
        run_toy("Toy", tmp_path, trials=8, iterations=2, searcher="random", budget={"concurrent": concurrent})
        for concurrent in (1, 4)
    )
    assert [(t.config, t.seed) for t in alone.trials] == [(t.config, t.seed) for t in together.trials]


def test_a_second_sweep_of_the_same_name_takes_the_next_free_folder(tmp_path):
    names = [run_toy("ends_by_itself", tmp_path, trials=1).folder.name for _ in range(3)]
    assert names == ["sweep", "sweep-2", "sweep-3"]


def test_the_results_folder_holds_the_resolved_sweep_the_journal_and_a_page(tmp_path):
    report = run_toy("ends_by_itself", tmp_path, trials=1)
    assert sorted(path.name for path in report.folder.iterdir()) == [
        "checkpoints",
        "journal.sqlite",
        "report.html",
        "sweep.yaml",
        "tuner.log",
    ]
    written = Sweep.read(report.folder / "sweep.yaml").to_dict()
    assert {**written, "out": report.sweep["out"]} == report.sweep
    assert (
        str(tmp_path) not in (report.folder / "sweep.yaml").read_text()
    )  # The page must survive a move of the folder.
    assert not list(report.folder.rglob("*.pkl"))


def test_mlp_learns_digits_and_its_best_checkpoint_can_be_continued(tmp_path):
    sweep = Sweep(
        # Double precision: another process may sum in another order, which is visible in float32.
        trainable={"kind": "mlp", "dataset": "digits", "precision": "float64"},
        space={"lr": Float(1e-3, 1e-1, log=True), "hidden": Int(32, 128, log=True), "dropout": 0.1},
        objective=Objective(metric="val_accuracy", mode="max"),
        budget=Budget(trials=6, iterations=9),
        scheduler="asha",
        out=str(tmp_path),
        seed=2,
    )
    report = run(sweep)
    best = present(report.best())
    assert present(best.value) > 0.95

    from trainables.models.mlp import MLP

    again = MLP(config=sweep.trainable.given(best.config, seed=present(best.seed), sweep_seed=sweep.seed))
    by_hand = [again.train()["val_accuracy"] for _ in range(9)]
    assert by_hand == pytest.approx([value for _, value in best.curve])


def test_an_unknown_hyperparameter_is_refused_before_anything_starts(tmp_path):
    sweep = sweep_of("Process", tmp_path, trials=2)
    sweep = Sweep(**{**dict(sweep), "trainable": {"kind": "mlp", "dataset": "digits"}})
    with pytest.raises(SpecError) as caught:
        run(sweep)
    assert "space.x: mlp has no hyperparameter 'x'" in str(caught.value)
    assert "objective.metric: mlp reports no 'loss'" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_report_can_be_written_as_strict_json(tmp_path):
    report: Report = run_toy("Toy", tmp_path, trials=8, searcher="grid")
    data = json.loads(renderings.json(report), parse_constant=lambda name: pytest.fail(name))
    assert data["counts"]["failed"] == 3
    assert math.isfinite(data["best"]["value"])


def test_the_checkpoint_of_the_best_trial_is_from_its_best_iteration(tmp_path):
    report = run_toy("Rising", tmp_path, trials=1, iterations=10)
    saved = json.loads(Path(present(present(report.best()).checkpoint), "steps.json").read_text())
    assert (present(report.best()).iterations, saved) == (10, 10)


def test_the_best_trial_has_a_checkpoint_even_if_a_better_one_failed(tmp_path):
    report = run_toy(
        "LeadsThenFails",
        tmp_path,
        trials=2,
        iterations=5,
        space={"x": Float(0.1, 0.9, points=2)},
        searcher="grid",
        budget={"concurrent": 1},
    )
    assert report.trials[0].state == "failed"
    assert present(report.best()).number == 1
    assert Path(present(present(report.best()).checkpoint), "steps.json").is_file()


def test_unusual_additional_metrics_are_harmless(tmp_path):
    report = run_toy("odd_metrics", tmp_path, trials=2, iterations=None)
    assert [(trial.state, trial.iterations) for trial in report.trials] == [("completed", 3)] * 2
    [metrics, *_] = [event.metrics for event in events(report, "result") if event.trial == 0]
    assert metrics == {
        "loss": pytest.approx(report.trials[0].value),
        "huge": None,
        "infinite": None,
        "text": "fine",
        "0": 0.5,
        "1": 0.5,
        "(1, 2)": 3,
    }


def test_a_trial_finds_no_trace_of_the_previous_one(tmp_path):
    report = run_toy("leaves_traces", tmp_path, trials=4, iterations=None, budget={"concurrent": 1})
    assert report.counts()["completed"] == 4


def test_data_shared_by_trials_are_created_once_in_the_driver(tmp_path):
    report = run_toy("Sharing", tmp_path, trials=4, iterations=1, settings={"size": 3}, seed=5)
    assert {event.metrics["maker"] for event in events(report, "result")} == {os.getpid()}


def test_shared_data_that_cannot_be_pickled_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(SpecError, match="trainable: its shared data cannot be sent to the workers"):
        run_toy("SharingALock", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_trainable_that_cannot_be_pickled_is_refused_before_anything_starts(tmp_path):
    import threading

    lock = threading.Lock()
    sweep = sweep_of("reports", tmp_path, trials=2)
    sweep = Sweep(**{**dict(sweep), "trainable": lambda config: lock.acquire()})
    with pytest.raises(SpecError, match="trainable: cannot be sent to the workers: TypeError: cannot pickle"):
        run(sweep)
    assert not list(tmp_path.iterdir())


def test_an_out_path_that_is_a_file_is_an_error(tmp_path):
    from tuner import ResultsError

    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"out: cannot create .*file: File exists"):
        run(sweep_of("reports", tmp_path / "file"))


def test_no_trial_is_trained_beyond_its_last_iteration(tmp_path):
    steps = tmp_path / "steps"
    steps.mkdir()
    report = run_toy("Counted", tmp_path, trials=8, iterations=300, settings={"folder": str(steps)})
    assert [trial.iterations for trial in report.trials] == [300] * 8
    assert {file.read_text() for file in steps.iterdir()} == {"300"}


def test_the_first_of_equal_trials_is_best_and_keeps_the_checkpoint_of_that_value(tmp_path):
    report = run_toy("Tied", tmp_path, trials=4, searcher="grid", iterations=8)
    best = present(report.best())
    assert (best.number, best.value) == (0, 0.25)
    assert json.loads(Path(present(best.checkpoint), "steps.json").read_text()) >= 4
    kept = [folder.name for folder in (report.folder / "checkpoints").iterdir() if folder.is_dir()]
    assert kept == ["00000"]
