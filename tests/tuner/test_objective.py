"""``Objective``, ``Budget`` and ``Resources``."""

import math
from typing import Any

import pytest

from tuner import Budget, Objective, Resources
from tuner.errors import SpecError

MAX = Objective(metric="accuracy", mode="max")
MIN = Objective(metric="loss", mode="min")


@pytest.mark.parametrize(
    ("objective", "best", "worst", "score"),
    [(MAX, 3.0, -1.0, 3.0), (MIN, -1.0, 3.0, -3.0)],
    ids=["max", "min"],
)
def test_the_mode_says_which_value_is_best(
    objective: Objective, best: float, worst: float, score: float
) -> None:
    values = [2.0, 3.0, -1.0]
    assert objective.best(values) == best
    assert objective.worst(values) == worst
    assert objective.score(3.0) == score
    assert objective.score(objective.score(3.0)) == 3.0


@pytest.mark.parametrize("objective", [MAX, MIN], ids=["max", "min"])
def test_better_is_strict_and_anything_is_better_than_nothing(objective: Objective) -> None:
    best, worst = objective.best([0.0, 1.0]), objective.worst([0.0, 1.0])
    assert objective.better(best, worst)
    assert not objective.better(worst, best)
    assert not objective.better(best, best)
    assert objective.better(worst, None)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"metric": "", "mode": "max"}, "metric: must have at least 1 character, got the text ''"),
        ({"metric": 3, "mode": "max"}, "metric: must be text, got 3"),
        ({"metric": "loss", "mode": "minimize"}, "mode: unknown value 'minimize'; write 'min'"),
        ({"mode": "max"}, "metric: must be given"),
    ],
)
def test_a_wrong_objective_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Objective(**given)
    assert str(refusal.value) == sentence


def test_a_budget_has_no_limits_by_default() -> None:
    assert Budget().model_dump() == {
        "trials": None,
        "iterations": None,
        "seconds": None,
        "concurrent": None,
        "failures": None,
        "total_iterations": None,
        "gpu_seconds": None,
        "trial_seconds": None,
        "silence": None,
        "retries": None,
    }


def test_a_budget_can_tolerate_no_failure_at_all() -> None:
    assert Budget(failures=0).failures == 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"trials": 0}, "trials: must be at least 1, got 0"),
        ({"iterations": 0}, "iterations: must be at least 1, got 0"),
        ({"concurrent": True}, "concurrent: must be a whole number, got true"),
        ({"seconds": 0}, "seconds: must be above 0, got 0"),
        ({"seconds": math.inf}, "seconds: must be a finite number, got inf"),
        ({"seconds": "60"}, "seconds: must be seconds, or text like 90s, 15min, 2h, got the text '60'"),
        ({"failures": -1}, "failures: must be at least 0, got -1"),
        ({"time": 60}, "unknown key 'time'; write 'seconds'"),
        ({"colour": 60}, "unknown key 'colour'; must be one of 10 names; the nearest are "
         "concurrent, failures, seconds, total_iterations, gpu_seconds"),
    ],
)  # fmt: skip
def test_a_wrong_budget_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Budget(**given)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, 1), ({"cpu": 0.5}, 1), ({"cpu": 4}, 4), ({"cpu": 2.0}, 2), ({"cpu": 0, "gpu": 0.25}, 1)],
    ids=str,
)
def test_a_trial_has_a_thread_for_each_whole_cpu_and_at_least_one(
    given: dict[str, float], threads: int
) -> None:
    assert Resources(**given).threads == threads


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"cpu": 1.5}, "cpu: must be a whole number if it is above 1, got 1.5"),
        (
            {"cpu": 2.5, "gpu": 1.25},
            "cpu: must be a whole number if it is above 1, got 2.5\n"
            "gpu: must be a whole number if it is above 1, got 1.25",
        ),
        ({"cpu": -1}, "cpu: must be at least 0, got -1"),
        ({"cpu": 0}, "must give a trial some cpu or gpu, got cpu=0, gpu=0"),
        (
            {"isolation": "process", "lanes": 4},
            "lanes: must be 1 with isolation: process, which gives each trial its own, got 4",
        ),
        ({"gpu": True}, "gpu: must be a number, got true"),
        ({"CPU": 1}, "unknown key 'CPU'; did you mean 'cpu'?"),
    ],
)
def test_impossible_resources_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as refusal:
        Resources(**given)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(90, 90), ("90s", 90), ("1.5 min", 90), ("15min", 900), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(written: Any, seconds: float) -> None:
    assert Budget(seconds=written).seconds == seconds


@pytest.mark.parametrize("written", ["90", "soon", "1.2.3s", "s"])
def test_text_that_is_no_duration_is_refused(written: str) -> None:
    with pytest.raises(
        SpecError, match=f"seconds: must be seconds, or text like 90s, 15min, 2h, got the text '{written}'"
    ):
        Budget(seconds=written)
