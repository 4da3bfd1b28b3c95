"""``Earlier``: the trials of an earlier sweep that fit another space and objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from tuner.journal import History
from tuner.journal.events import Result
from tuner.objective import Ending, Objective
from tuner.searchers.base import Searcher
from tuner.space import Config, Dimension, SearchSpace
from tuner.space.dimension import UNSET
from tuner.space.entries import parse
from tuner.space.values import same, written


@dataclass
class EarlierTrial:
    """A trial that has ended, with its configuration in the new space."""

    config: Config
    ending: Ending
    results: list[tuple[int, float]]
    """(iteration, value) of each result."""
    others: tuple[float, ...] = ()
    """Last values of the further objectives."""
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """In an open space: its hyperparameters, each with the dimension that it named."""


@dataclass
class Earlier:
    """The usable trials of an earlier sweep, in the order in which they ended."""

    folder: Path
    objective: Objective
    trials: list[EarlierTrial]
    unfit: Counter[str]
    """Reason why a trial is not used -> the number of such trials."""
    reported: set[str] = field(default_factory=set)
    """Names of all metrics that any trial reported."""

    @classmethod
    def read(cls, folder: Path, *, space: SearchSpace, objective: Objective) -> Earlier:
        """Read the trials of a results folder.

        A trial fits under these conditions:

        - it has ended, and its configuration never changed
        - each of its values lies in the new space; hyperparameters that the new space lacks are left out
        - every hyperparameter that is active in the new space has a value or a default
        - it reported the new objective, or failed

        In an open space, the hyperparameters are those that it named while it ran.

        Raises ResultsError when there is no readable journal.
        """
        history = History.read(folder)
        earlier = cls(folder, objective, [], Counter(), _metric_names(history))
        for trial in history.ended:
            named = trial.named if space.is_open else {}
            config = _named_config(trial.config, named) if space.is_open else _fit_config(trial.config, space)
            values = {i: _values(result, history, objective) for i, result in trial.results.items()}
            curve = sorted((i, each[0]) for i, each in values.items() if each[0] is not None)
            last = list(values.values())[-1] if values else []
            others = [value for value in last[1:] if value is not None]
            if trial.changes:
                earlier.unfit["changed while they ran"] += 1
            elif isinstance(config, str):
                earlier.unfit[config] += 1
            elif trial.state != "failed" and (not curve or len(others) < len(objective.others)):
                wanted = " or ".join(f"'{metric}'" for metric in objective.metrics)
                earlier.unfit[f"reported no {wanted}"] += 1
            else:
                assert trial.state in ("completed", "stopped", "failed")
                has_others = len(others) == len(objective.others)
                last_others = tuple(others) if has_others else ()
                earlier.trials.append(EarlierTrial(config, trial.state, curve, last_others, named))
        if unfinished := len(history.trials) - len(history.ended):
            earlier.unfit["had not ended"] = unfinished
        return earlier

    def tell(self, searcher: Searcher) -> None:
        """Tell the trials to a searcher, under negative numbers."""
        for number, trial in enumerate(self.trials, start=-len(self.trials)):
            searcher.take(number, dict(trial.config))
            for name, dimension in trial.named.items():
                searcher.ask(number, name, parse(dimension))
            last = trial.results[-1][1] if trial.results and trial.ending != "failed" else None
            if self.objective.others:
                searcher.finish_all(number, trial.ending, None if last is None else (last, *trial.others))
                continue
            for iteration, value in trial.results:
                searcher.report(number, iteration, value)
            searcher.finish(number, trial.ending, last)

    def problem(self) -> str | None:
        """Return why there is nothing to start from, with a remedy; ``None`` if there is something."""
        total = len(self.trials) + self.unfit.total()
        missing = [metric for metric in self.objective.metrics if metric not in self.reported]
        if self.reported and missing:
            names = " and ".join(f"'{metric}'" for metric in missing)
            known = ", ".join(sorted(self.reported))
            return f"{self.folder}: its trials must have reported {names}, got only {known}"
        if self.trials:
            return None
        if not total:
            return f"{self.folder}: must hold trials to start from, got none"
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.unfit.most_common())
        return (
            f"{self.folder}: must hold trials that fit this space, got none of {total}: {reasons}; "
            "give a dimension that is new a default, widen the space, or leave out warm_start"
        )

    def in_words(self) -> str:
        """Return a line that says how many trials are used, and why others are not."""
        total = len(self.trials) + self.unfit.total()
        others = "".join(f"; {count} {reason}" for reason, count in self.unfit.most_common())
        return f"{len(self.trials)} of {total} trials of {self.folder} fit{others}"


def _metric_names(history: History) -> set[str]:
    """Return the names of all metrics that a sweep's trials have reported."""
    results = [result for trial in history.trials.values() for result in trial.results.values()]
    named = {name for name in history.objectives()[:1] if name is not None} if results else set()
    return named.union(*(result.metrics for result in results))


def _values(result: Result, history: History, objective: Objective) -> list[float | None]:
    """Return a result's value for each of the new sweep's objectives; ``None`` if it has none."""
    known = dict(result.metrics)
    if (named := history.objectives()[0]) is not None:
        known.setdefault(named, result.value)
    found = [known.get(metric) for metric in objective.metrics]
    return [float(value) if _is_number(value) else None for value in found]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _named_config(config: Mapping[str, Any], named: Mapping[str, Any]) -> Config | str:
    """Return the hyperparameters that a trial named while it ran, or why it does not fit an open space."""
    if not named:
        return "named no hyperparameters while they ran"
    return {name: value for name, value in config.items() if name in named}


def _fit_config(config: Mapping[str, Any], space: SearchSpace) -> Config | str:
    """Return an earlier configuration in ``space``, or why it does not fit.

    Hyperparameters that the earlier configuration lacks take their defaults.
    """
    missing: list[str] = []

    def choose(key: str, dimension: Dimension) -> Any:
        if (value := space.value(key, config)) is not UNSET:
            return value
        if dimension.default is UNSET:
            missing.append(space.name(key))
        return dimension.default

    fitted = space.build(choose)
    searched = {space.name(key) for key in space.by_key(fitted)}
    for name, value in fitted.items():
        if name in missing or (name not in config and name not in searched):
            return f"had no '{name}'"
        if name in config and not same(config[name], value):
            return f"had another '{name}' than {written(value)}"
    for key, value in space.by_key(fitted).items():
        if not space.dimensions[key].contains(value):
            return f"had a '{space.place(key)}' outside the space"
    return fitted if space.allows(fitted) else "broke a constraint"


def completed(folder: Path, space: SearchSpace) -> list[Config]:
    """Return the configurations in ``space`` that an earlier sweep completed, even those without a result."""
    ended = History.read(folder).ended
    fitted = [_fit_config(trial.config, space) for trial in ended if trial.state == "completed"]
    return [config for config in fitted if not isinstance(config, str)]
