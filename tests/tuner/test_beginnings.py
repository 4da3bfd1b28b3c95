"""The points that a searcher begins with: the user's, the defaults, and trials of an earlier sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.present import present
from tests.tuner.journal_rows import put
from tuner import (
    Choice,
    Evolution,
    Float,
    Grid,
    HyperOpt,
    Int,
    Objective,
    Optuna,
    Random,
    SearchSpace,
    Sobol,
    Sweep,
)
from tuner.cluster.progress import opening
from tuner.journal import Journal
from tuner.searchers import Searcher, SearcherSpec, beginning, start
from tuner.searchers.earlier import Earlier

LOSS = Objective(metric="loss", mode="min")
SPACE = SearchSpace(
    {
        "optimizer": Choice({"sgd": {"momentum": Float(0.0, 0.9, points=2)}, "adam": None}),
        "lr": Float(0.0, 1.0, points=5),
        "batch": 64,
    }
)
LEARNERS = [Optuna, HyperOpt, Evolution]
ANY = [*LEARNERS, Random, Sobol]


def started(spec: SearcherSpec, space: SearchSpace = SPACE, seed: int = 0) -> Searcher:
    assert beginning.problems(spec, space) == []
    assert beginning.source_problems(spec, space, objective=LOSS) == []
    return start(spec, space, objective=LOSS, seed=seed)


def suggestions(searcher: Searcher, trials: int) -> list[Any]:
    found = []
    for trial in range(trials):
        found.append(searcher.suggest(trial))
        searcher.report(trial, 1, 0.5)
        searcher.finish(trial, "completed", 0.5)
    return found


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return a sweep over ``lr`` of 40 trials whose loss is the distance from 0.7, and some unfit ones."""
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={"objective": {"metric": "loss", "mode": "min"}}, version="0")
    number = 0

    def trial(config: dict[str, Any], *values: float, state: str | None = "completed") -> None:
        nonlocal number
        put(journal, "suggested", number, config=config, seed=1)
        for iteration, value in enumerate(values, start=1):
            metrics = {"loss": value, "accuracy": 1 - value}
            put(journal, "result", number, iteration=iteration, value=value, seconds=1.0, metrics=metrics)
        if state is not None:
            put(journal, "ended", number, state=state, error=None)
        number += 1

    for step in range(40):
        lr = step / 40
        trial({"optimizer": "adam", "lr": lr, "batch": 64, "dropped": step}, 1.0, abs(lr - 0.7))
    trial({"optimizer": "sgd", "momentum": 0.5, "lr": 0.1, "batch": 64}, 0.9, state="stopped")
    trial({"optimizer": "sgd", "momentum": 0.5, "lr": 0.2, "batch": 64}, state="failed")
    trial({"optimizer": "sgd", "lr": 0.2, "batch": 64}, 0.9)
    trial({"optimizer": "adam", "lr": 7.0, "batch": 64}, 0.9)
    trial({"optimizer": "adam", "lr": 0.5, "batch": 32}, 0.9)
    trial({"optimizer": "adam", "lr": 0.5, "batch": 64}, 0.9, state=None)
    trial({"optimizer": "adam", "lr": 0.5, "batch": 64})
    trial({"optimizer": "adam", "lr": 0.5, "batch": 64}, 0.9, state=None)
    put(journal, "reconfigured", number - 1, source=0, iteration=1, config={})
    put(journal, "ended", number - 1, state="completed", error=None)
    journal.close()
    return tmp_path


@pytest.mark.parametrize("spec", ANY, ids=lambda spec: spec.__name__)
def test_every_searcher_begins_with_the_given_points(spec: type[SearcherSpec]) -> None:
    points = (
        {"optimizer": "adam", "lr": 0.25},
        {"optimizer": "sgd", "momentum": 0.5, "lr": 1.0, "batch": 64},
    )
    found = suggestions(started(spec(initial_points=points)), 14)
    assert found[:2] == [
        {"optimizer": "adam", "lr": 0.25, "batch": 64},
        {"optimizer": "sgd", "momentum": 0.5, "lr": 1.0, "batch": 64},
    ]
    assert all(map(SPACE.contains, found))


