"""``Report``, the answer to a sweep as its journal tells it, and ``Trial``, one row of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import ResultsError, SpecError
from tuner.journal import FILE_NAME, History, TrialHistory
from tuner.journal.events import Result
from tuner.journal.history import STATES, Clock, State
from tuner.objective import Objective
from tuner.report._evaluation import read_evaluation
from tuner.report._hyperparameters import has_types, hyperparameters, is_searched
from tuner.report._sweep import checked_sweep
from tuner.report._trial import Trial, trial_id, trial_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Report:
    """What came, or has come so far, of the sweep in ``folder``.

    ``sweep``: resolved; its ``out`` is where the folder is now. ``trials``: by number. ``start``: when the
    sweep was asked for, in seconds since 1970. ``seconds``: from then to the newest event, without the time
    between its end and a resumption. ``reason``: why the sweep ended (``trials``, ``seconds``, ``failures``,
    ``interrupted``); ``None``: it is running, or was killed. ``leaks``: for each worker that was
    replaced since its trials had left memory behind, what the journal says. ``evaluation``: what ``tuner
    evaluate`` found. ``started_in``: the folder from which relative paths of the sweep are meant.
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
    started_in: Any = field(default=None, repr=False)
    _clock: Clock = field(default_factory=Clock, repr=False)
    _histories: tuple[TrialHistory, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, folder: str | Path) -> Report:
        """Read a results folder, also while its sweep runs. Raises ResultsError if it holds no sweep."""
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
            started_in=history.began.folder if history.began else None,
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
        """How many trials there are in each state, all six, in the order of ``STATES``."""
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
        """What all trials would have done if the scheduler had stopped none of them.

        Those that it stopped count in full length, the others as what they did. ``None``: the sweep sets no
        length.
        """
        length = (self.sweep.get("budget") or {}).get("iterations")
        if length is None:
            return None
        return sum(
            max(length, trial.iterations) if trial.stopped_early else trial.iterations
            for trial in self.trials
        )

    def decisions(self) -> list[dict[str, Any]]:
        """The scheduler's decisions in order: ``trial`` (id), ``time`` (since 1970) and their own keys."""
        return [dict(decision) for decision in self._decisions]

    def elapsed(self, time: float) -> float:
        """How long the sweep had run at a time (since 1970), in seconds; see ``seconds``."""
        return self._clock.elapsed(time)

    def incumbents(self) -> list[tuple[float, str, float]]:
        """(seconds since the start, trial id, value) each time the best improved; failed trials left out."""
        failed = {trial.number for trial in self.trials if trial.state == "failed"}
        best: float | None = None
        incumbents = []
        for time, number, value in self._results:
            if number not in failed and self.objective.better(value, best):
                best = value
                incumbents.append((self.elapsed(time), trial_id(number), value))
        return incumbents

    def schedule(self, trial: Trial) -> list[tuple[int, dict[str, Any]]]:
        """(iteration, configuration from there on) of all that led to the trial's best, beginning at 0.

        One entry, unless hyperparameters changed; then also those of the trials that it went on from.
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
        """(iteration, hyperparameters that changed after it, with their new values) up to the trial's best.

        The first entry, at iteration 0, is the whole configuration; there are others only where it changed.
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
        """A sweep that trains the best trial's schedule once more, from the beginning.

        Raises ResultsError when no trial is best, or the journal does not have the whole sweep.
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
            space = {**changed, **space}  # what comes in later must be among the names
            changes.append({"at": iteration, "set": changed})
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
        """One row per trial: its numbers, the error's last line, ``config.<name>``, ``metric.<name>``."""
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
        """The keys of ``rows``, known also when there are none."""
        own = ["id", "state", "value", *self._further(), "iterations", "seconds", "seed", "error"]
        return [
            *own,
            *(f"config.{name}" for name in self.space()),
            *(f"metric.{name}" for name in self.metrics()),
        ]

    def metrics(self) -> list[str]:
        """The metrics beside the objectives that any trial reported, in the order in which they came."""
        return list(dict.fromkeys(name for trial in self.trials for name in trial.metrics))

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

    def _repr_html_(self) -> str:
        """The report in a notebook: the best, the top trials and the learning curves."""
        from tuner.report.page import html_snippet

        return html_snippet(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as strict JSON can write it."""
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
        """The best trial with its checkpoint, and its schedule where hyperparameters changed."""
        changes = [{"iteration": iteration, "config": changed} for iteration, changed in self.changes(best)]
        return {
            **best.to_dict(),
            "checkpoint": best.checkpoint,
            **({} if best.gone is None else {"checkpoint_gone": best.gone}),
            **({"schedule": changes} if len(changes) > 1 else {}),
        }


def _results(history: History) -> Iterator[Result]:
    """All results that count."""
    return (result for trial in history.trials.values() for result in trial.results.values())


def _restoring(space: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    if not has_types(space):
        return dict
    from tuner.space import SearchSpace  # imports NumPy

    try:
        return SearchSpace(space).restored
    except (SpecError, TypeError, AttributeError):  # a space of another version, which is only shown
        return dict


def _is_sound(trial: Trial) -> bool:
    """Whether it can be among the best."""
    return trial.state != "failed" and trial.value is not None


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
        return "Int64" if all(-(2**63) <= value < 2**63 for value in present) else "object"
    return None
