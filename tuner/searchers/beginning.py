"""``start``: add initial points, a warm start and constraints to a searcher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner.errors import Problem, ResultsError, SpecError
from tuner.objective import Ending, Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.searchers.define_by_run import begun
from tuner.searchers.earlier import Earlier
from tuner.space import Choice, Config, Dimension, Encoding, Ordered, Repeat, SearchSpace
from tuner.space.dimension import UNSET
from tuner.space.values import same, written
from tuner.spec import did_you_mean

# If this many suggestions for one trial break a constraint, the nearest configuration that meets it is used.
_ATTEMPTS = 4

# Number of draws among which the nearest is chosen.
_DRAWS = 256


def start(spec: SearcherSpec, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
    """Return the searcher of a sweep. Files that the searcher learns from are read here.

    It starts with the configuration of the space's defaults, if there are any, and with the initial points. A
    searcher that learns is told the trials of the earlier sweep. One that does not learn continues its
    sequence after them. A grid leaves out configurations that were completed. Every suggestion meets the
    constraints.

    Raises SpecError or ResultsError if ``problems`` or ``source_problems`` finds something.
    """
    searcher = spec.build(space, objective=objective, seed=seed)
    if spec.exhaustive:
        return searcher
    earlier = _earlier(spec, space, objective)
    if space.is_open:
        return begun(searcher, spec.initial_points, earlier, learns=spec.learns)
    points = _points(spec, space, seed)
    if not points and earlier is None and not space.constraints:
        return searcher
    complete = _CompleteSearcher(searcher, space, points, seed=seed, learns=spec.learns)
    if earlier is not None:
        complete.warm_start(earlier)
    return complete


def problems(spec: SearcherSpec, space: SearchSpace) -> list[Problem]:
    """Return why ``spec`` and its initial points do not fit ``space``; empty if they do. Reads no file."""
    found = spec.problems(space)
    if space.is_open:
        return found  # nothing is known about the hyperparameters of the points
    for number, point in enumerate(spec.initial_points):
        found += [problem.inside(f"initial_points.{number}") for problem in _point_problems(point, space)]
        if spec.exhaustive and not found and not space.contains({**space.constants, **point}):
            found.append(Problem(f"initial_points.{number}", "must be a complete configuration for a grid"))
    return found


def source_problems(spec: SearcherSpec, space: SearchSpace, *, objective: Objective | None) -> list[Problem]:
    """Return what is wrong with the earlier sweep or the files that the searcher learns from.

    ``objective`` is ``None`` if the sweep's objective is wrong itself; the earlier sweep is then not checked.
    """
    if found := spec.source_problems(space):
        return found
    if spec.warm_start is None or objective is None:
        return []
    try:
        earlier = _earlier(spec, space, objective)
    except ResultsError as error:
        return [Problem("warm_start", str(error))]
    if earlier is not None and (what := earlier.problem()) is not None:
        return [Problem("warm_start", what)]
    if spec.size(space) == 0:
        return [Problem("warm_start", "has completed every configuration; nothing is left to run")]
    return []


def beginnings(spec: SearcherSpec, space: SearchSpace, *, objective: Objective) -> str | None:
    """Return a line that says how the earlier sweep is used; ``None`` without one."""
    earlier = _earlier(spec, space, objective)
    if earlier is None:
        return None
    if spec.exhaustive:
        use = "completed ones are not run again"
    else:
        use = (
            "the searcher learns from them" if spec.learns else "the searcher's sequence continues after them"
        )
    return f"{earlier.in_words()}; {use}"


class _CompleteSearcher(Searcher):
    def __init__(
        self, searcher: Searcher, space: SearchSpace, points: list[Config], *, seed: int, learns: bool
    ) -> None:
        self._searcher = searcher
        self._space = space
        self._points = points
        self._seed = seed
        self._learns = learns
        self._skipped = 0  # how many points of its sequence a searcher that does not learn skips

    def warm_start(self, earlier: Earlier) -> None:
        """Tell the searcher the trials of an earlier sweep."""
        if not self._learns:
            self._skipped = len(earlier.trials)
            return
        earlier.tell(self._searcher)

    def suggest(self, trial: int) -> Config | None:
        if 0 <= trial < len(self._points):
            self._searcher.take(trial, dict(self._points[trial]))
            return dict(self._points[trial])
        offset = 0 if self._learns else self._skipped - len(self._points)
        for _ in range(_ATTEMPTS):
            config = self._searcher.suggest(trial + offset)
            if config is None or self._space.allows(config):
                return config
        assert config is not None
        repaired = self._nearest(config, trial)
        self._searcher.take(trial, dict(repaired))
        return repaired

    def take(self, trial: int, config: Config) -> None:
        self._searcher.take(trial, config)

    def report(self, trial: int, iteration: int, value: float) -> None:
        if self._learns:
            self._searcher.report(trial, iteration, value)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        if self._learns:
            self._searcher.finish(trial, ending, value)

    def finish_all(self, trial: int, ending: Ending, values: tuple[float, ...] | None) -> None:
        if self._learns:
            self._searcher.finish_all(trial, ending, values)

    def save(self, folder: Path) -> None:
        self._searcher.save(folder)

    def _nearest(self, config: Config, trial: int) -> Config:
        """Return a configuration close to ``config`` that meets the constraints.

        The nearest of some random draws is taken.
        """
        rng = np.random.default_rng([self._seed, trial])
        if not all(isinstance(d, (Choice, Ordered)) for d in self._space.dimensions.values()):
            return self._space.sample(rng)  # values of other kinds have no distance
        draws = [self._space.sample(rng) for _ in range(_DRAWS)]
        encoding = Encoding(self._space)
        vector, active = encoding.encode(config)

        def distance(other: Config) -> float:
            there, active_there = encoding.encode(other)
            both = active & active_there
            return float(np.abs(vector - there)[both].sum() + (active != active_there).sum())

        return min(draws, key=distance)


def _earlier(spec: SearcherSpec, space: SearchSpace, objective: Objective) -> Earlier | None:
    if spec.warm_start is None:
        return None
    return Earlier.read(Path(spec.warm_start).expanduser(), space=space, objective=objective)


def _points(spec: SearcherSpec, space: SearchSpace, seed: int) -> list[Config]:
    """Return the configurations to run first. A missing hyperparameter takes its default or is drawn."""
    points: list[Config] = []
    for number, point in enumerate([*([{}] if space.defaults() else []), *spec.initial_points]):
        # Trials use [seed, trial], so these draws repeat no draw of a trial.
        rng = np.random.default_rng([seed, number, len(spec.initial_points) + 1])
        config = space.sample(rng, given=point, defaults=True)
        if not any(same(config, other) for other in points):
            points.append(config)
    return points


def _list_problems(name: str, value: Any, *, length: int, undecided: list[str]) -> list[Problem]:
    """Return what is wrong with the form of a list.

    - ``length``: its length at this point. Missing values at its end are drawn.
    - ``undecided``: hyperparameters that the length depends on, and that the point leaves open
    """
    if not isinstance(value, (list, tuple)):
        return [Problem(name, f"must be a list, got {written(value)}")]
    if len(value) <= length:
        return []
    if undecided:
        what = f"has {len(value)} values; say what {' and '.join(undecided)} is, which gives its length"
        return [Problem(name, what)]
    return [Problem(name, f"must have at most {length} values at this point, got {len(value)}")]


def _point_problems(point: Mapping[str, Any], space: SearchSpace) -> list[Problem]:
    """Return what is wrong with one of the initial points."""
    found: list[Problem] = []
    unknown = [name for name in point if name not in space.names]
    found += [
        Problem("", f"unknown hyperparameter '{name}'{did_you_mean(name, space.names)}") for name in unknown
    ]
    open_parents: list[str] = []
    reached: set[str] = set()

    def choose(key: str, dimension: Dimension) -> Any:
        value = space.value(key, point)
        if value is UNSET:
            open_parents.append(space.name(key))
            return dimension.default  # without a default, nothing that depends on it is active
        reached.add(space.place(key))
        if not dimension.contains(value):
            found.append(Problem(space.place(key), f"can never be {written(value)}; {dimension.in_words()}"))
        return value

    config = space.build(choose)
    for name, value in point.items():
        if name in unknown or name in reached:
            continue
        if name in config and any(isinstance(each, Repeat) for each in space.standing_for(name)):
            undecided = [parent for parent in open_parents if parent in space.parents(name)]
            found += _list_problems(name, value, length=len(config[name]), undecided=undecided)
        elif name in config:
            if not same(config[name], value):
                what = f"can never be {written(value)}; it is {written(config[name])}"
                found.append(Problem(name, what))
        else:
            undecided = [parent for parent in open_parents if parent in space.parents(name)]
            hint = f", or say what {' and '.join(undecided)} is" if undecided else ""
            found.append(Problem(name, f"is not active at this point; leave it out{hint}"))
    if not found:
        try:
            space.sample(np.random.default_rng(0), given=point, defaults=True)
        except SpecError as error:
            found += error.problems
    return found
