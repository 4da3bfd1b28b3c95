"""A real sweep and its simulation on the same learning curves make the same decisions."""

import math

import pytest

from tests.integration.running import sweep_of
from tests.integration.toys import steady
from tuner import Float, Objective, run
from tuner.journal import read
from tuner.journal.events import Decision, Reconfigured, Suggested
from tuner.schedulers import SCHEDULERS
from tuner.simulation import LearningCurve, simulate

ITERATIONS = 9


def curve(config, trial):
    """Return what ``Steady`` reports for this configuration."""
    values = [steady(config["x"], iteration) for iteration in range(1, ITERATIONS + 1)]
    return LearningCurve(values, fails_at=1 if math.isnan(values[0]) else None)


def two_goals(config, trial):
    """Return what ``TwoGoals`` reports for this configuration."""
    x = config["x"]
    values = [((x - 0.3) ** 2 + 1 / i, (x - 0.7) ** 2 + 1 / i) for i in range(1, ITERATIONS + 1)]
    return LearningCurve([value for value, _ in values], others=[(size,) for _, size in values])


def decided(report):
    """Return all suggestions and decisions of a sweep in order, as far as a simulation can know them."""
    return [
        Reconfigured(event.trial, event.source, event.iteration, event.config)
        if isinstance(event, Reconfigured)
        else event
        for event in read(report.folder)
        if isinstance(event, (Suggested, Decision, Reconfigured))
    ]


def compare(sweep, curves):
    report = run(sweep)
    simulated = simulate(sweep, curves, workers=1)
    assert decided(report) == simulated.decided
    assert {state: n for state, n in report.counts().items() if n} == dict(simulated.endings)
    return report


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_simulated_sweep_makes_the_decisions_of_the_real_one(scheduler, cluster, tmp_path):
    settings = {"kind": scheduler, **({"interval": 2} if scheduler == "pbt" else {})}
    budget = {"concurrent": 1, "trials": 12, "iterations": ITERATIONS}
    sweep = sweep_of(
        "Steady", tmp_path, space={"x": Float(0.0, 1.0)}, scheduler=settings, searcher="optuna", budget=budget
    )
    compare(sweep, curve)


@pytest.mark.parametrize(
    "budget",
    [{"total_iterations": 31}, {"failures": 0}],
    ids=lambda budget: next(iter(budget)),
)
def test_a_simulated_sweep_obeys_the_budget_like_the_real_one(budget, cluster, tmp_path):
    budget = {"concurrent": 1, "trials": 30, "iterations": ITERATIONS, **budget}
    sweep = sweep_of("Steady", tmp_path, space={"x": Float(0.0, 1.0)}, scheduler="asha", budget=budget)
    assert compare(sweep, curve).reason in budget


def test_a_simulated_sweep_of_several_objectives_makes_the_decisions_of_the_real_one(cluster, tmp_path):
    objective = Objective(metric="loss", mode="min", others=[Objective(metric="size", mode="min")])
    budget = {"concurrent": 1, "trials": 12, "iterations": ITERATIONS}
    sweep = sweep_of(
        "TwoGoals",
        tmp_path,
        space={"x": Float(0.0, 1.0)},
        objective=objective,
        scheduler="asha",
        searcher="optuna",
        budget=budget,
    )
    compare(sweep, two_goals)
