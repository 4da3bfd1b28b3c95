"""``Earlier``: the trials of an earlier sweep, as far as they fit another space and objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from tuner import journal
from tuner.objective import Ending, Objective
from tuner.space import Config, Dimension, SearchSpace
from tuner.space.dimension import UNSET
from tuner.space.values import same, written


@dataclass
class EarlierTrial:
    """A trial that has ended: its configuration in the new space, and (iteration, value) of its results.

    ``others``: its last values of the further objectives.
    """

    config: Config
    ending: Ending
    results: list[tuple[int, float]]
    others: tuple[float, ...] = ()


@dataclass
class _Record:
    config: dict[str, Any]
    ending: Ending | None = None
    results: dict[int, float] = field(default_factory=dict)
    others: tuple[float, ...] | None = ()  # the last values of the further objectives, if all were numbers
    reconfigured: bool = False


@dataclass
class Earlier:
    """``trials`` in the order of their ends; ``unfit``: why the others are not used, and how many each.

    ``reported``: the names of all metrics that any of them reported.
    """

    folder: Path
    objective: Objective
    trials: list[EarlierTrial]
    unfit: Counter[str]
    reported: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, folder: Path, *, space: SearchSpace, objective: Objective) -> Earlier:
        """The trials in a results folder.

        A trial fits when it has ended, kept its configuration, each of its values lies in the new space, all
        that is active there has one or a default, and it reported the new objective (or failed). What the new
        space does not have is left out.

        Raises ResultsError when there is no journal, or one that cannot be read.
        """
        records: dict[int, _Record] = {}
        ended: list[_Record] = []
        metric = None
        reported: set[str] = set()
        for event in journal.read(folder):
            number, data = event.trial, event.data
            if event.kind == "sweep":
                written_objective = data["sweep"].get("objective", {})
                several = isinstance(written_objective, list)
                metric = (written_objective[0] if several else written_objective).get("metric")
            elif number is None:
                continue
            elif event.kind == "suggested":
                records[number] = _Record(data["config"])
            elif event.kind == "result":
                named = data["value"] if metric == objective.metric else None
                value = data["metrics"].get(objective.metric, named)
                reported |= {*data["metrics"], metric} - {None}
                if _is_number(value):
                    records[number].results[data["iteration"]] = float(value)
                others = [data["metrics"].get(other.metric) for other in objective.others]
                records[number].others = tuple(map(float, others)) if all(map(_is_number, others)) else None
            elif event.kind == "reconfigured":
                records[number].reconfigured = True
            elif event.kind == "ended" and data["state"] in get_args(Ending):
                records[number].ending = data["state"]
                ended.append(records[number])
        found = cls(folder, objective, [], Counter(), reported)
        for record in ended:
            config = _fitted(record.config, space)
            if record.reconfigured:
                found.unfit["changed on their way"] += 1
            elif isinstance(config, str):
                found.unfit[config] += 1
            elif record.ending != "failed" and (not record.results or record.others is None):
                wanted = " or ".join(f"'{metric}'" for metric in objective.metrics)
                found.unfit[f"reported no {wanted}"] += 1
            else:
                assert record.ending is not None
                results = sorted(record.results.items())
                found.trials.append(EarlierTrial(config, record.ending, results, record.others or ()))
        if unfinished := len(records) - len(ended):
            found.unfit["had not ended"] = unfinished
        return found

    def problem(self) -> str | None:
        """Why there is nothing to begin from, with a remedy; ``None`` when there is something."""
        every = len(self.trials) + self.unfit.total()
        unknown = [metric for metric in self.objective.metrics if metric not in self.reported]
        if self.reported and unknown:
            names = " and ".join(f"'{metric}'" for metric in unknown)
            known = ", ".join(sorted(self.reported))
            return f"{self.folder}: its trials must have reported {names}, got only {known}"
        if self.trials:
            return None
        if not every:
            return f"{self.folder}: must hold trials to begin from, it has none"
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.unfit.most_common())
        return (
            f"{self.folder}: must hold trials that fit this space, got none of {every}: {reasons}; "
            "give a dimension that is new a default, widen the space, or leave out warm_start"
        )

    def in_words(self) -> str:
        """How many trials are used, and why the others are not."""
        every = len(self.trials) + self.unfit.total()
        others = "".join(f"; {count} {reason}" for reason, count in self.unfit.most_common())
        return f"{len(self.trials)} of {every} trials of {self.folder} fit{others}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fitted(config: Mapping[str, Any], space: SearchSpace) -> Config | str:
    """An earlier configuration in ``space``; why there is none. What it had no value for has its default."""
    missing: list[str] = []

    def choose(key: str, dimension: Dimension) -> Any:
        name = space.name(key)
        if name in config:
            return config[name]
        if dimension.default is UNSET:
            missing.append(name)
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
            return f"had a '{space.name(key)}' outside the space"
    return fitted if space.allows(fitted) else "broke a constraint"


def completed(folder: Path, space: SearchSpace) -> list[Config]:
    """The configurations in ``space`` that an earlier sweep ran to their end, whatever they reported."""
    configs: dict[int, dict[str, Any]] = {}
    done: list[Config] = []
    for event in journal.read(folder):
        if event.kind == "suggested" and event.trial is not None:
            configs[event.trial] = event.data["config"]
        elif event.kind == "ended" and event.trial is not None and event.data["state"] == "completed":
            config = _fitted(configs[event.trial], space)
            if not isinstance(config, str):
                done.append(config)
    return done
