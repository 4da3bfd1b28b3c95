"""``Source``: the raw rows and targets that all trials of a sweep share."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.configs import DataSettings, Task
from trainables.data.preprocessing import Preprocessing
from trainables.data.tables import RawTable, read_bundled, read_file, table_of

Scalar = TypeVar("Scalar", bound=np.generic)

FEW_VALUES = 20
"""Integer targets with at most this many distinct values are classes by default."""


@dataclass(frozen=True, eq=False)
class Source:
    """Raw rows and their targets."""

    table: RawTable
    task: Task
    targets: NDArray[Any]
    """Length n: class numbers (int64), or values (float64)."""

    class_names: tuple[str, ...]
    """Names by class number; empty for regression."""

    class_values: NDArray[Any]
    """Original values of the target by class number; empty for regression."""

    fitted: dict[Hashable, Preprocessing] = field(default_factory=dict)
    """Preprocessing fitted in advance, by ``datasets.key``."""

    def __len__(self) -> int:
        return len(self.targets)


def load(settings: DataSettings) -> Source:
    """Return the rows that the settings name, as a function of the settings and the file's content.

    A relative path starts at the directory in which the sweep was started. Raises ValueError when the rows
    cannot be read or do not suit the settings.
    """
    if settings.path is not None:
        path = started_in() / settings.path
        table = read_file(path, target=settings.target, features=settings.features, roles=settings.roles())
        return _source(table, settings.task)
    assert settings.dataset is not None
    return _source(read_bundled(settings.dataset), settings.task)


def key(settings: DataSettings) -> Hashable:
    """Return the key of ``load``'s result: the settings that it reads, and the file's time and size."""
    path = None if settings.path is None else started_in() / settings.path
    roles = tuple(settings.roles().items())
    return settings.dataset, path, _stamp(path), settings.target, settings.features, roles, settings.task


def of_arrays(features: Any, target: Any, *, task: Task | None = None) -> Source:
    """Return a source of rows in memory.

    ``features``: a data frame or an array n x ...; ``target``: length n. Raises ValueError when their values
    cannot be used.
    """
    return _source(table_of(features, target), task)


def frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Make an array read-only, and return it."""
    array.setflags(write=False)
    return array


def started_in() -> Path:
    """Return the directory in which the sweep was started."""
    # Ray moves a worker into its trial's directory and keeps the original directory in this variable.
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR", ""))


def _stamp(path: Path | None) -> tuple[int, int]:
    if path is None or not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


def _source(table: RawTable, task: Task | None) -> Source:
    task = _task(table, task)
    if task == "classification":
        return _classification_source(table)
    return Source(table, task, frozen(table.target.astype(np.float64)), (), np.empty(0))


def _task(table: RawTable, task: Task | None) -> Task:
    labels = table.target.dtype.kind in "Ub"
    if task == "regression" and labels:
        raise ValueError(
            "task: regression must have numbers to predict, "
            f"got {table.target_name} of text, categories or booleans"
        )
    if task is not None:
        return task
    few = table.target.dtype.kind in "iu" and len(np.unique(table.target)) <= FEW_VALUES
    return "classification" if labels or few else "regression"


def _classification_source(table: RawTable) -> Source:
    values, first_rows, numbers = np.unique(table.target, return_index=True, return_inverse=True)
    if len(values) < 2:
        raise ValueError(
            f"target: classification needs at least two classes, got {table.target_name} with "
            f"{len(values)} distinct value(s)"
        )
    names = tuple(str(value) for value in values.tolist())
    class_values = values if table.labels is None else table.labels[first_rows]
    return Source(table, "classification", frozen(numbers.astype(np.int64)), names, frozen(class_values))
