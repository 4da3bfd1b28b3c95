"""Divide rows into training, validation and test rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.configs import SplitSettings
from trainables.data.sources import Source, frozen


class SplitRows(NamedTuple):
    """Row numbers of the three parts, each ascending."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(source: Source, settings: SplitSettings, *, sweep_seed: int) -> SplitRows:
    """Divide the rows as a function of the settings and ``split_seed``, or else ``sweep_seed``.

    Every division has the same test rows. With ``refit``, the training part contains the validation rows too.
    Raises ValueError when there are too few rows.
    """
    seed = sweep_seed if settings.split_seed is None else settings.split_seed
    parts = _split(source, settings, seed)
    if settings.refit:
        parts[0] = np.sort(np.concatenate(parts[:2]))
    return SplitRows(*(frozen(part) for part in parts))


def folds(source: Source, settings: SplitSettings, *, sweep_seed: int, count: int) -> list[SplitRows]:
    """Divide the training and validation rows into ``count`` folds. Each is the validation part once.

    The folds are stratified by class. Raises ValueError when a class, or the whole data of a regression, has
    fewer than ``count`` rows.
    """
    whole = split(source, settings, sweep_seed=sweep_seed)
    rest = np.sort(np.concatenate([whole.training, whole.validation]))
    seed = sweep_seed if settings.split_seed is None else settings.split_seed
    generator = np.random.default_rng([seed, settings.division, count])
    targets = source.targets[rest] if source.task == "classification" else np.zeros(len(rest))
    of_class = " of every class" if source.task == "classification" else ""
    fold_of = np.empty(len(rest), dtype=np.int64)
    first = 0
    for number in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == number))
        if len(rows) < count:
            raise ValueError(
                f"folds: each fold must have a row{of_class}, got {count} folds of {len(rows)} rows"
            )
        # Each class continues where the class before ended, so folds differ by at most 1 row.
        fold_of[rows] = (np.arange(len(rows)) + first) % count
        first += len(rows)
    return [
        SplitRows(frozen(rest[fold_of != fold]), frozen(rest[fold_of == fold]), whole.test)
        for fold in range(count)
    ]


def _split(source: Source, settings: SplitSettings, seed: int) -> list[NDArray[np.int64]]:
    """Return ascending row numbers of training, validation and test, stratified by class."""
    fractions = (1 - settings.validation - settings.test, settings.validation, settings.test)
    parts = "training, validation and test" if settings.test > 0 else "training and validation"
    needed = 3 if settings.test > 0 else 2
    if source.task == "regression":
        groups = [np.arange(len(source))]
        names = ["the data"]
    else:
        groups = [np.flatnonzero(source.targets == number) for number in range(len(source.class_names))]
        names = [f"class '{name}'" for name in source.class_names]
    of_class = "" if source.task == "regression" else " of every class"
    too_small = [
        f"{len(group)} of {name}" for name, group in zip(names, groups, strict=True) if len(group) < needed
    ]
    if too_small:
        raise ValueError(
            f"target: too few rows to split; {parts} need one row each{of_class}, "
            f"got {', '.join(too_small[:5])}{', ...' * (len(too_small) > 5)}"
        )
    generator = np.random.default_rng(seed)
    redivide = np.random.default_rng([seed, settings.division])
    chosen: list[list[NDArray[np.int64]]] = [[], [], []]
    for group in groups:
        training, validation, _ = _shares(len(group), fractions)
        shuffled = generator.permutation(group)
        if settings.division:
            rest = training + validation
            shuffled = np.concatenate([redivide.permutation(shuffled[:rest]), shuffled[rest:]])
        ends = [training, training + validation]
        for part, rows in zip(chosen, np.split(shuffled, ends), strict=True):
            part.append(rows)
    return [np.sort(np.concatenate(part)) for part in chosen]


def _shares(total: int, fractions: tuple[float, ...]) -> list[int]:
    """Return whole numbers that sum to ``total`` and are nearest to its fractions.

    Each is at least 1, unless its fraction is 0.
    """
    shares = [max(int(fraction * total), 1) if fraction > 0 else 0 for fraction in fractions]
    while sum(shares) != total:
        step = 1 if sum(shares) < total else -1
        free = [i for i, share in enumerate(shares) if fractions[i] > 0 and share + step >= 1]
        furthest = max(free, key=lambda i: step * (fractions[i] * total - shares[i]))
        shares[furthest] += step
    return shares
