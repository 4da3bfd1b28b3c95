"""``Source``: the rows that all trials of a sweep share, and what is predicted of them."""

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
"""Integer targets with at most this many distinct values are taken for classes."""


@dataclass(frozen=True, eq=False)
class Source:
    """Raw rows and what is predicted of them: ``targets`` are class numbers (int64) or values (float64).

    By class number, ``class_names`` has the name, and ``class_values`` the value that the data have; both are
    empty for regression. ``fitted``: what was fitted to its rows beforehand, by key.
    """

    table: RawTable
    task: Task
    targets: NDArray[Any]
    class_names: tuple[str, ...]
    class_values: NDArray[Any]
    fitted: dict[Hashable, Preprocessing] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)


def load(settings: DataSettings) -> Source:
    """Return the rows that the settings name; a pure function of them and the file's content.

    A relative path is relative to the directory in which the sweep was started. Raises ValueError for
    settings that cannot be met.
    """
    if settings.path is not None:
        path = started_in() / settings.path
        return _source(read_file(path, target=settings.target, features=settings.features), settings.task)
    assert settings.dataset is not None
    return _source(read_bundled(settings.dataset), settings.task)


def key(settings: DataSettings) -> Hashable:
    """The key of what ``load`` returns: the settings that it reads, and when the file was changed last."""
    path = None if settings.path is None else started_in() / settings.path
    return settings.dataset, path, _stamp(path), settings.target, settings.features, settings.task


def of_arrays(features: Any, target: Any, *, task: Task | None = None) -> Source:
    """Rows in memory: ``features`` a data frame or an array n x ..., ``target`` of length n.

    Raises ValueError when they cannot be used.
    """
    return _source(table_of(features, target), task)


def frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array itself, which can no longer be written to."""
    array.setflags(write=False)
    return array


def started_in() -> Path:
    """The directory in which the sweep was started."""
    # Ray moves a worker into its trial's directory and leaves where it was in this variable.
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR", ""))


def _stamp(path: Path | None) -> tuple[int, int]:
    if path is None or not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


def _source(table: RawTable, task: Task | None) -> Source:
    task = _task(table, task)
    if task == "classification":
        return _classified(table)
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


def _classified(table: RawTable) -> Source:
    values, first_rows, numbers = np.unique(table.target, return_index=True, return_inverse=True)
    if len(values) < 2:
        raise ValueError(
            f"target: classification needs at least two classes, got {table.target_name} with "
            f"{len(values)} distinct value(s)"
        )
    names = tuple(str(value) for value in values.tolist())
    class_values = values if table.labels is None else table.labels[first_rows]
    return Source(table, "classification", frozen(numbers.astype(np.int64)), names, frozen(class_values))
