"""Population-based training and its replay, on a real local Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.running import events, run_toy
from tests.present import present
from tuner import Budget, Float, Objective, Pbt, Replay, Resources, SpecError, Sweep, run
from tuner.journal import History, read

POPULATION = 6
PBT = Pbt(interval=2, quantile=0.34)


def population(tmp_path, /, toy="Lineage", **parts):
    parts = {"scheduler": PBT, "seed": 5, "resources": Resources(lanes=1), **parts}
    return run_toy(toy, tmp_path, trials=POPULATION, iterations=9, space={"x": Float(0.0, 0.5)}, **parts)


def histories(report):
    """Return trial -> iteration -> the x values that its weights were trained with."""
    found: dict[int, dict[int, list[float]]] = {trial.number: {} for trial in report.trials}
    for event in events(report, "result"):
        found[event.trial][event.iteration] = json.loads(event.metrics["history"])
    return found


@pytest.fixture(scope="module", params=["one lane", "lanes", "function"])
def report(request, cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("population")
    if request.param == "function":
        return population(folder, toy="lineage", settings={"saves": True})
    return population(folder, resources=Resources(lanes=3 if request.param == "lanes" else 1))


def test_an_exploiting_trial_continues_from_the_weights_of_its_source(report):
    history = histories(report)
    exploits = events(report, "reconfigured")
    assert len(exploits) >= POPULATION // 2
    for event in exploits:
        done = event.iteration
        before = history[event.source][done]
        assert history[event.trial][done + 1] == [*before, event.config["x"]]


def test_all_trials_run_to_the_end_of_the_budget(report):
    assert report.counts()["completed"] == POPULATION
    assert {trial.iterations for trial in report.trials} == {9}


def test_sources_are_the_best_trials_and_exploiters_the_worst(report):
    resumes = [each for each in report.decisions() if each["action"] == "resume"]
    ranks = {(each["rung"], int(each["trial"])): each["rank"] for each in resumes}
    exploits = [each for each in resumes if "source" in each]
    assert exploits
    for each in exploits:
        assert each["rank"] > POPULATION - 2
        assert ranks[each["rung"], each["source"]] <= 2


def test_the_report_shows_the_configuration_of_the_best_value(report):
    for trial in report.trials:
        assert trial.config["x"] == histories(report)[trial.number][trial.best_iteration][-1]


def test_the_schedule_lists_what_the_best_trial_was_trained_with(report):
    for trial in report.trials:
        schedule = report.schedule(trial)
        trained = [
            next(config["x"] for start, config in reversed(schedule) if start < iteration)
            for iteration in range(1, trial.best_iteration + 1)
        ]
        assert trained == histories(report)[trial.number][trial.best_iteration]


def test_a_replay_trains_the_winning_schedule_again(report, tmp_path):
    replay = Sweep(**{**report.replay(), "out": str(tmp_path)})
    again = run(replay)
    best = report.best()
    assert histories(again)[0][best.best_iteration] == histories(report)[best.number][best.best_iteration]
    assert present(again.best()).value == report.best().value


def test_only_the_best_trial_keeps_its_checkpoints(report):
    kept = [folder.name for folder in (report.folder / "checkpoints").iterdir() if folder.is_dir()]
    assert kept == [report.best().id]
    assert Path(report.best().checkpoint, "history.json").is_file()


def test_the_outcome_does_not_depend_on_the_number_of_concurrent_trials(cluster, tmp_path):
    reports = [population(tmp_path / str(at_once), budget={"concurrent": at_once}) for at_once in (1, 2)]
    assert histories(reports[0]) == histories(reports[1])


def test_a_function_without_checkpoints_fails_with_the_reason(cluster, tmp_path):
    report = population(tmp_path, toy="lineage", settings={"saves": False})
    errors = {trial.error for trial in report.trials if trial.state == "failed"}
    assert errors
    assert all(error.endswith("report one together with a result") for error in errors)


def test_a_class_that_cannot_save_is_refused(cluster, tmp_path):
    with pytest.raises(SpecError) as caught:
        population(tmp_path, toy="WithoutCheckpoints")
    [problem] = caught.value.problems
    assert problem.where == "trainable"
    assert problem.what.endswith("has no save_checkpoint")


def test_hyperparameters_can_follow_a_user_s_schedule(cluster, tmp_path):
    changes = [{"at": 3, "set": {"x": 0.2}}, {"at": 5, "set": {"x": 0.1}}]
    report = population(tmp_path, scheduler=Replay(changes=changes))
    for number, history in histories(report).items():
        first = report.trials[number].first_config["x"]
        assert history[9] == [first] * 3 + [0.2] * 2 + [0.1] * 4
    check_checkpoints(report)


def test_after_any_event_each_checkpoint_is_registered_once(report):
    check_checkpoints(report)


def check_checkpoints(report):
    """Check that each checkpoint is registered once and that a copy has no value of the trial itself.

    Ray deletes a checkpoint that is registered twice.
    """
    everything = list(read(report.folder))
    for end in range(1, len(everything)):
        for trial in History.of(everything[:end]).trials.values():
            paths = [each.path for each in trial.checkpoints]
            assert len(set(paths)) == len(paths)
            assert all(each.is_copy is ("/from_" in each.path) for each in trial.checkpoints)


def test_a_restored_trial_gets_its_own_configuration(tmp_path):
    sweep = Sweep(
        trainable=f"{Path(__file__).with_name('diaries.py')}:Remembering",
        space={"x": Float(0.0, 1.0)},
        objective=Objective(metric="loss", mode="min"),
        budget=Budget(trials=4, iterations=9),
        scheduler={"kind": "pbt", "interval": 3},
        out=str(tmp_path),
    )
    report = run(sweep)
    results = [event.metrics for event in events(report, "result")]
    assert events(report, "reconfigured")
    assert [result["x"] for result in results] == [result["configured"] for result in results]
