"""The interface of searchers: ``SearcherSpec`` holds the settings and builds a ``Searcher``.

Neither depends on Ray. The same object runs on a cluster, in a simulation or in a plain loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from tuner.errors import Problem
from tuner.objective import Ending, Objective
from tuner.space import Choice, Config, Dimension, Ordered, SearchSpace
from tuner.spec import Spec, unwrapped


class Searcher(ABC):
    """Suggests configurations, trial by trial, and learns from results.

    Trials are numbered from 0 in the order of their suggestions. Calls for different trials may interleave.
    For one trial the order is: ``suggest`` or ``take``, then ``report`` for each result, then ``finish``
    once. The same calls in the same order give the same suggestions: all randomness comes from the seed.
    """

    @abstractmethod
    def suggest(self, trial: int) -> Config | None:
        """Return the configuration of a trial, or ``None`` when there are no more.

        A later ``suggest`` or ``take`` for the same trial replaces this suggestion.
        """

    def take(self, trial: int, config: Config) -> None:
        """Record that ``trial`` runs ``config``, which lies in the space but was not suggested.

        Trials of an earlier sweep have negative numbers. Searchers that do not learn may ignore the call.
        """
        return

    def ask(self, trial: int, name: str, dimension: Dimension) -> Any:
        """Return a value for a hyperparameter that a running trial names, in an open space.

        Each name is asked for once per trial. Raises ValueError if the dimension contradicts that of another
        trial.
        """
        raise NotImplementedError

    def report(self, trial: int, iteration: int, value: float) -> None:
        """Record a running trial's finite objective after ``iteration`` (from 1, strictly increasing)."""
        return

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        """Record how a trial ended, and its last finite value (``None``: no finite value)."""
        return

    def finish_all(self, trial: int, ending: Ending, values: tuple[float, ...] | None) -> None:
        """Record how a trial of several objectives ended, with its last value of each.

        ``values`` is ``None`` if the trial has none. ``report`` is not called for such trials.
        """
        self.finish(trial, ending, None if values is None else values[0])

    def save(self, folder: Path) -> None:
        """Write what the searcher has learned to the results folder, for later sweeps or inspection.

        It is called from time to time during a sweep, and at its end. Suggestions never depend on these
        files. Raises OSError when a file cannot be written.
        """
        return


class SearcherSpec(Spec):
    """The settings of a searcher, under ``searcher:`` in a sweep file."""

    initial_points: Annotated[
        tuple[dict[str, Any], ...], BeforeValidator(lambda points: unwrapped(points, arrays=True))
    ] = Field(
        default=(),
        description="configurations to run first; a hyperparameter that is left out takes its default "
        "or is drawn",
    )
    warm_start: str | None = Field(
        default=None,
        description="results folder of an earlier sweep whose trials are used; none: start without them",
    )

    learns: ClassVar[bool] = False
    """Whether suggestions depend on results. If not, trial k's configuration depends on (seed, k) alone."""
    conditions: ClassVar[bool] = False
    """Whether it can search a space with conditions."""
    many_objectives: ClassVar[bool] = False
    """Whether it learns from several objectives through ``finish_all``.

    Searchers that do not learn may ignore it.
    """
    opaque: ClassVar[bool] = False
    """Whether it can search dimensions that can only be drawn and mutated, such as architectures."""
    defines_by_run: ClassVar[bool] = False
    """Whether it can search an open space, whose hyperparameters trials name while they run."""
    exhaustive: ClassVar[bool] = False
    """Whether it ends after ``size(space)`` suggestions."""

    def problems(self, space: SearchSpace) -> list[Problem]:
        """Return why this searcher cannot search ``space``; empty if it can."""
        if space.is_open and not self.defines_by_run:
            what = "must know the hyperparameters before trials run; write them under 'space', or use optuna"
            return [Problem("", f"{what} or random")]
        problems = []
        if space.conditional and not self.conditions:
            what = "cannot search a space with conditions; random, optuna and evolution can"
            problems.append(Problem("", what))
        for key, dimension in space.as_written():
            if not (self.opaque or isinstance(dimension, (Ordered, Choice))):
                kind = type(dimension).__name__.lower()
                problems.append(
                    Problem("", f"cannot search the {kind} '{key}'; random, evolution and reinforce can")
                )
        if space.tightness is not None and not self.exhaustive:
            problems.append(space.tightness.inside("space"))
        return problems

    def source_problems(self, space: SearchSpace) -> list[Problem]:
        """Return what is wrong with the files that it reads, ``warm_start`` excluded; empty if nothing is."""
        return []

    def sources(self) -> dict[str, Path]:
        """Return the results folders and files that it reads, by the setting that names them."""
        return {} if self.warm_start is None else {"warm_start": Path(self.warm_start).expanduser()}

    def size(self, space: SearchSpace) -> int | None:
        """Return the number of configurations; ``None`` if there is no end."""
        return None

    @abstractmethod
    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        """Return a new searcher over ``space`` that ignores ``initial_points`` and ``warm_start``.

        Suggestions of a learning searcher may break a constraint. ``tuner.searchers.start`` adds the initial
        points, the warm start and the constraints.
        """


class FailurePenalty:
    """Values of failed trials for searchers that know no failures: the worst finite value so far.

    Without a value, tree-structured Parzen estimators keep sampling the region that fails. If there is no
    finite value yet, failed trials wait for one.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._worst: float | None = None
        self._waiting: list[int] = []

    def saw(self, value: float) -> None:
        """Record a finite value."""
        self._worst = value if self._worst is None else self._objective.worst([self._worst, value])

    def failed(self, trial: int) -> None:
        """Record a failed trial."""
        self._waiting.append(trial)

    def due(self) -> list[tuple[int, float]]:
        """Return the failed trials that have a penalty now, with the penalty. Each trial is returned once."""
        if self._worst is None:
            return []
        due = [(trial, self._worst) for trial in self._waiting]
        self._waiting.clear()
        return due
