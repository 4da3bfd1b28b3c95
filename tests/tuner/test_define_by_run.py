"""Spaces that trials define while they run: the sweep, its state, the searchers and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tuner.journal_rows import put
from tuner import Report, Sweep
from tuner.errors import ResultsError, SpecError
from tuner.journal import Journal
from tuner.journal.events import Asked, Ended, Event, Result, Started
from tuner.report.page import page_data
from tuner.state import SweepState, replay

DEPTH = {"int": [1, 3]}
UNITS = {"int": [4, 64], "log": True}
LR = {"float": [1e-4, 1.0], "log": True}

SAMPLERS: list[Any] = [
    "random",
    *({"kind": "optuna", "sampler": name} for name in ("tpe", "cmaes", "nsga2", "random")),
    {"kind": "optuna", "sampler": "gp", "startup_trials": 24},  # each suggestion of its model is slow
]


def sweep_of(**parts: Any) -> Sweep:
    return Sweep(
        **{
            "trainable": {"kind": "optuna_objective", "objective": "objective.py:objective"},
            "objective": {"metric": "loss", "mode": "min"},
            "budget": {"trials": 40},
            "searcher": "optuna",
            "seed": 3,
            **parts,
        }
    )


def refusal(**parts: Any) -> str:
    with pytest.raises(SpecError) as error:
        sweep_of(**parts)
    return str(error.value)


def value(state: SweepState, trial: int, name: str, dimension: dict[str, Any], events: list[Event]) -> Any:
    asked = state.ask(trial, name, dimension)
    events.append(asked)
    assert asked.error is None
    return asked.value


def ran(sweep: Sweep, trials: int = 30) -> tuple[SweepState, list[Event]]:
    """Run trials with dynamic layers, two at a time. Return the state and the events in their order."""
    state, events = SweepState.begin(sweep), list[Event]()
    for first in range(0, trials, 2):
        for trial in (first, first + 1):
            suggested = state.suggest()
            assert suggested is not None
            events.append(suggested)
            events.append(Started(trial))
            state.apply(events[-1])
        for trial in (first, first + 1):
            depth = value(state, trial, "depth", DEPTH, events)
            units = [value(state, trial, f"units_{place}", UNITS, events) for place in range(depth)]
            lr = value(state, trial, "lr", LR, events)
            loss = abs(lr - 0.01) + sum(units) / 100 + depth
            for event in (Result(trial, 1, loss, 1.0, {}), Ended(trial, "completed")):
                events.append(event)
                state.apply(event)
    return state, events


def test_an_objective_needs_no_space():
    sweep = sweep_of()
    assert sweep.space.is_open
    assert sweep.to_dict()["trainable"] == {"kind": "optuna_objective", "objective": "objective.py:objective"}
    assert sweep.to_dict()["space"] == {}
    assert Sweep(**sweep.to_dict()) == sweep


def test_any_other_trainable_needs_a_space():
    parts: dict[str, Any] = {"objective": {"metric": "loss", "mode": "min"}, "budget": {"trials": 4}}
    spaces: list[dict[str, Any]] = [{}, {"space": {}}]
    for space in spaces:
        with pytest.raises(SpecError, match=r"space: (must be given|an empty space has nothing to search)"):
            Sweep(trainable="train.py:train", **parts, **space)


def test_an_objective_is_named_by_the_setting_objective():
    what = "trainable.objective: must name a function of a trial, as in "
    example = "{kind: optuna_objective, objective: objective.py:objective}"
    assert refusal(trainable={"kind": "optuna_objective"}).splitlines()[0] == what + example
    unknown = refusal(trainable={"kind": "optuna_objective", "objective": "o.py:f", "objectiv": 3})
    assert "trainable: unknown key 'objectiv'; did you mean 'objective'?" in unknown


@pytest.mark.parametrize(
    "trainable", ["optuna_objective", {"kind": "optuna_objectiv", "objective": "o.py:f"}]
)
def test_a_kind_that_is_nearly_right_gets_the_right_form(trainable: Any):
    sweep = sweep_of(trainable=trainable, space={"x": {"float": [0, 1]}})
    with pytest.raises(SpecError, match=r"write \{kind: optuna_objective, objective: file\.py:function\}"):
        sweep.check()


@pytest.mark.parametrize("searcher", ["grid", "sobol", "hyperopt", "bayes", "evolution", "reinforce"])
def test_a_searcher_that_must_know_the_space_is_refused(searcher: str):
    what = (
        "must know the hyperparameters before trials run; write them under 'space', or use optuna or random"
    )
    assert refusal(searcher=searcher) == f"searcher: {what}"
    assert not sweep_of(searcher=searcher, space={"x": {"float": [0, 1], "points": 3}}).space.is_open


def test_a_quasi_random_sequence_is_refused():
    assert "must know the hyperparameters" in refusal(searcher={"kind": "optuna", "sampler": "qmc"})


def recorded(folder: Path, trials: int = 30) -> None:
    """Write the journal of a sweep whose trials named their hyperparameters."""
    _, events = ran(sweep_of(searcher="random"), trials)
    journal = Journal(folder)
    put(journal, "sweep", sweep=sweep_of().to_dict(), version="0")
    for event in events:
        journal.write(event)


def test_an_earlier_sweep_teaches_the_searcher(tmp_path: Path):
    recorded(tmp_path)
    budget = {"trials": 20}
    warm = sweep_of(searcher={"kind": "optuna", "warm_start": str(tmp_path)}, budget=budget)
    assert "30 of 30 trials" in str(warm.beginnings())
    losses = [
        [t.best or 0.0 for t in ran(sweep, 20)[0].trials.values()]
        for sweep in (warm, sweep_of(budget=budget))
    ]
    # The first ten trials of a cold start are random. With equal distributions a difference of this size has
    # odds below 1 in 1,000.
    assert sum(losses[0][:10]) / 10 < sum(losses[1][:10]) / 10 - 0.5
    _, events = ran(warm, 10)
    replay(SweepState.begin(warm), events)


def test_random_draws_continue_after_those_of_an_earlier_sweep(tmp_path: Path):
    recorded(tmp_path, trials=4)
    warm = SweepState.begin(sweep_of(searcher={"kind": "random", "warm_start": str(tmp_path)}))
    whole, _ = ran(sweep_of(searcher="random"), 6)
    warm.suggest()
    assert warm.ask(0, "lr", LR).value == whole.trials[4].config["lr"]


def test_an_earlier_sweep_with_a_space_cannot_be_used_without_one(tmp_path: Path):
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep=sweep_of(space={"lr": LR}).to_dict(), version="0")
    put(journal, "suggested", 0, config={"lr": 0.5}, seed=1)
    put(journal, "result", 0, iteration=1, value=0.5, metrics={"loss": 0.5}, seconds=1.0)
    put(journal, "ended", 0, state="completed")
    sweep = sweep_of(searcher={"kind": "optuna", "warm_start": str(tmp_path)})
    with pytest.raises(SpecError, match="1 named no hyperparameters while they ran"):
        sweep.check()


@pytest.mark.parametrize("searcher", SAMPLERS, ids=str)
def test_the_seed_determines_the_values(searcher: Any):
    first, second = (ran(sweep_of(searcher=searcher))[1] for _ in range(2))
    assert first == second
    assert first != ran(sweep_of(searcher=searcher, seed=4))[1]


@pytest.mark.parametrize("searcher", SAMPLERS, ids=str)
def test_a_replay_of_the_journal_gives_the_same_state(searcher: Any):
    sweep = sweep_of(searcher=searcher)
    state, events = ran(sweep)
    resumed = SweepState.begin(sweep)
    replay(resumed, events)
    assert {n: each.config for n, each in resumed.trials.items()} == {
        n: each.config for n, each in state.trials.items()
    }
    assert resumed.suggest() == state.suggest()
    assert resumed.ask(30, "lr", LR) == state.ask(30, "lr", LR)


def test_a_journal_with_another_value_cannot_be_resumed():
    sweep = sweep_of()
    _, events = ran(sweep, trials=2)
    changed = [
        Asked(each.trial, each.name, each.dimension, 0.5)
        if isinstance(each, Asked) and each.name == "lr"
        else each
        for each in events
    ]
    with pytest.raises(ResultsError, match=r"ran lr=0\.5, but the searcher suggests"):
        replay(SweepState.begin(sweep), changed)


def test_optuna_learns_from_the_values_that_trials_asked_for():
    sweep = sweep_of(budget={"trials": 60})
    state, _ = ran(sweep, trials=60)
    losses = [trial.best for trial in state.trials.values() if trial.best is not None]
    # Of 60 trials by TPE, the last 20 are better on average than the first 10, which are random. With equal
    # distributions a difference of this size has odds below 1 in 1,000.
    assert sum(losses[-20:]) / 20 < sum(losses[:10]) / 10 - 0.5


def test_a_random_value_depends_only_on_the_seed_the_trial_and_the_name():
    values = []
    for names in (["a", "b"], ["b", "a"]):
        state = SweepState.begin(sweep_of(searcher="random"))
        state.suggest()
        values.append({name: state.ask(0, name, LR).value for name in names})
    assert values[0] == values[1]
    assert values[0]["a"] != values[0]["b"]


def test_a_value_that_a_trial_has_already_stays():
    state = SweepState.begin(sweep_of())
    state.suggest()
    assert state.ask(0, "lr", LR) == state.ask(0, "lr", LR)
    asked = state.ask(0, "lr", {"float": [2.0, 3.0]})
    assert asked.value is None
    assert str(asked.error).endswith("in this trial, but it is a number in [2.0, 3.0]")


def test_a_name_with_values_of_another_kind_is_an_error_of_the_trial():
    state, events = SweepState.begin(sweep_of()), list[Any]()
    for trial in range(2):
        events.append(state.suggest())
        choices = ["a", "b"] if trial == 0 else ["a", "c"]
        events.append(state.ask(trial, "kind", {"choice": choices}))
    assert events[1].error is None
    assert "dynamic value space" in str(events[3].error)
    replay(SweepState.begin(sweep_of()), events)


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_initial_points_come_first(searcher: str):
    points = [{"lr": 0.5, "kind": "b"}, {"lr": 0.25}]
    state = SweepState.begin(sweep_of(searcher={"kind": searcher, "initial_points": points}))
    found = []
    for trial in range(3):
        state.suggest()
        found.append(
            (state.ask(trial, "lr", LR).value, state.ask(trial, "kind", {"choice": ["a", "b"]}).value)
        )
    assert found[0] == (0.5, "b")
    assert found[1][0] == 0.25
    assert found[2][0] not in (0.5, 0.25)


def test_an_initial_point_outside_the_values_is_an_error_of_the_trial():
    state = SweepState.begin(sweep_of(searcher={"kind": "optuna", "initial_points": [{"lr": 5}]}))
    state.suggest()
    assert state.ask(0, "lr", LR).error == (
        "searcher.initial_points.0: 'lr' can never be 5; it is a number in [0.0001, 1.0]"
    )


def test_with_a_space_the_values_are_those_of_the_configuration():
    state = SweepState.begin(sweep_of(searcher="grid", space={"x": {"choice": [1, 2]}, "lr": 0.1}))
    suggested = state.suggest()
    assert suggested is not None
    assert state.ask(0, "x", {"int": [1, 5]}).value == suggested.config["x"]
    assert state.ask(0, "y", LR).error == "the space has no 'y'; must be one of lr, x"
    assert state.ask(0, "lr", {"float": [0.5, 1.0]}).error == (
        "'lr' is 0.1 in this trial, but it is a number in [0.5, 1.0]"
    )


def test_the_report_shows_the_hyperparameters_that_trials_named(tmp_path: Path):
    journal = Journal(tmp_path)
    put(journal, "sweep", sweep=sweep_of().to_dict(), version="0")
    for trial, units in enumerate(([64], [32, 16])):
        put(journal, "suggested", trial, config={}, seed=1)
        put(journal, "started", trial, node="")
        put(
            journal,
            "asked",
            trial,
            name="depth",
            dimension={"choice": [1]} if trial == 0 else DEPTH,
            value=len(units),
        )
        for place, each in enumerate(units):
            put(journal, "asked", trial, name=f"units_{place}", dimension=UNITS, value=each)
        put(journal, "asked", trial, name="kind", dimension={"choice": [1]}, error="no value")
        put(journal, "result", trial, iteration=1, value=float(trial), metrics={}, seconds=1.0)
        put(journal, "ended", trial, state="completed")
    report = Report.read(tmp_path)
    assert [trial.config for trial in report.trials] == [
        {"depth": 1, "units_0": 64},
        {"depth": 2, "units_0": 32, "units_1": 16},
    ]
    page = page_data(report)
    assert [dimension.name for dimension in page.dimensions] == ["depth", "units_0", "units_1"]
    assert [trial.places[1:] for trial in page.trials] == [(64, None), (32, 16)]
