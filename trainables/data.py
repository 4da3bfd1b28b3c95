"""Data sets as read-only arrays: loaded, split into training, validation and test rows, and standardised."""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainables.recipe import DataSettings, Task
from trainables.sources import Table, read_bundled, read_file

Scalar = TypeVar("Scalar", bound=np.generic)

FEW_VALUES = 20
"""Integer targets with at most this many distinct values are taken for classes."""

_CACHED = 4
"""Data sets held per process: the sweep's own, and those of a few sweeps run before it."""


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one split.

    ``features`` is n x d and standardised. ``targets`` has length n: class numbers (int64), or standardised
    values. ``rows`` are their row numbers in the source.
    """

    features: NDArray[np.floating]
    targets: NDArray[np.generic]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Scaler:
    """``standardised = (raw - mean) / scale``, fitted on the training rows only.

    ``mean`` and ``scale`` have length d. The target's are 0 and 1 for classification.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    target_mean: float = 0.0
    target_scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready for training; every array is read-only and may be shared between trials.

    ``shape`` is the shape of one row in the source (``(d,)``, or that of an image), ``class_names`` is
    empty for regression. A search looks at ``training`` and ``validation`` only.
    """

    task: Task
    training: Part
    validation: Part
    test: Part
    scaler: Scaler
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def features(self) -> int:
        """Number of input features, d."""
        return len(self.feature_names)

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    @property
    def outputs(self) -> int:
        """Number of outputs that a model needs: one per class, or one for regression."""
        return max(self.classes, 1)


def load(settings: DataSettings, *, sweep_seed: int) -> Dataset:
    """Return the data set; a pure function of the settings, the file's content and ``sweep_seed``.

    A process loads it once: the same object is returned until the file changes. A relative path is
    relative to the directory in which the sweep was started. Raises ValueError for settings that
    cannot be met.
    """
    path = None if settings.path is None else _started_in() / settings.path
    return _load(settings, sweep_seed, path, _stamp(path))


def _started_in() -> Path:
    # Ray moves a worker into its trial's directory and leaves where it was in this variable.
    return Path(os.environ.get("TUNE_ORIG_WORKING_DIR", ""))


def _stamp(path: Path | None) -> tuple[int, int]:
    if path is None or not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=_CACHED)
def _load(settings: DataSettings, sweep_seed: int, path: Path | None, stamp: tuple[int, int]) -> Dataset:
    table = _table(settings.dataset, path, stamp, settings.target, settings.features)
    task = _task(table, settings)
    if task == "classification":
        class_names, targets = _encode(table)
    else:
        class_names, targets = (), table.target.astype(np.float64)
    rows = _split(targets, settings, task, class_names, np.random.default_rng(sweep_seed))
    scaler = _fit(table.features[rows[0]], targets[rows[0]] if task == "regression" else None)
    dtype = np.dtype(settings.precision)
    training, validation, test = (_standardised(table, targets, part, scaler, task, dtype) for part in rows)
    return Dataset(task, training, validation, test, scaler, table.names, class_names, table.shape)


@lru_cache(maxsize=1)  # who asks what a data set is like asks for one split of it soon
def _table(
    dataset: str | None, path: Path | None, stamp: tuple[int, int], target: str | None, features: str | None
) -> Table:
    if path is not None:
        return read_file(path, target=target, features=features)
    assert dataset is not None
    return read_bundled(dataset)


def _task(table: Table, settings: DataSettings) -> Task:
    labels = table.target.dtype.kind in "Ub"
    if settings.task == "regression" and labels:
        raise ValueError(
            "task: regression must have numbers to predict, "
            f"got {table.target_name} of text, categories or booleans"
        )
    if settings.task is not None:
        return settings.task
    few = table.target.dtype.kind in "iu" and len(np.unique(table.target)) <= FEW_VALUES
    return "classification" if labels or few else "regression"


def _encode(table: Table) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    values, numbers = np.unique(table.target, return_inverse=True)
    if len(values) < 2:
        raise ValueError(
            f"target: classification needs at least two classes, got {table.target_name} with "
            f"{len(values)} distinct value(s)"
        )
    return tuple(str(value) for value in values.tolist()), numbers.astype(np.int64)


def _split(
    targets: NDArray[np.generic],
    settings: DataSettings,
    task: Task,
    class_names: tuple[str, ...],
    generator: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Ascending row numbers of training, validation and test; each class is split for itself."""
    fractions = (1 - settings.validation - settings.test, settings.validation, settings.test)
    parts = "training, validation and test" if settings.test > 0 else "training and validation"
    needed = 3 if settings.test > 0 else 2
    if task == "regression":
        groups = [np.arange(len(targets))]
        names = ["the data"]
    else:
        groups = [np.flatnonzero(targets == number) for number in range(len(class_names))]
        names = [f"class '{name}'" for name in class_names]
    every = "" if task == "regression" else " of every class"
    short = [
        f"{len(group)} of {name}" for name, group in zip(names, groups, strict=True) if len(group) < needed
    ]
    if short:
        raise ValueError(
            f"target: too few rows to split; {parts} need one row each{every}, "
            f"got {', '.join(short[:5])}{', ...' * (len(short) > 5)}"
        )
    chosen: list[list[NDArray[np.int64]]] = [[], [], []]
    for group in groups:
        ends = np.cumsum(_shares(len(group), fractions))[:-1]
        for part, rows in zip(chosen, np.split(generator.permutation(group), ends), strict=True):
            part.append(rows)
    return [np.sort(np.concatenate(part)) for part in chosen]


def _shares(total: int, fractions: tuple[float, ...]) -> list[int]:
    """Whole numbers that sum to ``total``, nearest to its fractions; at least 1 unless the fraction is 0."""
    shares = [max(int(fraction * total), 1) if fraction > 0 else 0 for fraction in fractions]
    while sum(shares) != total:
        step = 1 if sum(shares) < total else -1
        free = [i for i, share in enumerate(shares) if fractions[i] > 0 and share + step >= 1]
        furthest = max(free, key=lambda i: step * (fractions[i] * total - shares[i]))
        shares[furthest] += step
    return shares


def _fit(features: NDArray[np.generic], targets: NDArray[np.generic] | None) -> Scaler:
    mean = features.mean(axis=0, dtype=np.float64)
    scale = _safe(features.std(axis=0, dtype=np.float64), mean)
    scaler = Scaler(_frozen(mean), _frozen(scale))
    if targets is None:
        return scaler
    target_mean = targets.mean(dtype=np.float64)
    target_scale = _safe(targets.std(dtype=np.float64), target_mean)
    return replace(scaler, target_mean=float(target_mean), target_scale=float(target_scale))


def _safe(deviation: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    # A constant column has a deviation of 0, or of rounding errors: it is centred, not blown up.
    constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return np.where(constant, 1.0, deviation)


def _standardised(
    table: Table,
    targets: NDArray[np.generic],
    rows: NDArray[np.int64],
    scaler: Scaler,
    task: Task,
    dtype: np.dtype[np.floating],
) -> Part:
    features = ((table.features[rows] - scaler.mean) / scaler.scale).astype(dtype)
    own = targets[rows]
    if task == "regression":
        own = ((own.astype(np.float64) - scaler.target_mean) / scaler.target_scale).astype(dtype)
    return Part(_frozen(features), _frozen(own), _frozen(rows))


def _frozen(array: NDArray[Scalar]) -> NDArray[Scalar]:
    array.setflags(write=False)
    return array
