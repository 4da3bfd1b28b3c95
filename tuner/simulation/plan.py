"""``plan``: forecast a sweep for each scheduler and number of workers, by simulation on known curves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from tuner.errors import SpecError
from tuner.objective import Budget
from tuner.report.phrases import duration
from tuner.schedulers import SCHEDULERS, Fifo, Replay, SchedulerSpec
from tuner.searchers import Random
from tuner.simulation._simulate import Simulation, simulate
from tuner.simulation.curves import RecordedCurves
from tuner.sweep import Sweep

REPEATS = 9

# Even with equal decisions, a sweep's time differs from its forecast by this share, because machines vary in
# speed.
_SPEED_VARIATION = 0.1

PILOT_TRIALS = 12


@dataclass(frozen=True)
class Forecast:
    """Expected best value, wall time and worker time of a sweep.

    Values are medians over repeats with different seeds and samples of curves. A range goes from the lowest
    to the highest repeat. Ranges of times are widened by 10 %, because machines vary in speed.
    """

    scheduler: str
    workers: int
    best: float | None
    best_range: tuple[float, float] | None
    seconds: float
    seconds_range: tuple[float, float]
    worker_hours: float
    worker_hours_range: tuple[float, float]
    iterations: float

    def to_dict(self) -> dict[str, Any]:
        """Return the forecast as JSON-compatible data."""
        return asdict(self)


def pilot_of(sweep: Sweep, *, trials: int = PILOT_TRIALS) -> Sweep:
    """Return a short sweep that records curves: random configurations without early stopping."""
    budget = Budget(trials=trials, iterations=sweep.budget.iterations)
    parts = {"searcher": Random(), "scheduler": Fifo(), "name": f"{sweep.name}-pilot"}
    return sweep.with_parts(budget=budget, **parts)


def plan(
    sweep: Sweep, curves: RecordedCurves, *, workers: Sequence[int], repeats: int = REPEATS
) -> list[Forecast]:
    """Return a forecast for each scheduler and number of workers. The sweep's own scheduler comes first.

    Other schedulers are left out if they cannot run the sweep.
    """
    return [
        forecast(sweep, curves, scheduler=scheduler, workers=count, repeats=repeats)
        for scheduler in _candidates(sweep)
        for count in workers
    ]


def forecast(
    sweep: Sweep, curves: RecordedCurves, *, scheduler: SchedulerSpec, workers: int, repeats: int = REPEATS
) -> Forecast:
    """Return the forecast of the sweep with another scheduler and a number of workers."""
    runs: list[Simulation] = []
    for repeat in range(repeats):
        seed = (sweep.seed + repeat) % 2**32
        runs.append(
            simulate(
                sweep.model_copy(update={"scheduler": scheduler, "seed": seed}),
                curves.varied(seed),
                workers=min(workers, sweep.budget.concurrent or workers),
                costs=curves.costs,
            )
        )
    best = [run.best for run in runs if run.best is not None]
    seconds = [run.seconds for run in runs]
    hours = [run.worker_seconds / 3600 for run in runs]
    return Forecast(
        scheduler=str(getattr(scheduler, "kind", type(scheduler).__name__)),
        workers=workers,
        best=median(best) if best else None,
        best_range=(min(best), max(best)) if best else None,
        seconds=median(seconds),
        seconds_range=(min(seconds) * (1 - _SPEED_VARIATION), max(seconds) * (1 + _SPEED_VARIATION)),
        worker_hours=median(hours),
        worker_hours_range=(min(hours) * (1 - _SPEED_VARIATION), max(hours) * (1 + _SPEED_VARIATION)),
        iterations=fmean(run.iterations for run in runs),
    )


def table(forecasts: Sequence[Forecast], metric: str) -> list[dict[str, str]]:
    """Return the forecasts as rows of text; a range is written as "low to high"."""
    return [
        {
            "scheduler": each.scheduler,
            "workers": f"{each.workers:,}",
            f"best {metric}": _format_range(each.best_range, lambda value: f"{value:.3g}"),
            "wall time": _format_range(each.seconds_range, duration),
            "worker-hours": _format_range(each.worker_hours_range, lambda hours: f"{hours:.2g}"),
            "iterations": f"{each.iterations:,.0f}",
        }
        for each in forecasts
    ]


def _format_range(ends: tuple[float, float] | None, written: Callable[[float], str]) -> str:
    low, high = map(written, ends) if ends is not None else ("", "")
    return low if low == high else f"{low} to {high}"


def _candidates(sweep: Sweep) -> Iterator[SchedulerSpec]:
    yield sweep.scheduler
    for cls in SCHEDULERS.values():
        if cls in (type(sweep.scheduler), Replay):  # `replay` without changes equals `fifo`
            continue
        with contextlib.suppress(SpecError):
            yield sweep.with_parts(scheduler=cls()).scheduler
