"""A sweep on a cluster that is not there: a clock and learning curves drive the state. Nothing needs Ray."""

from tuner.simulation._simulate import Simulation, simulate
from tuner.simulation.curves import Costs, Curves, LearningCurve, PowerLawCurves, RecordedCurves
from tuner.simulation.plan import PILOT_TRIALS, REPEATS, Forecast, forecast, pilot_of, plan, table

__all__ = [
    "PILOT_TRIALS",
    "REPEATS",
    "Costs",
    "Curves",
    "Forecast",
    "LearningCurve",
    "PowerLawCurves",
    "RecordedCurves",
    "Simulation",
    "forecast",
    "pilot_of",
    "plan",
    "simulate",
    "table",
]
