"""Simulate a sweep without a cluster: a virtual clock and learning curves drive its state.

Ray is not needed.
"""

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
