"""Which configuration an evaluation chooses, what it refuses, and what a report says about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.tuner.journal_rows import put
from tuner import Budget, Float, Objective, Report, ResultsError, SearchSpace, SpecError, Sweep, Trial
from tuner.evaluation.evaluate import _candidate, _choose_winner, evaluate
from tuner.evaluation.fixed_list import FixedList
from tuner.journal import Journal
from tuner.report import renderings
from tuner.trainable import TrainableSpec

LOSS = Objective(metric="val_loss", mode="min")


def trial(number: int, *values: float, state: Any = "completed", **parts: Any) -> Trial:
    curve = list(enumerate(values, start=1))
    known = {
        "config": {"lr": 0.1 * number},
        "seconds": 1.0,
        "seed": number,
        "error": None,
        "checkpoint": None,
    }
    return Trial(
        id=f"{number:05d}",
        number=number,
        state=state,
        value=min(values) if values else None,
        iterations=len(values),
        curve=curve,
        **{**known, **parts},
    )


def test_a_candidate_is_judged_at_the_best_mean_over_its_repeats():
    repeats = [trial(0, 3.0, 1.0, 2.5), trial(1, 3.0, 2.0, 0.5), trial(2, 3.0, 0.3, 1.8)]
    found = _candidate(trial(7, 0.2), repeats, LOSS)
    assert (found.claimed, found.iteration, found.values) == (0.2, 2, [1.0, 2.0, 0.3])
    assert found.mean == pytest.approx(1.1)
    assert found.spread == pytest.approx(0.8544003745)  # ((.1**2 + .9**2 + .8**2) / 2) ** .5


def test_repeats_are_compared_at_iterations_that_all_of_them_reached():
    found = _candidate(trial(7, 0.2), [trial(0, 3.0, 2.0), trial(1, 3.0, 2.5, 0.1)], LOSS)
    assert (found.iteration, found.mean) == (2, 2.25)


def test_a_candidate_with_a_failed_repeat_has_no_mean_and_is_not_chosen():
    good = _candidate(trial(1, 0.3), [trial(0, 0.9), trial(1, 0.9)], LOSS)
    broken = _candidate(trial(0, 0.1), [trial(0, 0.1), trial(1, state="failed")], LOSS)
    assert (broken.mean, broken.failures) == (None, 1)
    assert _choose_winner([broken, good], LOSS, _report(None)) is good
    with pytest.raises(ResultsError, match="every configuration has a failed repeat"):
        _choose_winner([broken], LOSS, _report(None))


def test_the_choice_uses_the_mean_and_not_the_value_claimed_by_the_search():
    lucky = _candidate(trial(0, 0.1), [trial(0, 0.9), trial(1, 0.5)], LOSS)
    steady = _candidate(trial(1, 0.2), [trial(0, 0.4), trial(1, 0.4)], LOSS)
    assert _choose_winner([lucky, steady], LOSS, _report(None)) is steady


def _report(folder) -> Report:
    return Report(
        folder=folder,
        sweep={},
        objective=LOSS,
        trials=(),
        start=0.0,
        seconds=0.0,
        reason="trials",
        _results=[],
        _decisions=[],
    )


@pytest.fixture
def results(tmp_path):
    """Return a function that writes a finished sweep of `mlp` with some parts changed.

    It returns the folder.
    """

    def write(objective=LOSS, values=(0.5,), **settings: Any):
        sweep = Sweep(
            trainable=TrainableSpec(kind="mlp", settings={"dataset": "wine", **settings}),
            space={"lr": Float(1e-3, 1.0)},
            objective=objective,
            budget=Budget(trials=1, iterations=2),
        )
        journal = Journal(tmp_path)
        put(journal, "sweep", sweep=sweep.to_dict(), version="0")
        for number, value in enumerate(values):
            put(journal, "suggested", number, config={"lr": 0.1}, seed=number)
            put(journal, "started", number, node="here")
            put(journal, "result", number, iteration=1, value=value, seconds=1.0, metrics={})
            put(journal, "ended", number, state="completed", error=None)
        put(journal, "finished", reason="trials")
        journal.close()
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": 0.0}, "trainable.test: must be above 0 with refit, which scores on the test rows; got 0"),
        (
            {"objective": Objective(metric="train_loss", mode="min")},
            "trainable: metric: must be a metric of the validation rows ('val_...'), got 'train_loss'",
        ),
        (
            {"objective": [LOSS, Objective(metric="val_accuracy", mode="max")], "values": ()},
            "objective: must be a single one to be evaluated; several have no best mean",
        ),
    ],
    ids=["no test rows", "training metric", "two objectives"],
)
def test_a_sweep_that_cannot_be_evaluated_is_refused_before_anything_runs(results, parts, message):
    with pytest.raises(SpecError) as refused:
        evaluate(results(**parts))
    assert str(refused.value) == message


def test_a_sweep_without_a_finished_trial_is_refused(results):
    with pytest.raises(
        ResultsError, match="nothing to evaluate; at least one trial must finish with a value"
    ):
        evaluate(results(values=()))


def test_a_report_shows_the_evaluation_and_a_second_one_is_refused(results):
    folder = results()
    found = {
        "metric": "val_loss",
        "mode": "min",
        "repeats": 2,
        "candidates": [
            {
                "trial": "00000",
                "config": {"lr": 0.1},
                "claimed": 0.5,
                "iteration": 1,
                "values": [0.6, 0.8],
                "mean": 0.7,
                "spread": 0.14,
                "failures": 0,
            }
        ],
        "chosen": "00000",
        "test": {"metric": "test_loss", "values": [0.75, 0.85], "mean": 0.8, "spread": 0.07},
        "results": ["evaluation/repeats", "evaluation/test"],
    }
    (folder / "evaluation.json").write_text(json.dumps(found))
    report = Report.read(folder)
    text = (
        "test_loss of trial 00000: mean 0.8, standard deviation 0.07, 2 seeds; "
        "the search claimed val_loss 0.5"
    )
    assert text in renderings.table(report)
    assert text in renderings.html(report)
    assert json.loads(renderings.json(report))["evaluation"] == found
    with pytest.raises(ResultsError, match=r"evaluation.json: the test rows have been used already"):
        evaluate(folder)


def test_given_configurations_may_belong_to_any_space():
    space = SearchSpace({"layers": {"architecture": {"dense": {"width": [4, 8]}}, "layers": [1, 2]}})
    assert FixedList(configs=({"layers": "dense(width=4)"},)).problems(space) == []
