"""The interface between tuner and trainables: one protocol for each optional capability.

A trainable is a function of ``config``, or a subclass of ``ray.tune.Trainable``. Everything else is optional.
A class has a capability if it has every member of the protocol. Members are class methods, except those
marked *Instance method*, which act on one trial.

- ``settings``: the mapping under ``trainable:`` in a sweep, without ``kind``.
- ``config``: the mapping that a trial receives, with its hyperparameters, the settings, its ``seed`` and
  ``sweep_seed``.

``tuner.testing.TrainableContract`` tests every member.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from tuner.errors import Problem


@runtime_checkable
class DeclaresHyperparameters(Protocol):
    """``tuner`` refuses unknown hyperparameters and impossible values before a sweep starts."""

    Config: type[BaseModel]
    """The hyperparameters. With ``extra="allow"`` other names are accepted, and ``check`` judges them."""


@runtime_checkable
class DeclaresSettings(Protocol):
    """``tuner`` refuses unknown settings and impossible values before a sweep starts."""

    Settings: type[BaseModel]
    """The settings. A field names a file if its type is a path, or if its ``json_schema_extra`` has
    ``lookup: file``. The sweep file's folder is searched for it first."""


@runtime_checkable
class NamesMetrics(Protocol):
    """``tuner`` refuses a misspelled objective before a sweep starts."""

    def metrics(self, settings: dict[str, Any]) -> Iterable[str]:
        """Return the names of the metrics in each result. Raises ValueError for impossible settings."""


@runtime_checkable
class ChecksConfigurations(Protocol):
    """``tuner`` refuses a space with impossible configurations before a sweep starts."""

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise ValueError if no trial can have this configuration.

        If all lines read ``name: what is wrong``, each one points to a hyperparameter or setting.
        """


@runtime_checkable
class BoundsGpus(Protocol):
    """``tuner`` refuses more GPUs than a process of a trial can use."""

    most_gpus: float
    """The largest number of GPUs that each process of a trial can use; 0 means none."""


@runtime_checkable
class BoundsProcesses(Protocol):
    """``tuner`` refuses more processes than can train one trial."""

    most_processes: int
    """The largest number of processes that can train a trial together; 1 means one."""


@runtime_checkable
class DeclaresFiles(Protocol):
    """The user's files travel to other machines, and a resumed sweep names those that changed."""

    def files(self, settings: dict[str, Any]) -> Sequence[Path]:
        """Return the absolute paths of the user's files that trials run."""


@runtime_checkable
class DeclaresCheckpoints(Protocol):
    """``tuner`` refuses schedulers that pause trials if trials write no checkpoints."""

    def writes_checkpoints(self, settings: dict[str, Any]) -> bool:
        """Return whether trials with these settings write checkpoints."""


