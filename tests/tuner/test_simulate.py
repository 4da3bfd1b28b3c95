"""Sweeps on a simulated cluster: the clock, the costs, and forecasts."""

import json
import math

import numpy as np
import pytest

from tests.present import present
from tests.tuner.journal_rows import put
from tuner import Architecture, Asha, Budget, Choice, Float, Int, Objective, ResultsError, SearchSpace, Sweep
from tuner.cli import main
from tuner.journal import Journal
from tuner.schedulers import SCHEDULERS
from tuner.searchers import SEARCHERS
from tuner.simulation._simulate import simulate
from tuner.simulation.curves import Costs, LearningCurve, PowerLawCurves, RecordedCurves
from tuner.simulation.plan import forecast

LOSS = Objective(metric="loss", mode="min")


def sweep(**parts):
    own = {
        "trainable": "mlp",
        "space": {"x": Float(0, 1)},
        "objective": LOSS,
        "budget": Budget(trials=4, iterations=3),
    }
    return Sweep(**{**own, **parts})


def steady(config, trial):
    """One second per iteration; the loss is the trial's number."""
    return LearningCurve([float(trial)] * 3, 1.0)


def test_the_clock_adds_up_start_up_trials_and_iterations():
    run = simulate(sweep(), steady, workers=2, costs=Costs(start=5, trial=1))
    assert run.seconds == 5 + 2 * (1 + 3)
    assert run.worker_seconds == 4 * (1 + 3)
    assert run.iterations == 12
    assert run.endings == {"completed": 4}
    assert run.best == 0


def test_a_trial_whose_curve_ends_completes_and_frees_its_worker():
    def short(config, trial):
        return LearningCurve([1.0] * (trial + 1), 2.0)

    run = simulate(sweep(budget=Budget(trials=3, iterations=9)), short, workers=1)
    assert (run.seconds, run.iterations_of) == (12, [1, 2, 3])


def test_the_time_budget_cuts_off_later_results():
    run = simulate(sweep(budget=Budget(trials=4, iterations=3, seconds=4.5)), steady, workers=2)
    assert (run.seconds, run.iterations) == (4.5, 8)


def test_a_trial_is_stopped_when_its_time_on_workers_is_used_up():
    run = simulate(sweep(budget=Budget(trials=2, iterations=3, trial_seconds=2.5)), steady, workers=1)
    assert (run.seconds, run.iterations_of, run.endings) == (5.0, [2, 2], {"stopped": 2})


@pytest.mark.parametrize(
    "resources",
    [{"gpu": 2}, {"gpu": 1, "processes": 2}, {"gpu": 1, "processes": {"when": {"x": {0.5: 1}}, "else": 2}}],
    ids=["one process", "two", "by configuration"],
)
def test_the_gpu_budget_counts_the_gpus_of_all_trials(resources):
    budget = Budget(trials=4, iterations=3, gpu_seconds=10)
    run = simulate(sweep(budget=budget, resources=resources), steady, workers=2)
    assert (run.seconds, run.iterations) == (2.5, 4)


def test_more_failures_than_the_budget_allows_end_the_sweep():
    def failing(config, trial):
        return LearningCurve([1.0] * 3, 1.0, fails_at=2)

    run = simulate(sweep(budget=Budget(trials=9, iterations=3, failures=1)), failing, workers=1)
    assert run.endings == {"failed": 2}


def test_several_objectives_are_simulated_together():
    def two(config, trial):
        return LearningCurve([float(trial)] * 3, 1.0, others=[(-float(trial),)] * 3)

    objective = Objective(metric="loss", mode="min", others=(Objective(metric="size", mode="min"),))
    run = simulate(sweep(objective=objective, scheduler="asha"), two, workers=1)
    assert run.endings["completed"] >= 1
    assert run.best == 0


def test_total_iterations_are_not_exceeded():
    run = simulate(sweep(budget=Budget(trials=4, iterations=3, total_iterations=7)), steady, workers=2)
    assert run.iterations == 7


@pytest.mark.parametrize(("checkpoints", "seconds"), [(True, 1 + 4 + 1 + 5), (False, 1 + 4 + 1 + 9)])
def test_a_lost_worker_costs_the_unsaved_iterations(checkpoints, seconds):
    def loses(config, trial):
        return LearningCurve([1.0] * 9, losses=(5,))

    costs = Costs(trial=1, checkpoints=checkpoints)
    run = simulate(sweep(budget=Budget(trials=1, iterations=9)), loses, workers=1, costs=costs)
    assert (run.seconds, run.iterations) == (seconds + 1, 9)  # plus the iteration in which it was lost


