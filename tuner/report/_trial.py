"""``Trial``: one row of a report, read from a trial's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.journal.events import Result, is_checkpoint_name
from tuner.journal.history import State, TrialHistory
from tuner.objective import Objective
from tuner.report.phrases import changed


@dataclass(frozen=True)
class Reconfiguration:
    """A change of a running trial's hyperparameters."""

    iteration: int
    """The last iteration before the change."""
    source: int
    """The trial whose checkpoint of that iteration it continues from; may be itself."""
    config: dict[str, Any]
    """The configuration from there on."""


@dataclass(frozen=True, repr=False)
class Trial:
    """One trial of a sweep."""

    id: str
    """The number with five digits."""
    number: int
    config: dict[str, Any]
    """The configuration that it had at its best."""
    state: State
    value: float | None
    """The best objective that it reported; with several objectives, the last value of the first one."""
    iterations: int
    """The highest iteration that it reported."""
    seconds: float
    """Training time."""
    seed: int | None
    error: str | None
    """The whole traceback of a failed trial."""
    checkpoint: str | None
    """The path of the checkpoint kept for ``value``, below the folder that was read; ``None``: not there."""
    curve: list[tuple[int, float]]
    """(iteration, value) with rising iterations. A repeated iteration has its last report."""
    changes: tuple[Reconfiguration, ...] = ()
    """Changes of its hyperparameters, in order."""
    first_config: dict[str, Any] = field(default_factory=dict)
    """The configuration before ``changes``."""
    values: tuple[float, ...] = ()
    """The last values of all objectives; empty with a single one."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Other metrics at its best, or at its end with several objectives.

    A metric that is missing there has its nearest earlier value, else the next later one.
    """
    gone: str | None = None
    """The name of the checkpoint in the journal, if the folder does not hold it."""
    stopped_early: bool = False
    """Whether a scheduler stopped it, not a budget."""
    ranks: tuple[dict[str, Any], ...] = ()
    """The machine (``node``) and the GPUs (``gpus``) of each rank at its last start; empty without
    ``processes`` in the sweep."""

    def __repr__(self) -> str:
        value = "no value" if self.value is None else f"value {self.value:.6g}"
        what = f"{self.state}, {value}, {self.iterations} iterations"
        return f"<Trial {self.id}: {what}, {changed(self.config)}>"

    @property
    def best_iteration(self) -> int:
        """The first iteration with ``value``; with several objectives the last iteration; 0: no value."""
        return self.iterations if self.values else reached(self.curve, self.value)

    @property
    def cause(self) -> str | None:
        """The last line of the traceback, which names the error; ``None`` if there is no error."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1].strip() if lines else None

    def to_dict(self) -> dict[str, Any]:
        """Return the trial as JSON can write it."""
        names = ("id", "config", "state", "value", "iterations", "seconds", "seed", "error", "metrics")
        several = {"values": list(self.values)} if self.values else {}
        ranks = {"ranks": list(self.ranks)} if self.ranks else {}
        data = {name: getattr(self, name) for name in names} | several | ranks
        return data | ({} if self.value is None else {"best_iteration": self.best_iteration})


def trial_of(
    history: TrialHistory,
    objective: Objective,
    folder: Path,
    restored: Callable[[dict[str, Any]], dict[str, Any]],
) -> Trial:
    """Return a trial's row of the report.

    Args:
        history: The trial's events, folded.
        objective: The sweep's objectives.
        folder: The results folder, which may hold the checkpoint.
        restored: Gives the values of a configuration the types that they have in the search space.
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
        ranks=history.spans[-1].started.ranks if history.spans else (),
    )


def _metrics(results: Sequence[Result], at: int, *, without: tuple[str, ...]) -> dict[str, Any]:
    """Return the metrics at an iteration, in the order of their first report."""
    known: dict[str, Any] = {}
    for result in results:
        known |= dict.fromkeys(_flat(result.metrics))
    after = [result for result in reversed(results) if result.iteration > at]
    for result in [*after, *(result for result in results if result.iteration <= at)]:
        known |= _flat(result.metrics)
    return {name: value for name, value in known.items() if name not in without}


def reached(curve: list[tuple[int, float]], value: float | None) -> int:
    """Return the first iteration of a curve with this value; 0: there is none."""
    return next((iteration for iteration, found in curve if found == value), 0)


def trial_id(number: int) -> str:
    """Return a trial's number as reports write it."""
    return f"{number:05d}"


def reached_at(trial: Trial) -> str:
    """Return the iteration at which a trial reached its value, in words."""
    return f"iteration {trial.best_iteration:,} of {trial.iterations:,}"


def checkpoint(trial: Trial) -> str:
    """Return the path of a trial's checkpoint, or say that there is none."""
    if trial.gone is not None:
        return f"gone: there is no {trial.gone} in the results folder"
    return trial.checkpoint or "none"


def _find(name: str, folder: Path) -> str | None:
    """Return the path of a checkpoint in a results folder; ``None`` if it is not there."""
    if not is_checkpoint_name(name):
        return None
    path = folder / name
    return str(path) if path.is_dir() else None


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested metrics under the names ``outer/inner``, which Ray Tune also uses."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
