"""``Report``, the answer to a sweep as its journal tells it, and ``Trial``, one row of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tuner.errors import ResultsError, SpecError
from tuner.journal import FILE_NAME, Event, read
from tuner.objective import Objective
from tuner.report._hyperparameters import has_types, hyperparameters, is_searched

if TYPE_CHECKING:
    import pandas

State = Literal["completed", "stopped", "failed", "running", "pending"]
"""``pending``: suggested and not yet started, paused, or waiting to be started again."""

EVALUATION_FILE = "evaluation.json"
"""What ``tuner evaluate`` writes into the results folder."""

STATES: tuple[State, ...] = get_args(State)


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
    the path of the one kept for that value. ``curve``: (iteration, value), iterations rising; where a trial
    was started again and repeated an iteration, the last report of it stands. ``config``: that it had at its
    best, where hyperparameters changed. ``changes``: when they did, in order. ``first_config``: before them.
    ``values``: of all objectives, where there are several; then the last count, also as ``value``.
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

    @property
    def best_iteration(self) -> int:
        """The first iteration with ``value``; 0 without any."""
        return _reached(self.curve, self.value)

    @property
    def cause(self) -> str | None:
        """The last line of the error, which names it; ``None`` without one."""
        lines = (self.error or "").strip().splitlines()
        return lines[-1].strip() if lines else None

    def to_dict(self) -> dict[str, Any]:
        """The trial as ``Report.to_dict`` lists it, JSON-ready."""
        names = ("id", "config", "state", "value", "iterations", "seconds", "seed", "error")
        several = {"values": list(self.values)} if self.values else {}
        return {name: getattr(self, name) for name in names} | several


@dataclass(frozen=True)
class Report:
    """What came, or has come so far, of the sweep in ``folder``.

    ``sweep``: resolved. ``trials``: by number. ``start``: seconds since 1970. ``seconds``: from the start to
    the newest event. ``reason``: why the sweep ended (``trials``, ``seconds``, ``failures``,
    ``interrupted``); ``None``: it is running, or was killed. ``leaks``: for each worker that was
    replaced since its trials had left memory behind, what the journal says. ``evaluation``: what ``tuner
    evaluate`` found.
    """

    folder: Path
    sweep: dict[str, Any]
    objective: Objective
    trials: tuple[Trial, ...]
    start: float
    seconds: float
    reason: str | None
    _results: list[tuple[float, int, float]] = field(repr=False)  # (time, trial, value), in order
    _decisions: list[dict[str, Any]] = field(repr=False)
    leaks: list[dict[str, Any]] = field(default_factory=list, repr=False)
    evaluation: dict[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> Report:
        """Read a results folder, also while its sweep runs. Raises ResultsError if it holds no sweep."""
        folder = Path(folder)
        sweep: dict[str, Any] | None = None
        start = end = 0.0
        reason: str | None = None
        drafts: dict[int, _Draft] = {}
        decisions: list[dict[str, Any]] = []
        leaks: list[dict[str, Any]] = []
        for position, event in enumerate(read(folder)):
            if position == 0:
                start = event.time
            end = event.time
            # A sweep that goes on after its end, because it was resumed or extended, has not ended.
            reason = event.data["reason"] if event.kind == "finished" else None
            if event.kind == "sweep":
                sweep = event.data["sweep"]
            elif event.kind == "leaked":
                leaks.append(event.data)
            if event.trial is not None:
                drafts.setdefault(event.trial, _Draft(event.trial)).add(event)
                if event.kind == "decision":
                    decisions.append({"trial": _id(event.trial), "time": event.time, **event.data})
        if sweep is None:
            raise ResultsError(f"{folder / FILE_NAME}: holds no sweep; it was ended before it began")
        objective = Objective.model_validate(sweep["objective"])
        restored = _restoring(sweep.get("space"))
        for draft in drafts.values():
            draft.restore(restored)
        kept = (result for draft in drafts.values() for result in draft.results.values())
        return cls(
            folder=folder,
            sweep=sweep,
            objective=objective,
            trials=tuple(drafts[number].trial(objective) for number in sorted(drafts)),
            start=start,
            # A clock that was set back must not give a negative duration.
            seconds=max(0.0, end - start),
            reason=reason,
            _results=[
                (result.time, result.trial, result.data["value"])
                for result in sorted(kept, key=lambda result: result.time)
                if result.trial is not None and result.data["value"] is not None
            ],
            _decisions=decisions,
            leaks=leaks,
            evaluation=_evaluation(folder / EVALUATION_FILE),
        )

    def best(self) -> Trial | None:
        """The best trial that did not fail, of equals the one with the lowest number; ``None``: none.

        Of several objectives, it is the one of the front that is best by the first.
        """
        front = self.front()
        return min(front, key=lambda trial: -self.objective.score(trial.value or 0.0)) if front else None

    def front(self) -> list[Trial]:
        """The trials that did not fail and that no other dominates, by number; of one objective, the best."""
        sound = [trial for trial in self.trials if _is_sound(trial)]
        if self.objective.others:
            from tuner.pareto import front  # it imports NumPy

            return [sound[i] for i in front([self.objective.scores(trial.values) for trial in sound])]
        return sound and [min(sound, key=lambda trial: -self.objective.score(trial.value or 0.0))]

    def ranked(self) -> list[Trial]:
        """Every trial, best value first; then those without a value, and the failed ones last.

        Of several objectives, front by front.
        """
        if self.objective.others:
            from tuner.pareto import ranking  # it imports NumPy

            sound = [trial for trial in self.trials if _is_sound(trial)]
            order = ranking([self.objective.scores(trial.values) for trial in sound])
            return [sound[i] for i in order] + [trial for trial in self._by_value() if not _is_sound(trial)]
        return self._by_value()

    def _by_value(self) -> list[Trial]:

        def rank(trial: Trial) -> tuple[bool, bool, float, int]:
            score = 0.0 if trial.value is None else self.objective.score(trial.value)
            return trial.state == "failed", trial.value is None, -score, trial.number

        return sorted(self.trials, key=rank)

    def counts(self) -> dict[State, int]:
        """How many trials there are in each state, all five, in the order of ``STATES``."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in STATES}

    @property
    def resource(self) -> str:
        """What the scheduler measured trials by."""
        return str((self.sweep.get("scheduler") or {}).get("resource", "iterations"))

    @property
    def iterations(self) -> int:
        """Iterations done by all trials; those that were repeated after a loss count once."""
        return sum(trial.iterations for trial in self.trials)

    @property
    def iterations_without_stopping(self) -> int | None:
        """What the trials that ran would have done in full length, failed ones what they did.

        ``None``: the sweep sets no length.
        """
        length = (self.sweep.get("budget") or {}).get("iterations")
        if length is None:
            return None
        return sum(
            trial.iterations if trial.state == "failed" else max(length, trial.iterations)
            for trial in self.trials
            if trial.iterations > 0 or trial.state not in ("pending", "failed")
        )

    def decisions(self) -> list[dict[str, Any]]:
        """The scheduler's decisions in order: ``trial`` (id), ``time`` (since 1970) and their own keys."""
        return [dict(decision) for decision in self._decisions]

    def incumbents(self) -> list[tuple[float, str, float]]:
        """(seconds since the start, trial id, value) each time the best improved; failed trials left out."""
        failed = {trial.number for trial in self.trials if trial.state == "failed"}
        best: float | None = None
        incumbents = []
        for time, number, value in self._results:
            if number not in failed and self.objective.better(value, best):
                best = value
                incumbents.append((max(0.0, time - self.start), _id(number), value))
        return incumbents

    def schedule(self, trial: Trial) -> list[tuple[int, dict[str, Any]]]:
        """(iteration, configuration from there on) of all that led to the trial's best, beginning at 0.

        One entry, unless hyperparameters changed; then also those of the trials that it went on from.
        """
        schedule: list[tuple[int, dict[str, Any]]] = []
        until = trial.best_iteration
        while changes := [change for change in trial.changes if change.iteration < until]:
            schedule.insert(0, (changes[-1].iteration, changes[-1].config))
            until = changes[-1].iteration
            trial = self.trials[changes[-1].source]
        return [(0, trial.first_config), *schedule]

    def replay(self) -> dict[str, Any]:
        """A sweep that trains the best trial's schedule once more, from the beginning.

        Raises ResultsError when no trial is best.
        """
        best = self.best()
        if best is None:
            raise ResultsError(f"{self.folder}: no trial has a value, so there is nothing to replay")
        (_, first), *later = self.schedule(best)
        changes = []
        space = dict(first)
        before = first
        for iteration, config in later:
            changed = {name: value for name, value in config.items() if before.get(name) != value}
            space = {**changed, **space}  # what comes in later must be among the names
            changes += [{"at": iteration, "set": changed}] if changed else []
            before = config
        return {
            "trainable": self.sweep["trainable"],
            "space": space,
            "objective": self.sweep["objective"],
            "budget": {"trials": 1, "iterations": best.iterations},
            "searcher": "random",
            "scheduler": {"kind": "replay", "changes": changes},
            "resources": self.sweep["resources"],
            "seed": self.sweep["seed"],
            "name": f"{self.sweep['name']}-replay",
            "out": self.sweep["out"],
        }

    def space(self) -> dict[str, Any]:
        """The hyperparameters by name, in the sweep's order; one entry where groups share a name."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.config)
        space = hyperparameters(self.sweep.get("space") or {})
        return {**space, **{name: None for name in names if name not in space}}

    def searched(self) -> dict[str, Mapping[str, Any]]:
        """Those of ``space`` that are dimensions and no constants."""
        return {name: entry for name, entry in self.space().items() if is_searched(entry)}

    def rows(self) -> list[dict[str, Any]]:
        """One row per trial: its numbers, the error's last line, ``config.<name>`` in the space's order."""
        names = list(self.space())
        further = self._further()
        return [
            {
                "id": trial.id,
                "state": trial.state,
                "value": trial.value,
                **dict(zip(further, self.values(trial)[1:], strict=True)),
                "iterations": trial.iterations,
                "seconds": trial.seconds,
                "seed": trial.seed,
                "error": trial.cause,
                **{f"config.{name}": trial.config.get(name) for name in names},
            }
            for trial in self.trials
        ]

    def columns(self) -> list[str]:
        """The keys of ``rows``, known also when there are none."""
        own = ["id", "state", "value", *self._further(), "iterations", "seconds", "seed", "error"]
        return own + [f"config.{name}" for name in self.space()]

    def values(self, trial: Trial) -> list[float | None]:
        """The trial's value of each objective."""
        values = trial.values or (trial.value,)
        return [*values, *[None] * (len(self.objective.metrics) - len(values))]

    def _further(self) -> list[str]:
        """The columns of the objectives after the first."""
        return [f"value.{other.metric}" for other in self.objective.others]

    def table(self) -> pandas.DataFrame:
        """``rows`` as a data frame; whole numbers stay whole where a condition leaves gaps."""
        import pandas

        rows = self.rows()
        return pandas.DataFrame(
            {
                name: pandas.Series(values, dtype=_dtype(name, values))
                for name, values in _transposed(rows, self)
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as strict JSON can write it."""
        best = self.best()
        return {
            "sweep": self.sweep,
            "best": None if best is None else {**best.to_dict(), "checkpoint": best.checkpoint},
            **({"front": [trial.id for trial in self.front()]} if self.objective.others else {}),
            "trials": [trial.to_dict() for trial in self.trials],
            "counts": self.counts(),
            "reason": self.reason,
            "seconds": self.seconds,
            "iterations": self.iterations,
            "iterations_without_stopping": self.iterations_without_stopping,
            "results": str(self.folder),
            "leaks": self.leaks,
            "evaluation": self.evaluation,
        }


def _restoring(space: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    if not has_types(space):
        return dict
    from tuner.space import SearchSpace  # imports NumPy

    try:
        return SearchSpace(space).restored
    except (SpecError, TypeError, AttributeError):  # a space of another version, which is only shown
        return dict


class _Draft:
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

    def add(self, event: Event) -> None:
        """Take in one event of this trial."""
        data = event.data
        match event.kind:
            case "suggested":
                self.config, self.seed = data["config"], data["seed"]
            case "started":
                self.state, self.error = "running", None
            case "result":
                self.results[data["iteration"]] = event
            case "decision" if data["action"] == "pause":
                self.state = "pending"
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

    def restore(self, restored: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Give each configuration the types that its values have in the space."""
        self.config = restored(self.config)
        self.changes = [replace(change, config=restored(change.config)) for change in self.changes]

    def trial(self, objective: Objective) -> Trial:
        """The trial after its last event."""
        results = [(iteration, self.results[iteration].data["value"]) for iteration in sorted(self.results)]
        curve = [(iteration, value) for iteration, value in results if value is not None]
        values = self._last_values() if objective.others else ()
        best = objective.best([value for _, value in curve]) if curve else None
        if values:
            best = values[0]
        until = max(self.results, default=0) if values else _reached(curve, best)
        before = [change.config for change in self.changes if change.iteration < until]
        return Trial(
            id=_id(self.number),
            number=self.number,
            config=before[-1] if before else self.config,
            state=self.state,
            value=best,
            iterations=max(self.results, default=0),
            seconds=max((event.data.get("seconds") or 0.0 for event in self.results.values()), default=0.0),
            seed=self.seed,
            error=self.error,
            checkpoint=self.checkpoint,
            curve=curve,
            changes=tuple(self.changes),
            first_config=self.config,
            values=values,
        )

    def _last_values(self) -> tuple[float, ...]:
        return tuple(self.results[max(self.results)].data["values"]) if self.results else ()


def _is_sound(trial: Trial) -> bool:
    """Whether it can be among the best."""
    return trial.state != "failed" and trial.value is not None


def _reached(curve: list[tuple[int, float]], value: float | None) -> int:
    return next((iteration for iteration, reached in curve if reached == value), 0)


def _evaluation(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    return found


def _id(number: int) -> str:
    return f"{number:05d}"


def _transposed(rows: list[dict[str, Any]], report: Report) -> Iterable[tuple[str, list[Any]]]:
    return ((name, [row[name] for row in rows]) for name in report.columns())


def _dtype(name: str, values: list[Any]) -> Any:
    """The pandas type of a column; ``None``: the one that pandas finds."""
    present = [value for value in values if value is not None]
    if name in ("value", "seconds") or name.startswith("value."):
        return "float64"
    if name in ("id", "state", "error") or not present:
        return "object"
    if len(present) < len(values) and all(type(value) is int for value in present):
        return "Int64"
    return None
