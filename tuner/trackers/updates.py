"""``Feed``: turns the events of a journal into updates of a tracker's runs.

A tracker holds one parent run for the sweep and one child run per trial. An update holds the whole state of a
run, which can be sent again without harm, and the points that are new, which must arrive once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tuner.journal import History, TrialHistory
from tuner.journal.events import (
    Asked,
    Decision,
    Ended,
    Event,
    Finished,
    Lost,
    Reconfigured,
    Result,
    Resumed,
    Started,
    Suggested,
    SweepBegan,
    TrialEvent,
)
from tuner.report import phrases
from tuner.report._trial import trial_id

CONFIG = "config/"
"""Prefix of a hyperparameter that is sent as a metric, because it changes while the trial trains."""

BEST = "best/"
"""Prefix of an objective's best value so far, a metric of the parent run."""


@dataclass(frozen=True)
class Point:
    """Metrics of a run at one step."""

    number: int
    """Its place among the points of the run, from 1."""
    step: int
    """The trial's iteration; in the parent run, the number of results of all trials."""
    time: float
    """In seconds since 1970."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RunUpdate:
    """The news of one run, and its state."""

    trial: int | None
    """The number of the trial; ``None``: the sweep itself, the parent run."""
    name: str
    state: str
    """The trial's state; of the parent run ``running``, or the reason of its end."""
    began: float
    """In seconds since 1970."""
    ended: float | None
    params: Mapping[str, Any]
    """The trial's first configuration; of the parent run, the settings of the sweep."""
    changed: Mapping[str, Any]
    """The hyperparameters that a reconfiguration has changed, with their present values."""
    tags: Mapping[str, str]
    """An empty one replaces an earlier one that no longer holds."""
    points: tuple[Point, ...]
    number: int
    """The number of points of the run so far, ``points`` included."""
    summary: Mapping[str, float] = field(default_factory=dict)
    """The best value of each objective."""


@dataclass
class _Run:
    """The part of a run's state that the journal's history does not hold."""

    began: float
    number: int = 0
    new: list[Point] = field(default_factory=list)
    ended: float | None = None
    highest: int = 0
    """The highest iteration. A restarted trial repeats iterations up to it."""
    best: dict[str, float] = field(default_factory=dict)
    decision: Decision | None = None
    lost: Lost | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def add(self, step: int, time: float, metrics: Mapping[str, float]) -> None:
        """Add a point, unless it has no metrics."""
        if metrics:
            self.number += 1
            self.new.append(Point(self.number, step, time, metrics))


