"""Every scheduler of the table fulfils the contract; promises of single schedulers are tested here too."""

from collections import Counter

import pytest

from tests.present import present
from tuner.errors import SpecError
from tuner.objective import Objective
from tuner.schedulers import SCHEDULERS, Action, Asha, AshaStop, HyperBand, Pbt, Replay, SchedulerSpec
from tuner.schedulers._asha import rung_resources
from tuner.schedulers._hyperband import bracket_plan
from tuner.testing import Scenario, SchedulerContract, simulate

FURTHER: dict[str, list[SchedulerSpec]] = {
    "pbt": [Pbt(interval=3, quantile=0.5), Pbt(interval=1)],
    "replay": [Replay(changes=[{"at": 1, "set": {"x": 1.0}}, {"at": 5, "set": {"x": 2.0}}])],
}


def _variants(name, cls):
    """Return settings around the defaults: each whole number slightly smaller or larger, if allowed."""
    found = [*FURTHER.get(name, [])]
    for name, field in cls.model_fields.items():
        for change in (-1, 1, 2) if isinstance(field.default, int) else ():
            try:
                found.append(cls(**{name: field.default + change}))
            except SpecError:
                continue
    return found


for _name, _spec in SCHEDULERS.items():
    _class_name = f"Test_{_name}"
    _body = {"spec": _spec(), "variants": _variants(_name, _spec), "__module__": __name__}
    globals()[_class_name] = type(_class_name, (SchedulerContract,), _body)


def _rungs(run, *, bracket=None):
    """Return, per resource, how many trials of the bracket reported there, were compared or completed."""
    return Counter(
        decision.resource
        for event in run.calls("report")
        for decision in event.answers
        if decision.action is not Action.CONTINUE and decision.bracket == bracket
    )


def test_hyperband_plans_the_brackets_of_the_paper():
    """Li et al. 2018, table 1: R=81, eta=3, brackets s=4 to 0."""
    assert bracket_plan(81, 3) == [
        (81, [1, 3, 9, 27, 81]),
        (34, [3, 9, 27, 81]),
        (15, [9, 27, 81]),
        (8, [27, 81]),
        (5, [81]),
    ]


def test_hyperband_halves_as_in_the_paper():
    run = simulate(HyperBand(), Scenario(trials=81 + 34 + 15 + 8 + 5, slots=7, iterations=81))
    assert [_rungs(run, bracket=bracket) for bracket in range(5)] == [
        {1: 81, 3: 27, 9: 9, 27: 3, 81: 1},
        {3: 34, 9: 11, 27: 3, 81: 1},
        {9: 15, 27: 5, 81: 1},
        {27: 8, 81: 2},
        {81: 5},
    ]


@pytest.mark.parametrize(("maximum", "factor"), [(1, 3), (2, 3), (10, 3), (100, 2), (100, 7)])
def test_hyperband_plans_rounds_that_rise_to_the_maximum(maximum, factor):
    for trials, resources in bracket_plan(maximum, factor):
        assert trials >= 1
        assert resources == sorted(set(resources))
        assert resources[0] >= 1
        assert resources[-1] == maximum


def test_hyperband_promotes_the_top_share_of_each_round():
    def holds(run):
        factor = run.spec.reduction_factor
        for decision in run.decisions:
            let_through = decision.rank is not None and decision.rank <= max(1, decision.of // factor)
            assert let_through is (decision.action is Action.RESUME)

    globals()["Test_hyperband"]().for_all_runs(holds)


def test_hyperband_does_not_drop_a_trial_that_failed_while_waiting():
    scheduler = HyperBand().build(objective=Objective(metric="loss", mode="min"), iterations=3)
    for trial in range(3):
        scheduler.add(trial)
    for trial in range(3):
        scheduler.report(trial, 1, float(trial))
    scheduler.end(2, "failed")
    assert [decision.trial for decision in scheduler.drop()] == [1]


@pytest.mark.parametrize(
    ("grace_period", "factor", "maximum", "rungs"),
    [(1, 3, 81, [1, 3, 9, 27]), (2, 2, 17, [2, 4, 8, 16]), (5, 3, 5, []), (4, 4, 64, [4, 16]), (1, 2, 1, [])],
)
def test_asha_compares_at_rungs_below_the_maximum(grace_period, factor, maximum, rungs):
    assert rung_resources(grace_period, factor, maximum) == rungs


def test_asha_promotes_the_best_third_of_the_current_rung():
    scheduler = Asha().build(objective=Objective(metric="loss", mode="min"), iterations=9)
    for trial, value in enumerate([0.5, 0.3, 0.4]):
        scheduler.add(trial)
        assert scheduler.resume() is None
        assert scheduler.report(trial, 1, value).action is Action.PAUSE
    promoted = present(scheduler.resume())
    assert (
        promoted.trial,
        promoted.rank,
        promoted.of,
        promoted.cutoff,
        promoted.rung,
    ) == (1, 1, 3, 0.3, 1)
    assert scheduler.resume() is None


def test_asha_promotes_the_top_share_except_to_let_one_trial_run_in_full():
    def holds(run):
        completed = False
        for event in run.events:
            for decision in event.answers:
                completed |= decision.action is Action.COMPLETE
                if event.call == "resume":
                    last_chance = event.closed and event.running == 0 and not completed
                    assert decision.rank <= decision.of // run.spec.reduction_factor or last_chance

    globals()["Test_asha"]().for_all_runs(holds)


def test_asha_prefers_promotions_from_the_highest_rung():
    scheduler = Asha(reduction_factor=2).build(objective=Objective(metric="loss", mode="min"), iterations=8)
    for trial in range(6):
        scheduler.add(trial)
    for trial in range(4):
        scheduler.report(trial, 1, float(trial))
    for _ in range(2):
        promoted = present(scheduler.resume())
        scheduler.report(promoted.trial, 2, float(promoted.trial))
    for trial in (4, 5):
        scheduler.report(trial, 1, -1.0)
    assert [present(scheduler.resume()).rung for _ in range(2)] == [2, 1]


def test_asha_stop_keeps_the_first_trial_and_those_in_the_best_third():
    scheduler = AshaStop().build(objective=Objective(metric="loss", mode="min"), iterations=9)
    actions = []
    for trial, value in enumerate([0.5, 0.6, 0.4, 0.4, 0.45]):
        scheduler.add(trial)
        actions.append(scheduler.report(trial, 1, value).action)
    assert actions == [Action.CONTINUE, Action.STOP, Action.CONTINUE, Action.CONTINUE, Action.STOP]


@pytest.mark.parametrize("cls", [Asha, AshaStop])
def test_a_grace_period_beyond_the_budget_is_refused(cls):
    [problem] = cls(grace_period=10).problems(9)
    assert str(problem) == "grace_period: must be at most budget.iterations (9), got 10"


@pytest.mark.parametrize("cls", [cls for cls in SCHEDULERS.values() if not cls.needs_maximum])
def test_without_a_maximum_a_trial_runs_until_it_ends(cls):
    scheduler = cls().build(objective=Objective(metric="loss", mode="min"), iterations=None)
    scheduler.add(0)
    scheduler.close()
    actions = {scheduler.report(0, resource, 1.0).action for resource in range(1, 1000)}
    assert actions == {Action.CONTINUE}