def test_a_trial_that_reports_rarely_is_stopped_at_its_first_report_past_the_limit():
    run = simulate(
        sweep(budget=Budget(trials=1, iterations=9)),
        lambda config, trial: LearningCurve([1.0] * 20, every=4),
        workers=1,
    )
    assert (run.seconds, run.iterations_of) == (12, [12])


def test_trials_left_at_the_end_of_the_time_are_stopped():
    budget = Budget(trials=4, iterations=3, seconds=4.5)
    run = simulate(sweep(budget=budget, scheduler="asha"), steady, workers=2)
    assert run.endings["stopped"] + run.endings["completed"] == len(run.iterations_of)


def test_trials_can_be_measured_by_seconds():
    scheduler = {"kind": "asha", "resource": "seconds", "maximum": 9, "grace_period": 3}
    curves = PowerLawCurves(100, seconds=0.5)
    run = simulate(sweep(budget=Budget(trials=9), scheduler=scheduler), curves, workers=2)
    assert run.waiting == []
    assert max(run.iterations_of) * 0.25 <= 9 + 0.75


def test_the_requested_share_of_trials_fails_and_none_is_best():
    """A share of 0.3 of 500 trials, within 4.5 standard deviations: odds below 1e-5 (the seed is fixed)."""
    run = simulate(
        sweep(budget=Budget(trials=500, iterations=3)), steady, workers=7, costs=Costs(failures=0.3)
    )
    assert abs(run.endings["failed"] - 150) < 46
    assert run.endings["failed"] + run.endings["completed"] == 500
    assert run.best == min(n for n, done in enumerate(run.iterations_of) if done == 3)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("workers", [1, 50])
def test_every_trial_ends_with_every_scheduler(name, workers):
    budget = Budget(trials=100, iterations=27)
    costs = Costs(start=3, trial=0.1, failures=0.05)
    run = simulate(sweep(budget=budget, scheduler=name), PowerLawCurves(27), workers=workers, costs=costs)
    assert run.waiting == []
    assert sum(run.endings.values()) == len(run.iterations_of) == 100
    assert run.worker_seconds <= workers * run.seconds + 1e-6


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_works_with_every_scheduler(searcher, scheduler):
    space = {"x": Float(0, 1, points=4), "y": Choice([1, 2, 3]), "z": Float(0, 1, points=2, when={"y": 3})}
    budget = Budget(trials=16, iterations=9)
    planned = sweep(space=space, budget=budget, searcher=searcher, scheduler=scheduler)
    run = simulate(planned, PowerLawCurves(9), workers=3, costs=Costs(trial=0.1, failures=0.2))
    assert run.waiting == []
    assert sum(run.endings.values()) == len(run.iterations_of) == 16


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_the_same_sweep_gives_the_same_simulation(name):
    planned = sweep(budget=Budget(trials=60, iterations=27), scheduler=name, searcher="optuna")
    first, second = (simulate(planned, PowerLawCurves(27, noise=0.1), workers=5) for _ in range(2))
    assert first == second


def test_asha_speeds_up_almost_in_proportion_to_the_workers():
    planned = sweep(budget=Budget(trials=1000, iterations=27), scheduler=Asha())
    alone, many = (simulate(planned, PowerLawCurves(27), workers=workers).seconds for workers in (1, 24))
    assert alone / (24 * many) >= 0.8


def test_the_iterations_until_a_value_are_counted():
    run = simulate(sweep(), lambda config, trial: LearningCurve([3.0, 2.0, 1.0]), workers=1)
    assert run.iterations_until(2.0, better_is_higher=False) == 2
    assert run.iterations_until(0.5, better_is_higher=False) is None


SPACE = SearchSpace(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "depth": Int(1, 5),
        "optimizer": Choice(["sgd", "adam"]),
        "momentum": Float(0.0, 1.0, when={"optimizer": ["sgd"]}),
    }
)


