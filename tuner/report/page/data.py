"""The model behind the page: plain values, which ``dataclasses.asdict`` turns into JSON.

Every figure and table draws from a ``PageData`` alone. ``tuner.report.page.gather`` builds one from a report.
Trials are named by their number, times are seconds since the sweep began.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tuner.journal.history import State
from tuner.report._trial import Reconfiguration

Outcome = State | Literal["lost"]
"""What ended a trial's time on a worker; ``lost``: the worker died, or the trial is tried again."""


@dataclass(frozen=True)
class ObjectiveData:
    """One objective of the sweep."""

    metric: str
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class DimensionData:
    """A searched hyperparameter, and how its values are placed on an axis."""

    name: str
    kind: Literal["number", "values", "layers"]
    """``layers``: an architecture, which is placed by its number of layers."""
    low: float
    high: float
    """Both inclusive; of ``values``, the first and the last position."""
    is_log: bool = False
    is_whole: bool = False
    """Whether only whole numbers have a meaning on its axis."""
    values: tuple[Any, ...] = ()
    """The values of a choice or an ordinal, in order; a position on the axis counts them from 0."""


@dataclass(frozen=True)
class TrialData:
    """One trial."""

    number: int
    state: State
    value: float | None
    values: tuple[float | None, ...]
    """One value for each objective."""
    iterations: int
    best_iteration: int
    seconds: float
    """Training time."""
    config: dict[str, Any]
    metrics: dict[str, Any]
    places: tuple[float | None, ...]
    """Its place on the axis of each dimension; ``None``: inactive, or not a value of the dimension."""
    curve: tuple[tuple[int, float], ...]
    """(iteration, value of the first objective)."""
    cause: str | None = None
    """The last line of its error."""
    first_config: dict[str, Any] = field(default_factory=dict)
    """Before ``changes``."""
    changes: tuple[Reconfiguration, ...] = ()

    @property
    def id(self) -> str:
        """The number as reports write it."""
        return f"{self.number:05d}"


@dataclass(frozen=True)
class RungData:
    """The comparisons at one rung of one bracket."""

    resource: float
    bracket: int | None
    cutoff: float | None
    """The newest worst value that was let through."""
    stopped: int
    """How many trials were stopped or paused there."""


@dataclass(frozen=True)
class DecisionData:
    """A scheduler paused, resumed or stopped a trial."""

    seconds: float
    trial: int
    action: str
    resource: float
    value: float | None = None
    cutoff: float | None = None
    rank: int | None = None
    of: int | None = None
    rung: float | None = None
    bracket: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class SpanData:
    """A trial was in a lane of a worker."""

    trial: int
    began: float
    ended: float
    row: int
    """Index of the lane in ``PageData.lanes``."""
    outcome: Outcome
    """What ended it."""


@dataclass(frozen=True)
class ImportanceData:
    """How much a hyperparameter matters for a value among the best; all importances sum to 1."""

    name: str
    share: float
    low: float
    high: float
    """Ends of the 90% bootstrap interval."""


@dataclass(frozen=True)
class ImportancesData:
    """The importances, or why there are none."""

    rows: tuple[ImportanceData, ...] = ()
    note: str = ""
    """What they are, or why there are none."""


@dataclass(frozen=True)
class ErrorData:
    """Trials that failed with the same last line."""

    cause: str
    count: int
    trial: int
    """The first of them."""
    text: str
    """Its traceback. A very long one lacks its beginning."""


@dataclass(frozen=True)
class CommandData:
    """A command that a reader of the page may want next."""

    command: str
    purpose: str


@dataclass(frozen=True)
class PageData:
    """All that the page shows."""

    name: str
    folder: str
    """The last part of the results folder's path."""
    started: float
    """Start time in seconds since 1970."""
    seconds: float
    reason: str | None
    """Why the sweep ended; ``None``: it is running, or was killed."""
    is_running: bool
    can_be_evaluated: bool
    """Whether ``tuner evaluate`` works for the trainable."""
    objectives: tuple[ObjectiveData, ...]
    counts: dict[State, int]
    facts: tuple[tuple[str, str], ...]
    """Term and text: iterations, time, how it ended."""
    dimensions: tuple[DimensionData, ...]
    trials: tuple[TrialData, ...]
    """Trials by number."""
    best: int | None
    front: tuple[int, ...]
    """Trials that no other dominates; of one objective, the best one."""
    ranked: tuple[int, ...]
    """All trials, best first."""
    incumbents: tuple[tuple[float, int, float], ...]
    """(seconds, trial, value) each time the best improved."""
    metrics: tuple[str, ...]
    """Names of the metrics, without the objectives."""
    constants: dict[str, Any]
    """Hyperparameters that are not searched."""
    resource: str
    """What the scheduler measures trials by."""
    rungs: tuple[RungData, ...]
    decisions: tuple[DecisionData, ...]
    lanes: tuple[str, ...]
    """The names of the workers' lanes, one for each row of the timeline."""
    spans: tuple[SpanData, ...]
    importances: ImportancesData
    checkpoint: str
    """Where the best trial's checkpoint is, in words."""
    schedule: tuple[tuple[int, dict[str, Any]], ...]
    """(iteration, hyperparameters that changed) on the way to the best; empty if none changed."""
    evaluation: dict[str, Any] | None
    errors: tuple[ErrorData, ...]
    commands: tuple[CommandData, ...]
    sweep: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the data as values that strict JSON can write."""
        return asdict(self)

    @property
    def metric(self) -> str:
        """The first objective."""
        return self.objectives[0].metric

    @property
    def maximises(self) -> bool:
        """Whether a higher value of the first objective is better."""
        return self.objectives[0].mode == "max"

    @property
    def best_trial(self) -> TrialData | None:
        """The best trial, if there is any."""
        return next((trial for trial in self.trials if trial.number == self.best), None)

    @property
    def has_ended(self) -> bool:
        """Whether no trial will run any more."""
        return self.reason is not None
