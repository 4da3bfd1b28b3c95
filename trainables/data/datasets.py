"""Data sets: arrays that are divided into training, validation and test rows, and preprocessed.

All trials of a sweep share one ``Source``, which each machine holds once. A ``Dataset`` is one division and
one preprocessing of a source. All arrays are read-only.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.configs import DataSettings, Precision, PreprocessingConfig, SplitSettings, Task
from trainables.data import preprocessing
from trainables.data.preprocessing import Preprocessing
from trainables.data.sources import Source, frozen
from trainables.data.splits import SplitRows, split


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one part."""

    features: NDArray[np.floating]
    """n x d, preprocessed."""

    targets: NDArray[np.generic]
    """Length n: class numbers (int64), or standardised values in the features' type."""

    rows: NDArray[np.int64]
    """Row numbers in the source, length n."""

    def __len__(self) -> int:
        return len(self.rows)


class TargetScaling(NamedTuple):
    """The scaling of a regression's target: ``standardised = (raw - mean) / scale`` over training rows."""

    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready for training. All arrays are read-only, and trials may share them.

    A search uses ``training`` and ``validation`` only.
    """

    task: Task
    training: Part
    validation: Part
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    """Names by class number; empty for regression."""

    shape: tuple[int, ...]
    """Shape of one row's features: ``(d,)``, or that of an image."""

    target: TargetScaling
    fingerprint: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    """Column means of the raw training rows. Another data set has other means."""

    source: Source | None = None
    """The source of the rows; ``None`` in a loaded model."""

    test_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Row numbers of the test rows in the source."""

    class_values: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    """Original values of the target by class number; empty for regression."""

    @cached_property
    def test(self) -> Part:
        """The test rows. They are preprocessed at the first access."""
        assert self.source is not None
        dtype = self.training.features.dtype
        return _part(self.source, self.test_rows, self.preprocessing, self.target, dtype)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features after preprocessing, length d."""
        return self.preprocessing.feature_names

    @property
    def features(self) -> int:
        """The number of features after preprocessing, d."""
        return len(self.feature_names)

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    @property
    def outputs(self) -> int:
        """The number of model outputs: one per class, or 1 for regression."""
        return max(self.classes, 1)


def prepare(
    source: Source, settings: SplitSettings, config: PreprocessingConfig, *, sweep_seed: int
) -> Dataset:
    """Divide and preprocess a source.

    Raises ValueError when the settings do not fit the rows.
    """
    rows = split(source, settings, sweep_seed=sweep_seed)
    fitted = source.fitted.get(key(settings, config, sweep_seed))
    return of_rows(source, rows, config, settings.precision, fitted=fitted)


def fit_ahead(
    source: Source, settings: SplitSettings, config: PreprocessingConfig, *, sweep_seed: int
) -> Source:
    """Return the source with this preprocessing fitted, so that processes that receive it need not fit."""
    fitted = _fit(source, split(source, settings, sweep_seed=sweep_seed), config)
    return replace(source, fitted={key(settings, config, sweep_seed): fitted})


def refuse_missing(source: Source, config: PreprocessingConfig) -> None:
    """Raise ValueError when values are missing and the config does not say how to fill them."""
    if config.missing == "none" and source.table.missing:
        gaps = ", ".join(f"'{name}' ({count} rows)" for name, count in source.table.missing.items())
        choices = "mean, median, most_frequent, constant or knn"
        raise ValueError(f"missing: must be {choices} if values are missing, got 'none' and gaps in {gaps}")


def key(settings: SplitSettings, config: PreprocessingConfig, sweep_seed: int) -> tuple[Hashable, ...]:
    """Return the key of a division and preprocessing of a source. Equal keys give equal data sets."""
    seed = sweep_seed if settings.split_seed is None else settings.split_seed
    division = settings.validation, settings.test, seed, settings.division, settings.refit > 0
    order = (settings.group_by, settings.time) if isinstance(settings, DataSettings) else ()
    return (*division, *order, preprocessing.relevant(config))


