"""``plan``: what a sweep would cost with each scheduler and so many workers, simulated on known curves."""

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

# The part by which the time of a sweep differs from its forecast even with the same decisions: a machine is
# faster at one time than at another.
_UNSEEN = 0.1

PILOT_TRIALS = 12


@dataclass(frozen=True)
class Forecast:
    """What to expect of the best value, of wall time and of the time that workers are held.

    Medians over repeats with other seeds and other samples of the curves. ``..._range``: the least and the
    most of them, wall time with what one repeat cannot show added.
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
        """JSON-ready."""
        return asdict(self)


def pilot_of(sweep: Sweep, *, trials: int = PILOT_TRIALS) -> Sweep:
    """A short sweep whose curves tell what this one would cost: random, in full length, one per worker."""
    budget = Budget(trials=trials, iterations=sweep.budget.iterations)
    parts = {"searcher": Random(), "scheduler": Fifo(), "name": f"{sweep.name}-pilot"}
    return sweep.with_parts(budget=budget, **parts)


def plan(
    sweep: Sweep, curves: RecordedCurves, *, workers: Sequence[int], repeats: int = REPEATS
) -> list[Forecast]:
    """A forecast for the sweep's own scheduler first, then every other that can run it, each by workers."""
    return [
        forecast(sweep, curves, scheduler=scheduler, workers=count, repeats=repeats)
        for scheduler in _candidates(sweep)
        for count in workers
    ]


def forecast(
    sweep: Sweep, curves: RecordedCurves, *, scheduler: SchedulerSpec, workers: int, repeats: int = REPEATS
) -> Forecast:
    """What to expect of the sweep with another scheduler and so many workers."""
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
        seconds_range=(min(seconds) * (1 - _UNSEEN), max(seconds) * (1 + _UNSEEN)),
        worker_hours=median(hours),
        worker_hours_range=(min(hours) * (1 - _UNSEEN), max(hours) * (1 + _UNSEEN)),
        iterations=fmean(run.iterations for run in runs),
    )


def table(forecasts: Sequence[Forecast], metric: str) -> list[dict[str, str]]:
    """The forecasts as text, column by column, each from the least to the most that is to be expected."""
    return [
        {
            "scheduler": each.scheduler,
            "workers": f"{each.workers:,}",
            f"best {metric}": _between(each.best_range, lambda value: f"{value:.3g}"),
            "wall time": _between(each.seconds_range, duration),
            "worker-hours": _between(each.worker_hours_range, lambda hours: f"{hours:.2g}"),
            "iterations": f"{each.iterations:,.0f}",
        }
        for each in forecasts
    ]


def _between(ends: tuple[float, float] | None, written: Callable[[float], str]) -> str:
    low, high = map(written, ends) if ends is not None else ("", "")
    return low if low == high else f"{low} to {high}"


def _candidates(sweep: Sweep) -> Iterator[SchedulerSpec]:
    yield sweep.scheduler
    for cls in SCHEDULERS.values():
        if cls in (type(sweep.scheduler), Replay):  # `replay` without changes is `fifo`
            continue
        with contextlib.suppress(SpecError):
            yield sweep.with_parts(scheduler=cls()).scheduler
