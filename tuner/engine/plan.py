"""``plan``: what a sweep would cost with each scheduler and so many workers, simulated on known curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from tuner.engine.curves import RecordedCurves
from tuner.engine.simulate import Simulation, simulate
from tuner.errors import Problem, SpecError
from tuner.objective import Budget
from tuner.report.words import duration
from tuner.schedulers import SCHEDULERS, Fifo, Replay, SchedulerSpec
from tuner.searchers import Random
from tuner.sweep import Sweep

REPEATS = 5
PILOT_TRIALS = 12


@dataclass(frozen=True)
class Forecast:
    """Means over repeats with other seeds: the best value, wall time, and time that workers are held."""

    scheduler: str
    workers: int
    best: float | None
    seconds: float
    worker_hours: float
    iterations: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def pilot_of(sweep: Sweep, *, trials: int = PILOT_TRIALS) -> Sweep:
    """A short sweep whose curves tell what this one would cost: random, in full length, one per worker."""
    budget = Budget(trials=trials, iterations=sweep.budget.iterations)
    parts = {name: getattr(sweep, name) for name in type(sweep).model_fields}
    return Sweep(
        **{
            **parts,
            "budget": budget,
            "searcher": Random(),
            "scheduler": Fifo(),
            "name": f"{sweep.name}-pilot",
        }
    )


def plan(
    sweep: Sweep, curves: RecordedCurves, *, workers: Sequence[int], repeats: int = REPEATS
) -> list[Forecast]:
    """A forecast for the sweep's own scheduler first, then every other of the table, each by workers.

    Raises SpecError for several objectives, of which curves tell one.
    """
    if sweep.objective.others:
        what = "must be a single one for a forecast, got " + ", ".join(sweep.objective.metrics)
        raise SpecError([Problem("objective", what)])
    return [
        _forecast(sweep, curves, scheduler, count, repeats)
        for scheduler in _candidates(sweep)
        for count in workers
    ]


def table(forecasts: Sequence[Forecast], metric: str) -> list[dict[str, str]]:
    """The forecasts as text, column by column."""
    return [
        {
            "scheduler": each.scheduler,
            "workers": f"{each.workers:,}",
            f"best {metric}": "" if each.best is None else f"{each.best:.4g}",
            "wall time": duration(each.seconds),
            "worker-hours": f"{each.worker_hours:.3g}",
            "iterations": f"{each.iterations:,.0f}",
        }
        for each in forecasts
    ]


def _candidates(sweep: Sweep) -> Iterator[SchedulerSpec]:
    yield sweep.scheduler
    for cls in SCHEDULERS.values():
        spec = cls()
        if cls is Replay:  # without changes, which nobody has told, it is `fifo`
            continue
        if cls is not type(sweep.scheduler) and not spec.problems(
            sweep.budget.iterations, trials=sweep.trials
        ):
            yield spec


def _forecast(
    sweep: Sweep, curves: RecordedCurves, scheduler: SchedulerSpec, workers: int, repeats: int
) -> Forecast:
    seeds = [(sweep.seed + repeat) % 2**32 for repeat in range(repeats)]
    runs: list[Simulation] = [
        simulate(
            sweep.model_copy(update={"scheduler": scheduler, "seed": seed}),
            curves,
            workers=min(workers, sweep.budget.concurrent or workers),
            costs=curves.costs,
        )
        for seed in seeds
    ]
    found = [run.best for run in runs if run.best is not None]
    return Forecast(
        scheduler=str(getattr(scheduler, "kind", type(scheduler).__name__)),
        workers=workers,
        best=fmean(found) if found else None,
        seconds=fmean(run.seconds for run in runs),
        worker_hours=fmean(run.worker_seconds for run in runs) / 3600,
        iterations=fmean(run.iterations for run in runs),
    )