def of_rows(
    source: Source,
    rows: SplitRows,
    config: PreprocessingConfig,
    precision: Precision,
    *,
    fitted: Preprocessing | None = None,
) -> Dataset:
    """Preprocess the given parts of a source, after a fit to the training rows if ``fitted`` is ``None``.

    Raises ValueError when the config does not fit the rows.
    """
    fitted = fitted or _fit(source, rows, config)
    training = _rows_to_use(source, rows.training, config)
    target = TargetScaling() if source.task == "classification" else _standardising(source.targets[training])
    as_it_was = not source.table.columns.categories and config.whitening != "pca"
    dtype = np.dtype(precision)
    return Dataset(
        task=source.task,
        training=_part(source, training, fitted, target, dtype),
        validation=_part(source, rows.validation, fitted, target, dtype),
        preprocessing=fitted,
        class_names=source.class_names,
        shape=source.table.shape if as_it_was else (len(fitted.feature_names),),
        target=target,
        fingerprint=frozen(_fingerprint(source, rows.training)),
        source=source,
        test_rows=rows.test,
        class_values=source.class_values,
    )


def without_rows(
    task: Task,
    fitted: Preprocessing,
    class_names: tuple[str, ...],
    shape: tuple[int, ...],
    target: TargetScaling,
) -> Dataset:
    """Return the description of a data set without its rows, for a loaded model."""
    nothing = Part(np.empty((0, len(fitted.feature_names))), np.empty(0), np.empty(0, dtype=np.int64))
    return Dataset(task, nothing, nothing, fitted, class_names, shape, target)


def _standardising(targets: NDArray[np.float64]) -> TargetScaling:
    mean, scale = float(targets.mean()), float(targets.std())
    # A constant target is centred only. A division by its rounding error would blow it up.
    return TargetScaling(mean, 1.0 if scale <= 1e-12 * max(abs(mean), 1e-300) else scale)


def _rows_to_use(source: Source, rows: NDArray[np.int64], config: PreprocessingConfig) -> NDArray[np.int64]:
    """Return the training rows within bounds. Raises ValueError when too few are left."""
    left = rows[preprocessing.within_bounds(config, source.table.numbers[rows])]
    if source.task == "classification":
        gone = set(np.unique(source.targets[rows]).tolist()) - set(np.unique(source.targets[left]).tolist())
        if gone:
            names = ", ".join(f"'{source.class_names[number]}'" for number in sorted(gone))
            raise ValueError(
                f"outliers: must leave training rows of every class, got none of {names} "
                f"({len(left)} of {len(rows)} rows are within bounds)"
            )
    if len(left) < 2:
        raise ValueError(f"outliers: must leave at least 2 training rows, got {len(left)} of {len(rows)}")
    return left


def _fit(source: Source, rows: SplitRows, config: PreprocessingConfig) -> Preprocessing:
    refuse_missing(source, config)
    used = _rows_to_use(source, rows.training, config)
    table = source.table
    return preprocessing.fit(
        preprocessing.relevant(config), table.columns, table.numbers[used], table.codes[used]
    )


def _fingerprint(source: Source, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    numbers = source.table.numbers[rows].astype(np.float64)
    means = [*np.nan_to_num(numbers).mean(axis=0), *source.table.codes[rows].mean(axis=0)]
    return np.array([*means, source.targets[rows].mean()])


def _part(
    source: Source,
    rows: NDArray[np.int64],
    fitted: Preprocessing,
    target: TargetScaling,
    dtype: np.dtype[np.floating],
) -> Part:
    features = fitted.transform(source.table.numbers[rows], source.table.codes[rows]).astype(dtype)
    targets = source.targets[rows]
    if source.task == "regression":
        targets = ((targets - target.mean) / target.scale).astype(dtype)
    return Part(frozen(features), frozen(targets), frozen(rows))
