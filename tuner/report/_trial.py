"""``Trial``: one row of a report, and how it comes of a trial's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.journal.events import Result, is_checkpoint_name
from tuner.journal.history import State, TrialHistory
from tuner.objective import Objective


@dataclass(frozen=True)
class Reconfiguration:
    """A trial went on after ``iteration``, from trial ``source``'s checkpoint of it, with ``config``."""

    iteration: int
    source: int
    config: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One trial as the journal knows it.

    ``value``: the best objective of its life, ``None`` without any. ``iterations``: the highest that it
    reported. ``seconds``: training time. ``error``: the whole traceback of a failed trial. ``checkpoint``:
    the path of the one kept for that value, below the folder that was read; ``None`` when it is not there.
    ``gone``: the name of that checkpoint, where the journal has one that is not there. ``curve``: (iteration,
    value), iterations rising; where a trial was started again and repeated an iteration, the last report of
    it stands. ``config``: that it had at its best, where hyperparameters changed. ``changes``: when they did,
    in order. ``first_config``: before them. ``values``: of all objectives, where there are several; then the
    last count, also as ``value``. ``metrics``: what else it reported at its best (of several objectives: at
    its end); a metric that is missing there has the nearest value before, else the next one after.
    ``stopped_early``: whether a scheduler has stopped it, and no budget.
    """

    id: str
    number: int
    config: dict[str, Any]
    state: State
    value: float | None
    iterations: int
    seconds: float
    seed: int | None
    error: str | None
    checkpoint: str | None
    curve: list[tuple[int, float]]
    changes: tuple[Reconfiguration, ...] = ()
    first_config: dict[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    gone: str | None = None
    stopped_early: bool = False

    @property
    def best_iteration(self) -> int:
        """The first iteration with ``value``; of several objectives the last one; 0 without any."""
        return self.iterations if self.values else reached(self.curve, self.value)

    @property
    def cause(self) -> str | None:
        """The last line of the error, which names it; ``None`` without one."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1].strip() if lines else None

    def to_dict(self) -> dict[str, Any]:
        """The trial as ``Report.to_dict`` lists it, JSON-ready."""
        names = ("id", "config", "state", "value", "iterations", "seconds", "seed", "error", "metrics")
        several = {"values": list(self.values)} if self.values else {}
        own = {name: getattr(self, name) for name in names} | several
        return own | ({} if self.value is None else {"best_iteration": self.best_iteration})


def trial_of(
    history: TrialHistory,
    objective: Objective,
    folder: Path,
    restored: Callable[[dict[str, Any]], dict[str, Any]],
) -> Trial:
    """A trial's row of the report.

    ``folder``: of the results; the checkpoint is looked for there. ``restored`` gives a configuration the
    types that its values have in the space.
    """
    results = [history.results[iteration] for iteration in sorted(history.results)]
    curve = [(result.iteration, result.value) for result in results if result.value is not None]
    values = results[-1].values if objective.others and results else ()
    best = objective.best([value for _, value in curve]) if curve else None
    if values:
        best = values[0]
    last = results[-1].iteration if results else 0
    until = last if values else reached(curve, best)
    first = restored(history.config)
    changes = [
        Reconfiguration(each.iteration, each.source, restored(each.config)) for each in history.changes
    ]
    before = [change.config for change in changes if change.iteration < until]
    checkpoint = None if history.kept is None else _find(history.kept, folder)
    return Trial(
        id=trial_id(history.number),
        number=history.number,
        config=before[-1] if before else first,
        state=history.state,
        value=best,
        iterations=last,
        seconds=max((result.seconds for result in results), default=0.0),
        seed=history.seed,
        error=history.error,
        checkpoint=checkpoint,
        curve=curve,
        changes=tuple(changes),
        first_config=first,
        values=values,
        metrics=_metrics(results, until or last, without=objective.metrics),
        gone=history.kept if checkpoint is None else None,
        stopped_early=history.stopped_early and history.state == "stopped",
    )


def _metrics(results: Sequence[Result], at: int, *, without: tuple[str, ...]) -> dict[str, Any]:
    """The metrics at an iteration, in the order in which they were first reported."""
    known: dict[str, Any] = {}
    for result in results:
        known |= dict.fromkeys(_flat(result.metrics))
    after = [result for result in reversed(results) if result.iteration > at]
    for result in [*after, *(result for result in results if result.iteration <= at)]:
        known |= _flat(result.metrics)
    return {name: value for name, value in known.items() if name not in without}


def reached(curve: list[tuple[int, float]], value: float | None) -> int:
    """The first iteration of a curve with this value; 0: none."""
    return next((iteration for iteration, found in curve if found == value), 0)


def trial_id(number: int) -> str:
    """A trial's number as reports write it."""
    return f"{number:05d}"


def reached_at(trial: Trial) -> str:
    """Where in its training a trial had its value."""
    return f"iteration {trial.best_iteration:,} of {trial.iterations:,}"


def checkpoint(trial: Trial) -> str:
    """Where a trial's checkpoint is, or that there is none."""
    if trial.gone is not None:
        return f"gone: there is no {trial.gone} in the results folder"
    return trial.checkpoint or "none"


def _find(name: str, folder: Path) -> str | None:
    """Where a checkpoint is in a results folder; ``None``: it is not there."""
    if not is_checkpoint_name(name):
        return None
    path = folder / name
    return str(path) if path.is_dir() else None


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics as ``outer/inner``, as the engine writes them."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
