"""``Trial``: one row of a report, and how it comes of a trial's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tuner.events import is_checkpoint_name
from tuner.journal import Event
from tuner.objective import Objective

State = Literal["completed", "stopped", "failed", "running", "paused", "pending"]
"""``pending``: suggested and not yet started, or waiting to be started again."""

STATES: tuple[State, ...] = get_args(State)

# What a trial that uses up its time is stopped by is no scheduler: the budget's reasons name themselves.
_BY_BUDGET = "(budget."


@dataclass(frozen=True)
class Change:
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
    changes: tuple[Change, ...] = ()
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


class Draft:
    """A trial while the journal is being read."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.config: dict[str, Any] = {}
        self.seed: int | None = None
        self.state: State = "pending"
        self.error: str | None = None
        self.checkpoint: str | None = None
        self.results: dict[int, Event] = {}
        self.changes: list[Change] = []
        self.stopped_early = False

    def add(self, event: Event) -> None:
        """Take in one event of this trial."""
        data = event.data
        match event.kind:
            case "suggested":
                self.config, self.seed = data["config"], data["seed"]
            case "started":
                self.state, self.error, self.stopped_early = "running", None, False
            case "result":
                self.results[data["iteration"]] = event
            case "decision":
                self._decided(data)
            case "lost":
                self.state = "pending"
            case "reconfigured":
                self.changes.append(Change(data["iteration"], data["source"], data["config"]))
                # What it had done beyond is not part of what it goes on from.
                self.results = {i: event for i, event in self.results.items() if i <= data["iteration"]}
            case "checkpoint":
                self.checkpoint = data["best"]
            case "ended":
                self.state, self.error = data["state"], data.get("error")

    def _decided(self, data: Mapping[str, Any]) -> None:
        if data["action"] == "pause":
            self.state = "paused"
        elif data["action"] == "resume":
            self.state = "pending"
        elif data["action"] == "stop":
            self.stopped_early = _BY_BUDGET not in (data.get("reason") or "")

    def restore(self, restored: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Give each configuration the types that its values have in the space."""
        self.config = restored(self.config)
        self.changes = [replace(change, config=restored(change.config)) for change in self.changes]

    def trial(self, objective: Objective, folder: Path) -> Trial:
        """The trial after its last event; its checkpoint is looked for in the results ``folder``."""
        results = [(iteration, self.results[iteration].data["value"]) for iteration in sorted(self.results)]
        curve = [(iteration, value) for iteration, value in results if value is not None]
        values = self._last_values() if objective.others else ()
        best = objective.best([value for _, value in curve]) if curve else None
        if values:
            best = values[0]
        last = max(self.results, default=0)
        until = last if values else reached(curve, best)
        before = [change.config for change in self.changes if change.iteration < until]
        checkpoint = None if self.checkpoint is None else _find(self.checkpoint, folder)
        return Trial(
            id=trial_id(self.number),
            number=self.number,
            config=before[-1] if before else self.config,
            state=self.state,
            value=best,
            iterations=last,
            seconds=max((event.data.get("seconds") or 0.0 for event in self.results.values()), default=0.0),
            seed=self.seed,
            error=self.error,
            checkpoint=checkpoint,
            curve=curve,
            changes=tuple(self.changes),
            first_config=self.config,
            values=values,
            metrics=self._metrics(until or last, without=objective.metrics),
            gone=self.checkpoint if checkpoint is None else None,
            stopped_early=self.stopped_early and self.state == "stopped",
        )

    def _last_values(self) -> tuple[float, ...]:
        return tuple(self.results[max(self.results)].data["values"]) if self.results else ()

    def _metrics(self, at: int, *, without: tuple[str, ...]) -> dict[str, Any]:
        """The metrics at an iteration, in the order in which they were first reported."""
        order = sorted(self.results)
        known: dict[str, Any] = {}
        for iteration in order:
            known |= dict.fromkeys(_flat(self.results[iteration].data["metrics"]))
        for iteration in [*(i for i in reversed(order) if i > at), *(i for i in order if i <= at)]:
            known |= _flat(self.results[iteration].data["metrics"])
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