def test_missing_values_of_a_point_are_drawn_from_the_seed() -> None:
    [one] = suggestions(started(Random(initial_points=({"optimizer": "sgd"},)), seed=1), 1)
    [same] = suggestions(started(Optuna(initial_points=({"optimizer": "sgd"},)), seed=1), 1)
    [other] = suggestions(started(Random(initial_points=({"optimizer": "sgd"},)), seed=2), 1)
    assert one["optimizer"] == "sgd"
    assert SPACE.contains(one)
    assert one == same != other


@pytest.mark.parametrize("spec", ANY, ids=lambda spec: spec.__name__)
def test_a_search_begins_with_the_defaults_of_its_space(spec: type[SearcherSpec]) -> None:
    space = SearchSpace({"lr": Float(0, 1, default=0.125), "depth": Int(1, 9, default=2, prior="normal")})
    found = suggestions(started(spec(initial_points=({"lr": 0.5},)), space), 3)
    assert found[:2] == [{"lr": 0.125, "depth": 2}, {"lr": 0.5, "depth": 2}]
    assert found[2] not in found[:2]


def test_points_distinguish_one_from_true() -> None:
    space = SearchSpace({"x": Choice([1, True, 2]), "on": True})
    found = suggestions(started(Random(initial_points=({"x": 1}, {"x": True})), space), 2)
    assert [type(config["x"]) for config in found] == [int, bool]
    [problem] = beginning.problems(Random(initial_points=({"on": 1},)), space)
    assert str(problem) == "initial_points.0.on: can never be 1; it is true"


def test_points_do_not_shift_the_draws_of_a_random_search() -> None:
    plain = suggestions(started(Sobol()), 6)
    assert suggestions(started(Sobol(initial_points=({"optimizer": "adam", "lr": 0.25},))), 7)[1:] == plain


def test_a_grid_runs_points_first_and_each_configuration_once() -> None:
    points = ({"optimizer": "adam", "lr": 0.3}, {"optimizer": "adam", "lr": 0.25})
    spec = Grid(initial_points=points)
    found = suggestions(started(spec), spec.size(SPACE))
    assert found[:2] == [{**point, "batch": 64} for point in points]
    assert len(found) == len(SPACE.grid()) + 1
    assert sum(config["lr"] == 0.25 and config["optimizer"] == "adam" for config in found) == 1


def test_a_point_of_a_grid_must_be_complete() -> None:
    [problem] = beginning.problems(Grid(initial_points=({"lr": 0.3},)), SPACE)
    assert str(problem) == "initial_points.0: must be a complete configuration for a grid"


def test_a_point_that_the_constraints_rule_out_is_refused() -> None:
    space = SearchSpace({"a": Int(1, 9), "b": Int(1, 9), "constraints": ["a + b <= 9"]})
    [problem] = beginning.problems(Random(initial_points=({"a": 9},)), space)
    assert problem.where == "initial_points.0.constraints"
    assert problem.what == "none of 20000 draws meets them with a=9"


def test_earlier_trials_are_reused_or_counted_by_reason(earlier: Path) -> None:
    found = Earlier.read(earlier, space=SPACE, objective=LOSS)
    assert len(found.trials) == 42
    assert found.trials[3].config == {"optimizer": "adam", "lr": 0.075, "batch": 64}
    assert found.trials[3].results == [(1, 1.0), (2, pytest.approx(0.625))]
    assert [trial.ending for trial in found.trials[40:]] == ["stopped", "failed"]
    assert found.unfit == {
        "had no 'momentum'": 1,
        "had a 'lr' outside the space": 1,
        "had another 'batch' than 64": 1,
        "had not ended": 1,
        "reported no 'loss'": 1,
        "changed while they ran": 1,
    }
    assert beginning.beginnings(Optuna(warm_start=str(earlier)), SPACE, objective=LOSS) == (
        f"42 of 48 trials of {earlier} fit; 1 had no 'momentum'; 1 had a 'lr' outside the space; "
        "1 had another 'batch' than 64; 1 reported no 'loss'; 1 changed while they ran; 1 had not ended; "
        "the searcher learns from them"
    )


