"""``Report``: the outcome of a sweep, read from its journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import ResultsError, SpecError
from tuner.journal import FILE_NAME, History, TrialHistory
from tuner.journal.events import Result, SweepBegan
from tuner.journal.history import STATES, Clock, State
from tuner.objective import Objective
from tuner.report._columns import dtype_of
from tuner.report._evaluation import read_evaluation
from tuner.report._hyperparameters import has_types, hyperparameters, is_searched, named
from tuner.report._next import is_unfinished, resumption, supports
from tuner.report._sweep import checked_sweep
from tuner.report._trial import Trial, trial_id, trial_of
from tuner.report.phrases import several
from tuner.storage.lock import is_held

if TYPE_CHECKING:
    import pandas


CHANGES = ("pause", "resume", "stop")
"""Actions of decisions that change a trial's state."""


@dataclass(frozen=True, repr=False)
class Report:
    """The outcome of the sweep in ``folder``, final or so far."""

    folder: Path
    sweep: dict[str, Any]
    """All settings, defaults included. ``out`` is the folder that now holds the results folder."""
    objective: Objective
    trials: tuple[Trial, ...]
    """Trials by number."""
    start: float
    """The time at which the sweep was requested, in seconds since 1970."""
    seconds: float
    """From ``start`` to the newest event, without the time between an end and a resumption."""
    reason: str | None
    """Why the sweep ended: ``trials``, ``failures``, ``interrupted``, or the budget that was used up.

    ``None``: it is running, or was killed.
    """
    _results: list[tuple[float, int, float]] = field(repr=False)
    """(time, trial, value) in order."""
    _decisions: list[dict[str, Any]] = field(repr=False)
    leaks: list[dict[str, Any]] = field(default_factory=list, repr=False)
    """The journal's data about each worker that was replaced for a memory leak."""
    evaluation: dict[str, Any] | None = field(default=None, repr=False)
    """The results of ``tuner evaluate``; ``None``: it did not run."""
    is_running: bool = field(default=False, repr=False)
    """Whether a process runs the sweep now."""
    _began: SweepBegan | None = field(default=None, repr=False)
    _clock: Clock = field(default_factory=Clock, repr=False)
    _histories: tuple[TrialHistory, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> Report:
        """Read a results folder, also during the sweep. Raises ResultsError if it holds no sweep."""
        folder = Path(folder)
        history = History.read(folder)
        sweep = history.sweep_of(folder)
        sweep = {**checked_sweep(sweep, source=str(folder / FILE_NAME)), "out": str(folder.parent)}
        objective = Objective.model_validate(sweep["objective"])
        restored = _restoring(sweep.get("space"))
        return cls(
            folder=folder,
            sweep=sweep,
            objective=objective,
            trials=tuple(
                trial_of(history.trials[number], objective, folder, restored)
                for number in sorted(history.trials)
            ),
            start=history.clock.start,
            seconds=history.clock.seconds,
            reason=history.reason,
            _clock=history.clock,
            _histories=tuple(history.trials[number] for number in sorted(history.trials)),
            _results=[
                (result.time, result.trial, result.value)
                for result in sorted(_results(history), key=lambda result: result.time)
                if result.value is not None
            ],
            _decisions=[
                {"trial": trial_id(decision.trial), "time": decision.time, **decision.to_json()}
                for decision in history.decisions
            ],
            leaks=[leak.to_json() for leak in history.leaks],
            evaluation=read_evaluation(folder),
            is_running=history.reason is None and is_held(folder),
            _began=history.began,
        )

    def __repr__(self) -> str:
        best = self.best()
        value = (
            "no value" if best is None else f"best {self.objective.metric} {best.value:.6g} (trial {best.id})"
        )
        return f"<Report of {self.folder}: {several(len(self.trials), 'trial')}, {value}>"

    @property
    def started_in(self) -> Any:
        """The folder to which relative paths in the sweep refer."""
        return self._began.folder if self._began else None

    @property
    def is_unfinished(self) -> bool:
        """Whether the sweep was interrupted or killed, so that it can be resumed."""
        return is_unfinished(self.reason, is_running=self.is_running)

    def resumption(self, folder: str | None = None) -> str:
        """Return the command, or the Python code, that resumes the sweep. ``folder``: its path there."""
        return resumption(folder or self.folder, self._began)

    def supports(self, verb: str) -> bool:
        """Return whether ``evaluate`` or ``export`` works for the trainable."""
        return supports(verb, self._began, self.sweep.get("trainable"))

    def best(self) -> Trial | None:
        """Return the best trial that did not fail, or ``None`` if there is none.

        The lowest number decides between equal values. With several objectives, this is the trial of the
        Pareto front that is best by the first objective.
        """
        front = self.front()
        return min(front, key=lambda trial: -self.objective.score(trial.value or 0.0)) if front else None

    def front(self) -> list[Trial]:
        """Return the Pareto front of the trials that did not fail, by number.

        With a single objective, it holds the best trial only.
        """
        sound = [trial for trial in self.trials if _is_sound(trial)]
        if self.objective.others:
            from tuner.pareto import front  # it imports NumPy

            return [sound[i] for i in front([self.objective.scores(trial.values) for trial in sound])]
        return sound and [min(sound, key=lambda trial: -self.objective.score(trial.value or 0.0))]

    def ranked(self) -> list[Trial]:
        """Return all trials from best to worst, then those without a value, then the failed ones.

        With several objectives, the trials are in order of their fronts.
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
        """Return the number of trials in each of the six states, in the order of ``STATES``."""
        states = [trial.state for trial in self.trials]
        return {state: states.count(state) for state in STATES}

    @property
    def resource(self) -> str:
        """The scheduler's measure of a trial's progress."""
        return str((self.sweep.get("scheduler") or {}).get("resource", "iterations"))

    @property
    def iterations(self) -> int:
        """The iterations of all trials. An iteration that was repeated after a loss counts once."""
        return sum(trial.iterations for trial in self.trials)

    @property
    def iterations_without_stopping(self) -> int | None:
        """The sum of the trials' iterations if the scheduler had stopped none.

        A trial that it stopped counts with ``budget.iterations``, any other trial with its own iterations.
        ``None`` if the sweep does not set ``budget.iterations``.
        """
        length = (self.sweep.get("budget") or {}).get("iterations")
        if length is None:
            return None
        return sum(
            max(length, trial.iterations) if trial.stopped_early else trial.iterations
            for trial in self.trials
        )

    def decisions(self) -> list[dict[str, Any]]:
        """Return the scheduler's decisions in order, each with ``trial`` (id) and ``time`` (since 1970)."""
        return [dict(decision) for decision in self._decisions]

    def elapsed(self, time: float) -> float:
        """Return the seconds that the sweep had run at a time (in seconds since 1970); see ``seconds``."""
        return self._clock.elapsed(time)

    def incumbents(self) -> list[tuple[float, str, float]]:
        """Return (seconds since the start, trial id, value) for each improvement of the best value.

        Failed trials do not count.
        """
        failed = {trial.number for trial in self.trials if trial.state == "failed"}
        best: float | None = None
        incumbents = []
        for time, number, value in self._results:
            if number not in failed and self.objective.better(value, best):
                best = value
                incumbents.append((self.elapsed(time), trial_id(number), value))
        return incumbents

    def schedule(self, trial: Trial) -> list[tuple[int, dict[str, Any]]]:
        """Return (iteration, configuration from there on) for the way to the trial's best, beginning at 0.

        It has one entry unless hyperparameters changed. A trial that copied a checkpoint begins with the
        schedule of the trial that wrote it.
        """
        by_number = {each.number: each for each in self.trials}
        schedule: list[tuple[int, dict[str, Any]]] = []
        until = trial.best_iteration
        while changes := [change for change in trial.changes if change.iteration < until]:
            schedule.insert(0, (changes[-1].iteration, changes[-1].config))
            until = changes[-1].iteration
            trial = by_number[changes[-1].source]
        return [(0, trial.first_config), *schedule]

    def changes(self, trial: Trial) -> list[tuple[int, dict[str, Any]]]:
        """Return (iteration, hyperparameters that changed after it) up to the trial's best.

        The first entry, at iteration 0, is the whole configuration.
        """
        (_, first), *later = self.schedule(trial)
        changes = [(0, first)]
        before = first
        for iteration, config in later:
            changed = {name: value for name, value in config.items() if before.get(name) != value}
            changes += [(iteration, changed)] if changed else []
            before = config
        return changes

    def replay(self) -> dict[str, Any]:
        """Return a sweep that trains the best trial's schedule again from the beginning.

        Raises ResultsError if no trial has a value, or if the journal lacks parts of the sweep.
        """
        best = self.best()
        if best is None:
            raise ResultsError(f"{self.folder}: no trial has a value, so there is nothing to replay")
        if missing := [part for part in ("trainable", "resources", "seed", "name") if part not in self.sweep]:
            raise ResultsError(f"{self.folder}: its sweep has no '{missing[0]}', so it cannot be replayed")
        (_, first), *later = self.changes(best)
        space = dict(first)
        changes = []
        for iteration, changed in later:
            space = {**changed, **space}  # a name that appears later must be in the space
            changes.append({"at": iteration, "set": changed})
        return {
            "trainable": self.sweep["trainable"],
            "space": space,
            "objective": self.sweep["objective"],
            "budget": {"trials": 1, "iterations": best.iterations},
            "searcher": "random",
            "scheduler": {"kind": "replay", "changes": changes} if changes else "fifo",
            "resources": self.sweep["resources"],
            "seed": self.sweep["seed"],
            "name": f"{self.sweep['name']}-replay",
            "out": self.sweep["out"],
        }

    def space(self) -> dict[str, Any]:
        """Return the hyperparameters by name, in the sweep's order. Groups may share a name."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.config)
        space = hyperparameters(self.sweep.get("space") or {})
        space |= named(history.named for history in self._histories)
        return {**space, **{name: None for name in names if name not in space}}

    def searched(self) -> dict[str, Mapping[str, Any]]:
        """Return the entries of ``space`` that are dimensions, not constants."""
        return {name: entry for name, entry in self.space().items() if is_searched(entry)}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per trial: numbers, the error's last line, ``config.<name>``, ``metric.<name>``."""
        names, metrics = list(self.space()), self.metrics()
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
                **{f"metric.{name}": trial.metrics.get(name) for name in metrics},
            }
            for trial in self.trials
        ]

    def columns(self) -> list[str]:
        """Return the keys of ``rows``, also if there are no trials."""
        own = ["id", "state", "value", *self._further(), "iterations", "seconds", "seed", "error"]
        return [
            *own,
            *(f"config.{name}" for name in self.space()),
            *(f"metric.{name}" for name in self.metrics()),
        ]

    def metrics(self) -> list[str]:
        """Return the names of all reported metrics except the objectives, in order of appearance."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.metrics))

    def values(self, trial: Trial) -> list[float | None]:
        """Return the trial's value of each objective."""
        values = trial.values or (trial.value,)
        return [*values, *[None] * (len(self.objective.metrics) - len(values))]

    def _further(self) -> list[str]:
        """Return the columns of the objectives after the first."""
        return [f"value.{other.metric}" for other in self.objective.others]

    def table(self) -> pandas.DataFrame:
        """Return ``rows`` as a data frame. A column of whole numbers stays one if it has gaps."""
        import pandas

        rows = self.rows()
        columns = {name: [row[name] for row in rows] for name in self.columns()}
        return pandas.DataFrame(
            {name: pandas.Series(values, dtype=dtype_of(name, values)) for name, values in columns.items()}
        )

    def _repr_html_(self) -> str:
        """Return the best, the top trials and the learning curves for a notebook."""
        from tuner.report.page import html_snippet

        return html_snippet(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as strict JSON can write it."""
        best = self.best()
        return {
            "sweep": self.sweep,
            "best": None if best is None else self._best_to_dict(best),
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

    def _best_to_dict(self, best: Trial) -> dict[str, Any]:
        """Return the best trial with its checkpoint, and with its schedule if hyperparameters changed."""
        changes = [{"iteration": iteration, "config": changed} for iteration, changed in self.changes(best)]
        return {
            **best.to_dict(),
            "checkpoint": best.checkpoint,
            **({} if best.gone is None else {"checkpoint_gone": best.gone}),
            **({"schedule": changes} if len(changes) > 1 else {}),
        }


def _results(history: History) -> Iterator[Result]:
    """Yield all results that count."""
    return (result for trial in history.trials.values() for result in trial.results.values())


def _restoring(space: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    if not has_types(space):
        return dict
    from tuner.space import SearchSpace  # imports NumPy

    try:
        return SearchSpace(space).restored
    except (SpecError, TypeError, AttributeError):  # the space of another version can still be shown
        return dict


def _is_sound(trial: Trial) -> bool:
    """Return whether the trial can be among the best."""
    return trial.state != "failed" and trial.value is not None
