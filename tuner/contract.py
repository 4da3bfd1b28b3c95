"""The seam to trainables, as protocols: what a class may have beside Ray's ``Trainable``, by capability.

A trainable is a function of ``config``, or a subclass of ``ray.tune.Trainable``. All else is optional. A
class has a capability when it has every member of its protocol. Members are class methods, unless they are
described as *of a trial*. ``settings`` are those under ``trainable:`` in a sweep, without ``kind``.
``config`` is what a trial receives: its hyperparameters, the settings, its ``seed`` and ``sweep_seed``.

``tuner.testing.TrainableContract`` tests every member.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from tuner.errors import Problem


@runtime_checkable
class DeclaresHyperparameters(Protocol):
    """Unknown hyperparameters and impossible values are refused before a sweep starts."""

    Config: type[BaseModel]
    """Its hyperparameters. With ``extra="allow"`` others are passed on, and ``check`` judges them."""


@runtime_checkable
class DeclaresSettings(Protocol):
    """Unknown settings and impossible values are refused before a sweep starts."""

    Settings: type[BaseModel]
    """A field whose type is a path, or whose ``json_schema_extra`` has ``lookup: file``, names a file. It is
    looked up beside the sweep file first."""


@runtime_checkable
class NamesMetrics(Protocol):
    """A misspelled objective is refused before a sweep starts."""

    def metrics(self, settings: dict[str, Any]) -> Iterable[str]:
        """Return the names of the metrics that each result has. Raises ValueError for impossible settings."""


@runtime_checkable
class ChecksConfigurations(Protocol):
    """A space with configurations that no trial can have is refused before a sweep starts."""

    def check(self, config: Mapping[str, Any]) -> None:
        """Raise ValueError if no trial can have this configuration.

        A line ``name: what is wrong`` points to a hyperparameter or setting.
        """


@runtime_checkable
class BoundsGpus(Protocol):
    """GPUs that a trial could not use are refused."""

    most_gpus: float
    """The most that a trial can use; 0: none."""


@runtime_checkable
class SharesData(Protocol):
    """What all trials of a sweep read, such as the data, is made once and is on each machine once."""

    def shared(self, settings: dict[str, Any], *, sweep_seed: int) -> Any:
        """Return the object to share, which can be pickled; ``None``: nothing. Called in the driver."""

    def adopt(self, settings: dict[str, Any], shared: Any, *, sweep_seed: int) -> None:
        """Take the shared object in a worker, before its first trial. Nothing may change it."""


@runtime_checkable
class Prepares(Protocol):
    """Slow imports happen before the first trial, which would count their time."""

    def prepare(self) -> None:
        """Import what trials need. Called once in each worker."""


@runtime_checkable
class TrainsInLanes(Protocol):
    """Several trials of a worker train as one, so that small models use a processor fully."""

    def fusion_key(self) -> Hashable | None:
        """*Of a trial*: return what trials must share to train as one; ``None``: it trains alone."""

    def fused_step(self, trials: Sequence[Any]) -> None:
        """Train trials of one key for one iteration. Each one's next ``step`` returns its result."""

    def best_lanes(self, configs: Sequence[Mapping[str, Any]], *, most: int) -> int:
        """Return how many trials like these train best at once in this process, from 1 to ``most``."""


@runtime_checkable
class ExplainsLanes(Protocol):
    """``tuner check`` says whether trials train together."""

    def why_alone(self, configs: Sequence[Mapping[str, Any]]) -> str | None:
        """Return why no trials like these train as one; ``None``: they do."""

    def fitting(self, configs: Sequence[Mapping[str, Any]]) -> int:
        """Return how many of these trials could train as one with another of them."""


@runtime_checkable
class AppliesConfig(Protocol):
    """A trial keeps its own hyperparameters after a restore, as population-based training needs."""

    def apply_config(self, config: Mapping[str, Any]) -> None:
        """*Of a trial*: apply its own hyperparameters to what a checkpoint has restored.

        The checkpoint may be another trial's.
        """


@runtime_checkable
class CanBeEvaluated(Protocol):
    """``tuner evaluate`` repeats the best configurations and scores one of them on the test rows."""

    def repeated(
        self, settings: dict[str, Any], *, sweep_seed: int, repeats: int
    ) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
        """Return settings for repeats of a trial, and what each repeat adds to its configuration."""

    def final(
        self, settings: dict[str, Any], *, sweep_seed: int, iterations: int, metric: str
    ) -> tuple[Mapping[str, Any], str]:
        """Return settings of a trial that ends on the test rows, and the name of ``metric`` there."""


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
    SharesData,
    Prepares,
    TrainsInLanes,
    ExplainsLanes,
    AppliesConfig,
    CanBeEvaluated,
    Exports,
)


def members(capability: type) -> tuple[str, ...]:
    """The names of a protocol's members."""
    own = {**inspect.get_annotations(capability), **vars(capability)}
    return tuple(name for name in own if not name.startswith("_"))


_DISTINCTIVE = {"fused_step", "adopt", "why_alone", "repeated"}
"""Names that a class has for the seam only; others, such as ``shared``, may be for its own use."""


def problems(trainable: Any, name: str) -> list[Problem]:
    """What a trainable lacks of a capability that it has in part. ``name``: as messages call it."""
    found = []
    for capability in CAPABILITIES:
        has = [member for member in members(capability) if hasattr(trainable, member)]
        lacks = [member for member in members(capability) if member not in has]
        if lacks and _DISTINCTIVE & {*has}:
            what = f"'{name}' has {' and '.join(has)}, so it must have {' and '.join(lacks)} too"
            found.append(Problem("trainable", f"{what} (tuner.contract.{capability.__name__})"))
    return found