@runtime_checkable
class ShowsConfiguration(Protocol):
    """``tuner.client.config`` returns something else than the mapping that a trial receives."""

    def visible(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``tuner.client.config`` returns in a trial with this ``config``."""


@runtime_checkable
class StopsSlowly(Protocol):
    """A stopped trial gets more time to end before its process is replaced."""

    def seconds_to_stop(self, settings: dict[str, Any]) -> float:
        """Return how many seconds a stopped trial may take."""


@runtime_checkable
class SharesData(Protocol):
    """All trials of a sweep read one object, such as the data. Each machine holds it once."""

    def shared(self, settings: dict[str, Any], *, sweep_seed: int) -> Any:
        """Return the picklable object to share, or ``None`` for nothing. The driver calls this."""

    def adopt(self, settings: dict[str, Any], shared: Any, *, sweep_seed: int) -> None:
        """Take the shared object in a worker, before its first trial. It is read-only."""


@runtime_checkable
class Prepares(Protocol):
    """Slow imports happen before the first trial, so its measured time excludes them."""

    def prepare(self) -> None:
        """Import the modules that trials need. Each worker calls this once."""


@runtime_checkable
class TrainsInLanes(Protocol):
    """Several trials of a worker train as one stacked model, so that small models use a processor fully."""

    def fusion_key(self) -> Hashable | None:
        """Return a key, or ``None`` if the trial trains alone. Trials with equal keys can train together.

        *Instance method.*
        """

    def fused_step(self, trials: Sequence[Any]) -> None:
        """Train trials with equal keys for one iteration. The next ``step`` of each returns its result."""

    def best_lanes(self, configs: Sequence[Mapping[str, Any]], *, most: int) -> int:
        """Return how many such trials, from 1 to ``most``, train fastest together in this process."""


@runtime_checkable
class ExplainsLanes(Protocol):
    """``tuner check`` says whether trials train together."""

    def why_alone(self, configs: Sequence[Mapping[str, Any]]) -> str | None:
        """Return why such trials cannot train as one, or ``None`` if they can."""

    def fitting(self, configs: Sequence[Mapping[str, Any]]) -> int:
        """Return the number of such trials that can train as one with at least one other."""


@runtime_checkable
class AppliesConfig(Protocol):
    """A trial keeps its own hyperparameters after a restore. Population-based training needs this."""

    def apply_config(self, config: Mapping[str, Any]) -> None:
        """Apply the trial's own hyperparameters to its restored state.

        The checkpoint may come from another trial. *Instance method.*
        """


@runtime_checkable
class CanBeEvaluated(Protocol):
    """``tuner evaluate`` repeats the best configurations and scores the winner on the test rows."""

    def repeated(
        self, settings: dict[str, Any], *, sweep_seed: int, repeats: int
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """Return settings for repeats of a trial, and what each repeat adds to the configuration."""

    def final(
        self, settings: dict[str, Any], *, sweep_seed: int, iterations: int, metric: str
    ) -> tuple[Mapping[str, Any], str]:
        """Return settings of a trial that is scored on the test rows, and the name of ``metric`` there."""


@runtime_checkable
class Exports(Protocol):
    """``tuner export`` writes the best model for use elsewhere."""

    def export(self, checkpoint_dir: str, out_dir: str) -> None:
        """Write the model of a checkpoint into an empty folder."""


CAPABILITIES: tuple[type, ...] = (
    DeclaresHyperparameters,
    DeclaresSettings,
    NamesMetrics,
    ChecksConfigurations,
    BoundsGpus,
    BoundsProcesses,
    DeclaresFiles,
    DeclaresCheckpoints,
    ShowsConfiguration,
    StopsSlowly,
    SharesData,
    Prepares,
    TrainsInLanes,
    ExplainsLanes,
    AppliesConfig,
    CanBeEvaluated,
    Exports,
)


def verbs(trainable: Any) -> list[str]:
    """Return those of ``evaluate`` and ``export`` that a trainable supports."""
    capabilities = {"evaluate": CanBeEvaluated, "export": Exports}
    return [verb for verb, capability in capabilities.items() if isinstance(trainable, capability)]


def members(capability: type) -> tuple[str, ...]:
    """Return the names of a protocol's members."""
    own = {**inspect.get_annotations(capability), **vars(capability)}
    return tuple(name for name in own if not name.startswith("_"))


_DISTINCTIVE = {"fused_step", "adopt", "why_alone", "repeated"}
"""Names that a class uses only for these protocols. It may use others, such as ``shared``, for itself."""


def problems(trainable: Any, name: str) -> list[Problem]:
    """Return a problem for each capability that a trainable has only in part.

    ``name``: the trainable's name in messages.
    """
    found = []
    for capability in CAPABILITIES:
        has = [member for member in members(capability) if hasattr(trainable, member)]
        lacks = [member for member in members(capability) if member not in has]
        if lacks and _DISTINCTIVE & {*has}:
            what = f"'{name}' has {' and '.join(has)}, so it must also have {' and '.join(lacks)}"
            found.append(Problem("trainable", f"{what} (tuner.contract.{capability.__name__})"))
    return found