def test_the_number_of_reused_trials_is_printed_before_a_sweep_runs(earlier: Path) -> None:
    sweep = Sweep(
        trainable="tests.tuner.test_beginnings:train",
        space=SPACE,
        objective=LOSS,
        budget={"trials": 3},
        searcher={"kind": "random", "warm_start": str(earlier)},
    )
    text = opening(sweep, None)
    assert f"searcher random, scheduler fifo; warm start: 42 of 48 trials of {earlier} fit; 1 had" in text
    assert text.endswith("the searcher's sequence continues after them")


def train(config: dict[str, Any]) -> None:
    """Serve as a trainable that no test calls."""


def test_earlier_trials_get_the_default_of_a_new_dimension(earlier: Path) -> None:
    space = SearchSpace(
        {
            "optimizer": Choice(
                {"sgd": {"momentum": Float(0.0, 0.9)}, "adam": {"beta": Float(0, 1, default=0.9)}}
            ),
            "lr": Float(0.0, 1.0),
            "batch": 64,
            "depth": Int(1, 9, default=2),
        }
    )
    found = Earlier.read(earlier, space=space, objective=LOSS)
    assert len(found.trials) == 42
    assert found.trials[3].config == {"optimizer": "adam", "beta": 0.9, "lr": 0.075, "batch": 64, "depth": 2}
    assert all(space.contains(trial.config) for trial in found.trials)
    assert found.unfit["had no 'momentum'"] == 1
    searcher = started(Optuna(warm_start=str(earlier)), space)
    assert space.contains(searcher.suggest(0) or {})


@pytest.mark.parametrize("spec", [*ANY, Grid], ids=lambda spec: spec.__name__)
def test_an_earlier_sweep_with_nothing_in_common_is_refused(earlier: Path, spec: type[SearcherSpec]) -> None:
    space = SearchSpace({"width": Int(1, 9), "batch": 64})
    [problem] = beginning.source_problems(spec(warm_start=str(earlier)), space, objective=LOSS)
    assert str(problem) == (
        f"warm_start: {earlier}: must hold trials that fit this space, got none of 48: 46 had no 'width'; "
        "1 changed while they ran; 1 had not ended; "
        "give a dimension that is new a default, widen the space, or leave out warm_start"
    )


@pytest.mark.parametrize("spec", [*ANY, Grid], ids=lambda spec: spec.__name__)
def test_an_earlier_sweep_that_never_reported_the_metric_is_refused(
    earlier: Path, spec: type[SearcherSpec]
) -> None:
    other = Objective(metric="f1", mode="max")
    [problem] = beginning.source_problems(spec(warm_start=str(earlier)), SPACE, objective=other)
    what = f"warm_start: {earlier}: its trials must have reported 'f1', got only accuracy, loss"
    assert str(problem) == what


@pytest.mark.parametrize("spec", [Optuna, Random, Grid], ids=lambda spec: spec.__name__)
def test_an_earlier_sweep_without_trials_is_refused(tmp_path: Path, spec: type[SearcherSpec]) -> None:
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep={"objective": {"metric": "loss", "mode": "min"}}, version="0")
    journal.close()
    [problem] = beginning.source_problems(spec(warm_start=str(tmp_path)), SPACE, objective=LOSS)
    assert str(problem) == f"warm_start: {tmp_path}: must hold trials to start from, got none"


def test_another_metric_is_taken_from_what_the_trials_reported(earlier: Path) -> None:
    accuracy = Objective(metric="accuracy", mode="max")
    found = Earlier.read(earlier, space=SPACE, objective=accuracy)
    assert found.trials[3].results == [(1, 0.0), (2, pytest.approx(0.375))]
    unknown = Earlier.read(earlier, space=SPACE, objective=Objective(metric="f1", mode="max"))
    assert [trial.ending for trial in unknown.trials] == ["failed"]


