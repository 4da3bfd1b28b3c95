"""What a searcher is: ``Searcher`` suggests and learns; ``SearcherSpec`` holds its settings and builds it.

Neither knows Ray. The engine asks and tells; the same object runs on a cluster, in a simulation or in a loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from tuner.errors import Problem
from tuner.objective import Ending, Objective
from tuner.space import Choice, Config, Ordered, SearchSpace
from tuner.spec import Spec, unwrapped


class Searcher(ABC):
    """Suggests configurations, trial by trial, and learns from what became of them.

    Trials are numbered from 0 in the order of their suggestions. Calls come in any interleaving over
    trials, but for one trial: ``suggest`` or ``take``, then ``report`` for each result, then ``finish`` once.
    The same calls in the same order give the same suggestions: all randomness comes from the seed.
    """

    @abstractmethod
    def suggest(self, trial: int) -> Config | None:
        """The configuration of trial ``trial``, or ``None`` when there are no more.

        Asked again for the same trial, or told by ``take`` what it runs instead, its last suggestion is void.
        """

    def take(self, trial: int, config: Config) -> None:
        """Take note that ``trial`` runs ``config``, which lies in the space and someone else has chosen.

        Trials of an earlier sweep have numbers below 0. A searcher that does not learn has no need to.
        """
        return

    def report(self, trial: int, iteration: int, value: float) -> None:
        """Take note of a running trial's finite objective after ``iteration`` (from 1, only ever rising)."""
        return

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        """Take note of how a trial ended and of its last finite value (``None``: it has none)."""
        return

    def finish_all(self, trial: int, ending: Ending, values: tuple[float, ...] | None) -> None:
        """``finish`` where there are several objectives, with the last values of all; nothing is reported."""
        self.finish(trial, ending, None if values is None else values[0])

    def save(self, folder: Path) -> None:
        """Write what it has learned into the results folder, for who wants to look at it or go on from it.

        Called now and then while the sweep runs, and at its end. Nothing that is suggested depends on it: a
        searcher is rebuilt by the same calls in the same order. Raises OSError when it cannot be written.
        """
        return


class SearcherSpec(Spec):
    """The settings of a searcher, as ``searcher:`` in a sweep file gives them."""

    initial_points: Annotated[
        tuple[dict[str, Any], ...], BeforeValidator(lambda points: unwrapped(points, arrays=True))
    ] = Field(
        default=(),
        description="configurations to begin with; a hyperparameter that one leaves out has its default or "
        "is drawn",
    )
    warm_start: str | None = Field(
        default=None, description="results folder of an earlier sweep to begin from; none: begin anew"
    )

    learns: ClassVar[bool] = False
    """Whether suggestions depend on results; if not, trial k's configuration depends on (seed, k) alone."""
    conditions: ClassVar[bool] = False
    """Whether it can search a space with conditions."""
    many_objectives: ClassVar[bool] = False
    """Whether it learns from all objectives of a sweep, by ``finish_all``; who does not learn needs not."""
    opaque: ClassVar[bool] = False
    """Whether it can search dimensions that are no numbers, ordinals or choices, only drawn and mutated."""
    exhaustive: ClassVar[bool] = False
    """Whether it ends by itself, after ``size(space)`` suggestions."""

    def problems(self, space: SearchSpace) -> list[Problem]:
        """Why this searcher cannot search ``space``; empty when it can."""
        problems = []
        if space.conditional and not self.conditions:
            what = "cannot search a space with conditions; random, optuna and evolution can"
            problems.append(Problem("", what))
        for key, dimension in space.dimensions.items():
            if not (self.opaque or isinstance(dimension, (Ordered, Choice))):
                kind = type(dimension).__name__.lower()
                problems.append(
                    Problem("", f"cannot search the {kind} '{key}'; random, evolution and reinforce can")
                )
        if space.tightness is not None and not self.exhaustive:
            problems.append(space.tightness.inside("space"))
        return problems

    def source_problems(self, space: SearchSpace) -> list[Problem]:
        """What is wrong with the files that it learns from, beside ``warm_start``; empty when nothing."""
        return []

    def sources(self) -> dict[str, Path]:
        """The results folders and files that it learns from, by the setting that names them."""
        return {} if self.warm_start is None else {"warm_start": Path(self.warm_start).expanduser()}

    def size(self, space: SearchSpace) -> int | None:
        """How many configurations there are in all; ``None``: no end."""
        return None

    @abstractmethod
    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        """A new searcher over ``space``, which knows nothing of ``initial_points`` and ``warm_start``.

        What a learning one suggests may break a constraint: it is then asked again, and told by ``take`` in
        the end. ``tuner.searchers.start`` makes it whole.
        """


class FailurePenalty:
    """What to tell a searcher that knows no failed trial: the worst finite value so far.

    Told nothing, tree-structured Parzen estimators walk into the region that fails. A failure before any
    finite value waits for the first one.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._worst: float | None = None
        self._waiting: list[int] = []

    def saw(self, value: float) -> None:
        """Take note of a finite value."""
        self._worst = value if self._worst is None else self._objective.worst([self._worst, value])

    def failed(self, trial: int) -> None:
        """Take note of a failed trial."""
        self._waiting.append(trial)

    def due(self) -> list[tuple[int, float]]:
        """The failed trials that can be told now, each with its penalty; each comes once."""
        if self._worst is None:
            return []
        due = [(trial, self._worst) for trial in self._waiting]
        self._waiting.clear()
        return due
