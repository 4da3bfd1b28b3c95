"""Divide rows into training, validation and test rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainables.configs import SplitSettings
from trainables.data.sources import Source, frozen

RowNumbers = NDArray[np.int64]


class SplitRows(NamedTuple):
    """Row numbers of the three parts, each ascending."""

    training: RowNumbers
    validation: RowNumbers
    test: RowNumbers


def split(source: Source, settings: SplitSettings, *, sweep_seed: int) -> SplitRows:
    """Divide the rows as a function of the settings and ``split_seed``, or else ``sweep_seed``.

    Every division has the same test rows. With ``refit``, the training part contains the validation rows too.
    Rows in the order of ``time`` are divided in that order, and a further division ends earlier. Rows of one
    group stay in one part. Otherwise the parts are stratified by class. Raises ValueError when there are too
    few rows.
    """
    seed = sweep_seed if settings.split_seed is None else settings.split_seed
    if (order := _time_order(source, settings)) is not None:
        parts = _split_in_order(source, settings, order)
    elif "group_by" in source.table.roles:
        parts = _split_groups(source, settings, seed)
    else:
        parts = _split(source, settings, seed)
    if settings.refit:
        parts[0] = np.sort(np.concatenate(parts[:2]))
    return SplitRows(*(frozen(part) for part in parts))


def folds(source: Source, settings: SplitSettings, *, sweep_seed: int, count: int) -> list[SplitRows]:
    """Divide the training and validation rows into ``count`` folds. Each is the validation part once.

    The folds are stratified by class, or hold whole groups. In the order of ``time``, the first rows are no
    fold, and a fold's training part are all rows before it, as in ``TimeSeriesSplit``. Raises ValueError when
    a class, or the whole data of a regression, has fewer than ``count`` rows.
    """
    whole = split(source, settings, sweep_seed=sweep_seed)
    rest = np.sort(np.concatenate([whole.training, whole.validation]))
    if (order := _time_order(source, settings)) is not None:
        return _folds_in_order(source, order[np.isin(order, rest)], whole.test, count=count)
    seed = sweep_seed if settings.split_seed is None else settings.split_seed
    generator = np.random.default_rng([seed, settings.division, count])
    if "group_by" in source.table.roles:
        fold_of = _fold_of_groups(source.table.roles["group_by"][rest], generator, count=count)
        return _in_folds(source, rest, fold_of, whole.test, count=count)
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
    return _in_folds(source, rest, fold_of, whole.test, count=count)


def _in_folds(
    source: Source, rest: RowNumbers, fold_of: RowNumbers, test: RowNumbers, *, count: int
) -> list[SplitRows]:
    """Return a division for each fold. ``fold_of``: the fold of each row in ``rest``."""
    found = [
        SplitRows(frozen(rest[fold_of != fold]), frozen(rest[fold_of == fold]), test) for fold in range(count)
    ]
    for parts in found:
        _require_all_classes(source, parts.training, "folds")
    return found


def _time_order(source: Source, settings: SplitSettings) -> RowNumbers | None:
    """Return the row numbers in order of time, or ``None`` if the rows have no order."""
    if getattr(settings, "time", False) is True:
        return np.arange(len(source))
    ranks = source.table.roles.get("time")
    return None if ranks is None else np.argsort(ranks, kind="stable")


def _split_in_order(source: Source, settings: SplitSettings, order: RowNumbers) -> list[RowNumbers]:
    """Return the first rows as training, then validation, then test rows.

    Each further division moves the validation rows back by their number, and training ends before them.
    """
    training, validation, test = _shares(len(order), _fractions(settings))
    end = training + validation - settings.division * validation
    start = end - validation
    if start < 1:
        most = (training - 1) // validation
        raise ValueError(
            "division: must leave training rows before the validation rows; "
            f"must be at most {most}, got {settings.division}"
        )
    parts = [order[:start], order[start:end], order[len(order) - test :]]
    _require_all_classes(source, parts[0], "time")
    return [np.sort(part) for part in parts]


def _folds_in_order(source: Source, order: RowNumbers, test: RowNumbers, *, count: int) -> list[SplitRows]:
    size = len(order) // (count + 1)
    if size < 1:
        raise ValueError(f"folds: each fold must have a row, got {count} folds of {len(order)} rows")
    found = []
    for fold in range(count):
        start = len(order) - (count - fold) * size
        training, validation = np.sort(order[:start]), np.sort(order[start : start + size])
        _require_all_classes(source, training, "folds")
        found.append(SplitRows(frozen(training), frozen(validation), test))
    return found


def _split_groups(source: Source, settings: SplitSettings, seed: int) -> list[RowNumbers]:
    """Return parts that hold whole groups. The fractions count groups."""
    groups = source.table.roles["group_by"]
    names = np.unique(groups)
    needed = 3 if settings.test > 0 else 2
    if len(names) < needed:
        raise ValueError(f"group_by: must be at least {needed} to divide, got {len(names)}")
    training, validation, _ = _shares(len(names), _fractions(settings))
    shuffled = np.random.default_rng(seed).permutation(names)
    if settings.division:
        rest = training + validation
        redivide = np.random.default_rng([seed, settings.division])
        shuffled = np.concatenate([redivide.permutation(shuffled[:rest]), shuffled[rest:]])
    parts = np.split(shuffled, [training, training + validation])
    found = [np.flatnonzero(np.isin(groups, part)) for part in parts]
    _require_all_classes(source, found[0], "group_by")
    return found


def _fold_of_groups(groups: RowNumbers, generator: np.random.Generator, *, count: int) -> RowNumbers:
    """Return the fold of each row. The largest groups go first, each to the fold with the fewest rows."""
    names, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < count:
        raise ValueError(f"folds: must be at most the number of groups ({len(names)}), got {count}")
    shuffled = generator.permutation(len(names))
    rows = np.zeros(count, dtype=np.int64)
    fold_of_group = np.empty(len(names), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold = int(rows.argmin())
        fold_of_group[group] = fold
        rows[fold] += sizes[group]
    return fold_of_group[numbers]


def _require_all_classes(source: Source, training: RowNumbers, where: str) -> None:
    """Raise ValueError if training rows lack a class, which no model could then predict."""
    gone = set(range(len(source.class_names))) - set(np.unique(source.targets[training]).tolist())
    if gone:
        names = ", ".join(f"'{source.class_names[number]}'" for number in sorted(gone))
        raise ValueError(f"{where}: must leave training rows of every class, got none of {names}")


def _fractions(settings: SplitSettings) -> tuple[float, float, float]:
    return 1 - settings.validation - settings.test, settings.validation, settings.test


def _split(source: Source, settings: SplitSettings, seed: int) -> list[RowNumbers]:
    """Return ascending row numbers of training, validation and test, stratified by class."""
    fractions = _fractions(settings)
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