def test_earlier_values_of_all_objectives_are_used(earlier: Path) -> None:
    goals = Objective(metric="loss", mode="min", others=(Objective(metric="accuracy", mode="max"),))
    searcher: Any = start(Optuna(warm_start=str(earlier)), SPACE, objective=goals, seed=0)
    trials = searcher._searcher._study.trials
    assert trials[3].values == [pytest.approx(0.625), pytest.approx(0.375)]
    # A failed trial: the worst value of each objective.
    assert trials[41].values == [0.9, pytest.approx(0.1)]
    assert SPACE.contains(searcher.suggest(0))


@pytest.mark.parametrize(
    "spec",
    [Optuna, HyperOpt, Evolution, lambda **k: Optuna(sampler="cmaes", **k)],
    ids=["optuna", "hyperopt", "evolution", "cmaes"],
)
def test_a_learning_searcher_continues_from_an_earlier_sweep(earlier: Path, spec: Any) -> None:
    """The first 12 trials lie nearer to the best learning rate, on average, than random draws do.

    The distance of a uniform draw from 0.7 has mean 0.29 and standard deviation 0.19. The mean of 5 x 12
    draws lies below 0.2 once in 5,000 times.
    """
    distances = []
    for seed in range(5):
        searcher = started(spec(warm_start=str(earlier)), seed=seed)
        for trial in range(12):
            config = searcher.suggest(trial)
            distances.append(abs(present(config)["lr"] - 0.7))
            searcher.report(trial, 1, distances[-1])
            searcher.finish(trial, "completed", distances[-1])
    assert sum(distances) / len(distances) < 0.2


@pytest.mark.parametrize("spec", [Random, Sobol], ids=lambda spec: spec.__name__)
def test_a_sequence_continues_after_an_earlier_sweep(earlier: Path, spec: type[SearcherSpec]) -> None:
    plain = suggestions(started(spec()), 46)
    assert suggestions(started(spec(warm_start=str(earlier))), 4) == plain[42:]


def test_a_grid_skips_completed_configurations(earlier: Path) -> None:
    spec = Grid(warm_start=str(earlier))
    left = suggestions(started(spec), spec.size(SPACE))
    done = [{"optimizer": "adam", "lr": lr, "batch": 64} for lr in (0.0, 0.25, 0.5, 0.75)]
    assert left == [config for config in SPACE.grid() if config not in done]
    assert len(left) == 11


def test_a_grid_with_nothing_left_is_refused(earlier: Path) -> None:
    space = SearchSpace({"optimizer": "adam", "lr": Float(0.0, 0.5, points=3), "batch": 64})
    [problem] = beginning.source_problems(Grid(warm_start=str(earlier)), space, objective=LOSS)
    assert str(problem) == "warm_start: has completed every configuration; nothing is left to run"


def test_a_warm_start_without_results_is_refused(tmp_path: Path) -> None:
    [problem] = beginning.source_problems(Random(warm_start=str(tmp_path)), SPACE, objective=LOSS)
    assert problem.where == "warm_start"
    assert problem.what.endswith("holds no sweep; must be a results folder with a journal.sqlite")
    [problem] = beginning.source_problems(Grid(warm_start=str(tmp_path)), SPACE, objective=LOSS)
    assert problem.where == "warm_start"


def test_the_searcher_learns_stopped_trials_as_stopped_and_failed_ones_as_bad(earlier: Path) -> None:
    from optuna.trial import TrialState

    searcher: Any = started(Optuna(warm_start=str(earlier)))
    trials = searcher._searcher._study.trials
    assert [trial.state for trial in trials[39:41]] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert trials[40].intermediate_values == {1: 0.9}
    # Optuna gets a failed trial as a completed one with the worst value so far.
    assert (trials[41].state, trials[41].value) == (TrialState.COMPLETE, 0.9)