class Feed:
    """The runs of one sweep, as of the last event."""

    def __init__(self) -> None:
        self.history = History()
        self._parent = _Run(0.0)
        self._runs: dict[int, _Run] = {}
        self._changed: dict[int | None, None] = {}  # in the order of their first change
        self._objectives: list[tuple[str, bool]] = []  # metric, whether more is better
        # Trials of an open space name their hyperparameters, so their runs are sent with their first results.
        self._is_open = False

    @property
    def id(self) -> str:
        """The sweep's identifier; empty before the first event."""
        began = self.history.began
        return "" if began is None else began.id or f"{int(began.time):08x}"

    @property
    def name(self) -> str:
        """The name of the sweep."""
        began = self.history.began
        return "" if began is None else str(began.settings.get("name") or "sweep")

    def add(self, events: Iterable[Event]) -> None:
        """Apply the next events."""
        for event in events:
            self.history.add(event)
            match event:
                case SweepBegan():
                    self._parent.began = event.time
                    self._objectives = _objectives(event.settings)
                    self._is_open = not event.settings.get("space")
                    self._changed[None] = None
                case Resumed() | Finished():
                    self._parent.ended = event.time if isinstance(event, Finished) else None
                    self._changed[None] = None
                case TrialEvent():
                    self._add_trial_event(event)

    def take(self) -> list[RunUpdate]:
        """Return an update for each run that has changed since the last call, the parent first."""
        changed, self._changed = sorted(self._changed, key=lambda trial: -1 if trial is None else trial), {}
        return [self._parent_update() if trial is None else self._trial_update(trial) for trial in changed]

    def _add_trial_event(self, event: TrialEvent) -> None:
        if isinstance(event, Suggested):
            self._runs[event.trial] = _Run(event.time, config=event.config)
        run = self._runs[event.trial]
        if not (self._is_open and isinstance(event, (Suggested, Started, Asked))):
            self._changed[event.trial] = None
        match event:
            case Started():
                run.lost = run.ended = None
            case Result():
                self._add_result(run, event)
            case Decision():
                run.decision = event
            case Lost():
                run.lost = event
            case Reconfigured():
                self._add_reconfiguration(run, event)
            case Ended():
                run.ended = event.time

    def _add_result(self, run: _Run, result: Result) -> None:
        if result.iteration <= run.highest:
            return
        run.highest = result.iteration
        run.add(result.iteration, result.time, {**numbers(result.metrics), "seconds": result.seconds})
        parent = self._parent
        improved = {}
        for (metric, more), value in zip(self._objectives, result.values or (result.value,), strict=False):
            if value is None:
                continue
            if metric not in run.best or (value > run.best[metric]) is more:
                run.best[metric] = value
            before = parent.best.get(metric)
            if before is None or (value != before and (value > before) is more):
                parent.best[metric] = improved[f"{BEST}{metric}"] = value
        parent.highest += 1
        if improved:
            parent.add(parent.highest, result.time, improved)
            self._changed[None] = None

    def _add_reconfiguration(self, run: _Run, event: Reconfigured) -> None:
        changed = {name for name, value in event.config.items() if run.config.get(name) != value}
        first = len(self.history.trials[event.trial].changes) == 1
        if first:
            run.add(0, run.began, _config_metrics(run.config, changed))
        run.config, run.highest = event.config, event.iteration
        run.add(event.iteration, event.time, _config_metrics(event.config, changed))

    def _parent_update(self) -> RunUpdate:
        parent, history = self._parent, self.history
        reason = history.reason
        settings = history.began.settings if history.began is not None else {}
        trainable = settings.get("trainable")
        tags = {
            "state": "running" if reason is None else "finished",
            "reason": "" if reason is None else phrases.ended(reason),
            "trainable": str(trainable.get("kind") if isinstance(trainable, dict) else trainable),
        }
        return RunUpdate(
            trial=None,
            name=self.name,
            state=reason or "running",
            began=parent.began,
            ended=parent.ended,
            params=_flat({key: value for key, value in settings.items() if key not in ("name", "loggers")}),
            changed={},
            tags=tags,
            points=self._take_points(parent),
            number=parent.number,
            summary={f"{BEST}{metric}": value for metric, value in parent.best.items()},
        )

    def _trial_update(self, number: int) -> RunUpdate:
        run, trial = self._runs[number], self.history.trials[number]
        return RunUpdate(
            trial=number,
            name=f"{self.name}-{trial_id(number)}",
            state=trial.state,
            began=run.began,
            ended=run.ended,
            params=trial.config,
            changed={n: value for n, value in run.config.items() if trial.config.get(n) != value},
            tags=_tags(run, trial),
            points=self._take_points(run),
            number=run.number,
            summary={f"{BEST}{metric}": value for metric, value in run.best.items()},
        )

    @staticmethod
    def _take_points(run: _Run) -> tuple[Point, ...]:
        points, run.new = tuple(run.new), []
        return points


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are finite numbers. True counts as 1 and false as 0."""
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }


def _config_metrics(config: Mapping[str, Any], names: Iterable[str]) -> dict[str, float]:
    return {f"{CONFIG}{name}": value for name, value in numbers({n: config.get(n) for n in names}).items()}


def _tags(run: _Run, trial: TrialHistory) -> dict[str, str]:
    """Return the state of a trial with its reason, and its last rung and bracket."""
    tags = {"state": trial.state, "reason": _reason(run, trial)}
    if run.decision is not None and run.decision.rung is not None:
        tags["rung"] = phrases.short(run.decision.rung)
    if run.decision is not None and run.decision.bracket is not None:
        tags["bracket"] = str(run.decision.bracket)
    if trial.changes:
        tags["source"] = trial_id(trial.changes[-1].source)
    return tags


def _reason(run: _Run, trial: TrialHistory) -> str:
    """Return why a trial has its state, in a few words; empty if there is nothing to say."""
    error = trial.error or (run.lost.error if run.lost is not None and trial.state == "pending" else None)
    if error is not None:
        return phrases.clean((error.strip().splitlines() or [phrases.NO_ERROR])[-1].strip())
    decision = run.decision
    if decision is None or trial.state not in ("paused", "stopped"):
        return ""
    parts = []
    if decision.rank is not None and decision.of is not None:
        parts.append(f"{phrases.ordinal(decision.rank)} of {decision.of}")
    if decision.rung is not None:
        parts.append(f"rung {phrases.short(decision.rung)}")
    if decision.cutoff is not None:
        parts.append(f"cut-off {phrases.short(float(decision.cutoff))}")
    if decision.reason:
        parts.append(phrases.clean(decision.reason))
    return ", ".join(parts)


def _objectives(settings: Mapping[str, Any]) -> list[tuple[str, bool]]:
    objective = settings.get("objective")
    parts = objective if isinstance(objective, list) else [objective]
    return [
        (str(part["metric"]), part.get("mode") == "max")
        for part in parts
        if isinstance(part, dict) and "metric" in part
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names. Empty and unset ones are left out."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