@pytest.mark.parametrize(
    ("config", "nearest"),
    [
        ({"lr": 2e-3, "depth": 1, "optimizer": "adam"}, 0),
        ({"lr": 0.5, "depth": 2, "optimizer": "adam"}, 1),
        ({"lr": 2e-3, "depth": 1, "optimizer": "sgd", "momentum": 0.3}, 2),
        ({"lr": 2e-3, "depth": 1, "optimizer": "sgd", "momentum": 0.8}, 3),
    ],
)
def test_a_configuration_gets_the_curve_of_the_nearest_one(config, nearest):
    recorded = [
        {"lr": 1e-3, "depth": 1, "optimizer": "adam"},
        {"lr": 1e-1, "depth": 1, "optimizer": "adam"},
        {"lr": 1e-2, "depth": 1, "optimizer": "sgd", "momentum": 0.1},
        {"lr": 1e-2, "depth": 1, "optimizer": "sgd", "momentum": 0.9},
    ]
    curves = [LearningCurve([float(number)]) for number in range(4)]
    assert RecordedCurves(SPACE, recorded, curves, Costs())(config, 0).values == [nearest]


def test_an_architecture_gets_the_curve_of_the_one_with_most_layers_in_common():
    dimension = Architecture({"dense": {"width": [8, 16]}}, layers=(1, 3))
    recorded = [
        {"architecture": text}
        for text in ("dense width=8", "dense width=8; dense width=16", "dense width=16; dense width=16")
    ]
    curves = RecordedCurves(
        SearchSpace({"architecture": dimension}),
        recorded,
        [LearningCurve([float(number)]) for number in range(3)],
        Costs(),
    )
    assert curves({"architecture": "dense width=16; dense width=8"}, 0).values == [2.0]
    assert curves({"architecture": "dense width=8; dense width=16; dense width=16"}, 0).values == [1.0]
    assert curves({"architecture": "dense width=8"}, 0).values == [0.0]


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Return a results folder of 12 trials of 9 iterations.

    An iteration takes 0.5 s plus 0.2 s of overhead; the sweep starts after 2 s.
    """
    moments = iter(())
    monkeypatch.setattr("tuner.journal._file.time.time", lambda: next(moments))
    journal = Journal(tmp_path)

    def write(moment, *event, **data):
        nonlocal moments
        moments = iter([moment])
        put(journal, *event, **data)

    write(0.0, "sweep", sweep=sweep(budget=Budget(trials=12, iterations=9)).to_dict(), version="0")
    for trial in range(12):
        began = 2.0 + trial * 5
        write(began, "suggested", trial, config={"x": trial / 11}, seed=0)
        write(began, "started", trial, node="here")
        for iteration in range(1, 10):
            at = began + 0.2 + iteration * 0.5
            value = (trial / 11 - 0.4) ** 2 + 1 / iteration
            write(at, "result", trial, iteration=iteration, value=value, seconds=iteration * 0.5, metrics={})
        write(began + 4.7, "ended", trial, state="completed" if trial else "stopped", error=None)
    journal.close()
    monkeypatch.undo()  # this clock applies to the whole process
    return tmp_path


def test_curves_and_costs_are_read_from_a_journal(recorded):
    curves = RecordedCurves.read(recorded, space=SearchSpace({"x": Float(0, 1)}), objective=LOSS)
    assert len(curves.curves) == 11
    assert [curve.seconds for curve in curves.curves] == [0.5] * 11
    assert (curves.costs.start, round(curves.costs.trial, 6)) == (2.0, 0.2)


def test_curves_of_another_objective_are_refused(recorded):
    other = Objective(metric="accuracy", mode="max")
    with pytest.raises(ResultsError, match="must have the same objective, got"):
        RecordedCurves.read(recorded, space=SearchSpace({"x": Float(0, 1)}), objective=other)


def test_a_plan_forecasts_every_scheduler_for_each_number_of_workers(recorded, tmp_path, capsys):
    path = tmp_path / "planned.yaml"
    path.write_text(
        "trainable: {kind: 'toys.py:Toy'}\nspace: {x: {float: [0.0, 1.0]}}\n"
        "objective: {metric: loss, mode: min}\nbudget: {trials: 20, iterations: 9}\nscheduler: asha\n"
    )
    (tmp_path / "toys.py").write_text("def Toy(config):\n    pass\n")
    arguments = ["plan", str(path), "--set", f"trainable={tmp_path}/toys.py:Toy", "--curves", str(recorded)]
    assert main([*arguments, "--workers", "1,4", "--json"]) == 0
    forecasts = json.loads(capsys.readouterr().out)
    assert [(each["scheduler"], each["workers"]) for each in forecasts[:2]] == [("asha", 1), ("asha", 4)]
    assert {each["scheduler"] for each in forecasts} == set(SCHEDULERS) - {"replay"}
    full = {each["workers"]: each for each in forecasts if each["scheduler"] == "fifo"}
    assert full[1]["seconds"] == pytest.approx(2 + 20 * (0.2 + 9 * 0.5))
    assert full[4]["seconds"] == pytest.approx(2 + 5 * (0.2 + 9 * 0.5))
    assert full[1]["seconds_range"] == [pytest.approx(0.9 * 96), pytest.approx(1.1 * 96)]
    assert all(each["best_range"][0] <= each["best"] <= each["best_range"][1] for each in forecasts)
    assert full[1]["worker_hours"] == pytest.approx(20 * 4.7 / 3600)
    assert math.isclose(full[1]["best"], full[4]["best"])


def test_a_plan_needs_whole_numbers_of_workers(capsys):
    with pytest.raises(SystemExit):
        main(["plan", "sweep.yaml", "--workers", "1,none"])
    assert "must be whole numbers from 1, as in 1,8,64, got '1,none'" in capsys.readouterr().err


def true_curve(config, trial):
    """Rankings change over the iterations, and no two configurations have the same curve."""
    rate = -math.log10(config["lr"]) / 5
    rng = np.random.default_rng(int(1e9 * rate))
    at = np.arange(1, 28)
    values = 0.1 + 0.5 * abs(rate - 0.5) + 0.3 * (1 - rate) * np.exp(-at / 8) + 1.2 * rate * np.exp(-at / 4)
    return LearningCurve((values + 0.02 * rng.normal(size=27)).tolist(), 0.05)


def planned_sweep(scheduler, seed):
    return sweep(
        space={"lr": Float(1e-5, 1.0, log=True), "depth": Int(1, 3)},
        budget=Budget(trials=64, iterations=27),
        scheduler=scheduler,
        seed=seed,
    )


def pilot_curves(planned, seed):
    rng = np.random.default_rng(seed)
    configs = [planned.space.sample(rng) for _ in range(12)]
    return RecordedCurves(
        planned.space, configs, [true_curve(c, 0) for c in configs], Costs(start=1, trial=0.02)
    )


@pytest.mark.parametrize("scheduler", ["asha", "asha_stop", "pasha", "median"])
def test_most_forecasts_from_twelve_curves_are_right(scheduler):
    """Six pilots: the median is within a fifth of the true wall time; most ranges hold it and the value.

    With the curve of the nearest of the twelve, many trials tied: 1.47 times the time for asha_stop.
    """
    ratios, times, values = [], 0, 0
    for seed in range(6):
        planned = planned_sweep(scheduler, seed)
        curves = pilot_curves(planned, 100 + seed)
        found = forecast(planned, curves, scheduler=planned.scheduler, workers=2)
        real = simulate(
            planned.model_copy(update={"seed": 1000 + seed}), true_curve, workers=2, costs=curves.costs
        )
        ratios.append(found.seconds / real.seconds)
        times += found.seconds_range[0] <= real.seconds <= found.seconds_range[1]
        low, high = present(found.best_range)
        values += low <= present(real.best) <= high
    assert 0.8 < np.median(ratios) < 1.2
    assert times >= 4
    assert values >= 4


def test_curves_vary_from_trial_to_trial_and_with_the_seed():
    planned = planned_sweep("asha", 0)
    curves = pilot_curves(planned, 0)
    config = planned.space.sample(np.random.default_rng(5))
    one, other = curves.varied(1), curves.varied(2)
    assert one(config, 3) == one(config, 3)
    assert len({tuple(one(config, trial).values) for trial in range(50)}) == 50
    assert one(config, 3) != other(config, 3)


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0, 0.02], 0, 1), ([0.98, 1.0], 0, 1), ([0.1, 30.0], 0, math.inf), ([-0.1, -5.0], -math.inf, 0)],
    ids=["near 0", "near 1", "positive", "negative"],
)
def test_varied_curves_stay_within_the_range_of_the_metric(values, low, high):
    space = SearchSpace({"x": Float(0, 1)})
    recorded = [LearningCurve([value]) for value in values]
    curves = RecordedCurves(space, [{"x": 0.2}, {"x": 0.8}], recorded, Costs())
    found = [curves.varied(seed)({"x": 0.1}, trial).values[0] for seed in range(5) for trial in range(20)]
    assert all(low <= value <= high for value in found)
    assert len(set(found)) > 20
