"""Raw tables of features and a target, from scikit-learn's bundled data sets, files and memory."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainables.configs import did_you_mean

MAX_CATEGORIES = 256
"""Maximum number of distinct values of a text column. A column with more is probably an identifier."""

MISSING = -1
"""The code of a missing category."""

UNKNOWN = -2
"""The code of a category outside the vocabulary."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table: number columns first, then text columns."""

    numbers: tuple[str, ...]
    """Names of the number columns."""

    categories: tuple[str, ...] = ()
    """Names of the text columns."""

    vocabularies: tuple[tuple[str, ...], ...] = ()
    """The sorted distinct values of each text column."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in column order."""
        return (*self.numbers, *self.categories)


@dataclass(frozen=True, eq=False)
class RawTable:
    """Raw rows: n rows with d_n number columns and d_c text columns."""

    numbers: NDArray[Any]
    """n x d_n; finite, or nan if missing."""

    codes: NDArray[np.int32]
    """n x d_c; positions in the columns' vocabularies, or ``MISSING``."""

    columns: Columns
    target: NDArray[Any]
    """Length n; finite numbers, booleans or text."""

    target_name: str
    """The target's name in messages."""

    shape: tuple[int, ...]
    """Shape of one row: ``(d,)``, or that of an image."""

    labels: NDArray[Any] | None = None
    """Original values of a target whose ``target`` holds names; ``None`` if ``target`` is the original."""

    types: Mapping[str, Any] | None = None
    """Column -> pandas type, in the data frame's order; ``None`` if the rows were no data frame."""

    roles: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """``group_by``: group numbers; ``time``: ranks; ``sample_weight``: weights. Each has length n."""

    @cached_property
    def missing(self) -> dict[str, int]:
        """Column -> number of rows without a value, for columns with missing values."""
        counts = [
            *(np.isnan(self.numbers).sum(axis=0) if self.numbers.dtype.kind == "f" else ()),
            *(() if self.numbers.dtype.kind == "f" else [0] * len(self.columns.numbers)),
            *(self.codes == MISSING).sum(axis=0),
        ]
        return {name: int(count) for name, count in zip(self.columns.names, counts, strict=True) if count > 0}


class _Origin(NamedTuple):
    """The origin of a table, for messages."""

    key: str
    """Name of the setting."""

    of: str
    """Words that follow a column's name."""


_MEMORY = _Origin("data", "")


def read_bundled(name: str) -> RawTable:
    """Read one of scikit-learn's bundled data sets, in its original units."""
    from sklearn import datasets  # takes over a second to import, and files do not need it

    # scikit-learn standardises diabetes over all rows, which would leak validation rows into training.
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(**options)
    features = np.asarray(bunch.data, dtype=np.float64)
    target = np.asarray(bunch.target)
    labels = target if target.dtype.kind == "i" else None
    if labels is not None:
        target = np.asarray(bunch.target_names).astype(str)[labels]
    shape = bunch.images.shape[1:] if "images" in bunch else features.shape[1:]
    columns = Columns(tuple(str(feature) for feature in bunch.feature_names))
    return RawTable(features, _no_codes(len(features)), columns, target, "the target", shape, labels)


def read_file(
    path: Path, *, target: str | None, features: str | None, roles: Mapping[str, str] | None = None
) -> RawTable:
    """Read a table from a file. ``target`` and ``features`` name a column, or arrays in an NPZ file.

    ``roles`` names the columns or arrays that are neither, by their role in ``RawTable.roles``. Raises
    ValueError when the file, column or array does not exist, or when its values cannot be used.
    """
    if not path.exists():
        raise ValueError(f"path: there is no file '{path}'{_neighbour(path)}")
    if not path.is_file():
        raise ValueError(f"path: must be a regular file, got '{path}'")
    if path.suffix == ".npz":
        return _read_arrays(path, target or "y", features or "X", roles or {})
    assert target is not None
    return _read_columns(path, target, roles or {})


def table_of(features: Any, target: Any) -> RawTable:
    """Return a table of rows in memory.

    ``features``: a data frame or an array n x ...; ``target``: length n. Raises ValueError when their values
    cannot be used.
    """
    values = target if isinstance(target, pd.Series) else pd.Series(np.asarray(target), name="target")
    if isinstance(features, pd.DataFrame):
        if len(features) != len(values):
            raise ValueError(f"data: must have one target per row, got {len(values)} for {len(features)}")
        return _of_frame(features, values, "the target", _MEMORY)
    array = np.asarray(features)
    if array.dtype.kind not in "fiub" or array.ndim < 2:
        raise ValueError(
            f"data: features must be a data frame or n x d numbers, got {array.dtype} of shape {array.shape}"
        )
    if array.shape[:1] != values.shape:
        raise ValueError(f"data: must have one target per row, got {len(values)} for {len(array)}")
    names = tuple("x" + "_".join(map(str, index)) for index in np.ndindex(array.shape[1:]))
    return _of_array(array, names, values, "the target", "features", _MEMORY)


def _role_values(role: str, column: "pd.Series[Any]", what: str) -> NDArray[Any]:
    """Return the values of a column as ``RawTable.roles`` has them. Raises ValueError for unusable ones."""
    if missing := int(column.isna().sum()):
        raise ValueError(f"{role}: {what} must have no missing values, got {missing}")
    if role == "group_by":
        return np.unique(column.astype(str).to_numpy(dtype=object), return_inverse=True)[1].astype(np.int64)
    if role == "time":
        if not pd.api.types.is_numeric_dtype(column):
            try:
                column = pd.to_datetime(column, format="ISO8601")
            except (ValueError, TypeError) as error:
                must = "must hold numbers, or dates such as 2026-01-31"
                raise ValueError(f"time: {what} {must}: {error}") from None
        return column.rank(method="first").to_numpy().astype(np.int64)
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        bad = int((~np.isfinite(values) | (values < 0)).sum())
        raise ValueError(f"{role}: {what} must hold numbers from 0, not all 0; got {bad} others")
    return values


def codes_of(labels: "pd.Series[Any]", vocabulary: tuple[str, ...]) -> NDArray[np.int32]:
    """Return the codes of a text column: positions in ``vocabulary``, ``MISSING`` or ``UNKNOWN``."""
    places = {label: place for place, label in enumerate(vocabulary)}
    gaps = labels.isna().to_numpy()
    return np.array(
        [
            MISSING if gap else places.get(str(label), UNKNOWN)
            for gap, label in zip(gaps, labels, strict=True)
        ],
        dtype=np.int32,
    )


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; its directory '{path.parent}' does not exist"
    others = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix]
    hint = did_you_mean(path.name, others)
    return f"; {hint}" if hint.startswith("did") else ""


def _read_columns(path: Path, target: str, roles: Mapping[str, str]) -> RawTable:
    frame = _read_frame(path)
    names = [str(name) for name in frame.columns]
    frame.columns = pd.Index(names)
    for setting, name in {"target": target, **roles}.items():
        if name not in names:
            columns = ", ".join(names[:50]) + ", ..." * (len(names) > 50)
            hint = did_you_mean(name, names)
            near = f"{hint} Its" if hint.startswith("did") else "its"
            raise ValueError(f"{setting}: '{path}' has no column '{name}'; {near} columns are {columns}")
    values = frame.pop(target)
    found = {role: _role_values(role, frame.pop(name), f"column '{name}'") for role, name in roles.items()}
    if frame.shape[1] == 0:
        raise ValueError(f"path: '{path}' must have a column besides the target '{target}', got none")
    table = _of_frame(frame, values, f"column '{target}'", _Origin("path", f" of '{path}'"))
    return replace(table, roles=found)


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # the errors of both readers are ValueErrors
        raise ValueError(f"path: '{path}' cannot be read: {error}") from error
    if frame.empty:
        raise ValueError(f"path: '{path}' must have rows, got none")
    return frame


def _of_frame(frame: pd.DataFrame, target: "pd.Series[Any]", target_name: str, place: _Origin) -> RawTable:
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, tuple[tuple[str, ...], NDArray[np.int32]]] = {}
    for label in frame.columns:
        name, column = str(label), frame[label]
        if _kind(column, f"column '{name}'", place) == "number":
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            numbers[name] = _without_infinities(values, f"column '{name}'", place)
        else:
            vocabulary = _vocabulary(column, name, place)
            texts[name] = vocabulary, codes_of(column, vocabulary)
    columns = Columns(tuple(numbers), tuple(texts), tuple(vocabulary for vocabulary, _ in texts.values()))
    return RawTable(
        np.column_stack([*numbers.values()]) if numbers else np.empty((len(frame), 0)),
        np.column_stack([codes for _, codes in texts.values()]) if texts else _no_codes(len(frame)),
        columns,
        _target(target, target_name, place),
        target_name,
        (len(columns.names),),
        _labels(target),
        {str(name): frame[name].dtype for name in frame.columns},
    )


def _vocabulary(column: "pd.Series[Any]", name: str, place: _Origin) -> tuple[str, ...]:
    categories = sorted({str(label) for label in column.dropna()})
    if len(categories) > MAX_CATEGORIES:
        raise ValueError(
            f"{place.key}: column '{name}'{place.of} has too many distinct texts to one-hot encode; "
            f"must have at most {MAX_CATEGORIES}, got {len(categories)}"
        )
    return tuple(categories)


def _target(column: "pd.Series[Any]", what: str, place: _Origin) -> NDArray[Any]:
    if missing := int(column.isna().sum()):
        raise ValueError(f"target: {what}{place.of} must have no missing values, got {missing}")
    if _kind(column, what, place) == "text":
        return column.to_numpy(dtype=object).astype(np.str_)
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.bool_)
    return _without_infinities(column.to_numpy(dtype=_number_type(column)), what, place)


def _labels(column: "pd.Series[Any]") -> NDArray[Any] | None:
    """Return the original values of a categorical target whose categories are not text, else ``None``."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return None
    values = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(values):
        return values.to_numpy(dtype=np.bool_)
    return values.to_numpy(dtype=_number_type(values)) if pd.api.types.is_numeric_dtype(values) else None


def _number_type(column: "pd.Series[Any]") -> "np.dtype[Any]":
    """Return the NumPy type of a number column, also if pandas uses an extension type."""
    own: Any = column.dtype
    found: np.dtype[Any] = np.dtype(getattr(own, "numpy_dtype", own))
    return found


def _kind(column: "pd.Series[Any]", what: str, place: _Origin) -> str:
    types = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype) or types.is_string_dtype(column.dropna()):
        return "text"
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return "number"
    got = type(column.dropna().iloc[0]).__name__ if column.dtype == object else column.dtype
    raise ValueError(f"{place.key}: {what}{place.of} must hold numbers or text, got {got}")


def _read_arrays(path: Path, target: str, features: str, roles: Mapping[str, str]) -> RawTable:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            arrays = {name: file[name] for name in (features, target, *roles.values()) if name in names}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: '{path}' cannot be read: {error}") from error
    for where, name in (("features", features), ("target", target), *roles.items()):
        if name not in arrays:
            raise ValueError(f"{where}: '{path}' has no array '{name}'; {did_you_mean(name, names)}")
    x, y = arrays[features], arrays[target]
    if x.dtype.kind not in "fiub" or x.ndim < 2:
        raise ValueError(
            f"features: array '{features}' of '{path}' must be n x d numbers, "
            f"got {x.dtype} of shape {x.shape}"
        )
    if y.dtype.kind not in "fiubU" or y.ndim != 1:
        raise ValueError(
            f"target: array '{target}' of '{path}' must be n numbers or texts, "
            f"got {y.dtype} of shape {y.shape}"
        )
    if len(x) != len(y):
        raise ValueError(
            f"target: array '{target}' of '{path}' must have as many rows as '{features}', "
            f"got {len(y)} and {len(x)}"
        )
    if x.size == 0:
        raise ValueError(f"features: array '{features}' of '{path}' must not be empty, got shape {x.shape}")
    for where, name in roles.items():
        if arrays[name].shape != y.shape:
            raise ValueError(
                f"{where}: array '{name}' of '{path}' must have one value per row ({len(y)}), "
                f"got shape {arrays[name].shape}"
            )
    found = {
        role: _role_values(role, pd.Series(arrays[name]), f"array '{name}'") for role, name in roles.items()
    }
    place = _Origin("path", f" of '{path}'")
    feature_names = tuple(f"{features}[{','.join(map(str, index))}]" for index in np.ndindex(x.shape[1:]))
    table = _of_array(x, feature_names, pd.Series(y), f"array '{target}'", f"array '{features}'", place)
    return replace(table, roles=found)


def _of_array(
    array: NDArray[Any],
    names: tuple[str, ...],
    target: "pd.Series[Any]",
    target_name: str,
    what: str,
    place: _Origin,
) -> RawTable:
    flat = _without_infinities(array.reshape(len(array), -1), what, place)
    values = _target(target, target_name, place)
    return RawTable(
        flat, _no_codes(len(array)), Columns(names), values, target_name, array.shape[1:], _labels(target)
    )


def _no_codes(rows: int) -> NDArray[np.int32]:
    return np.empty((rows, 0), dtype=np.int32)


def _without_infinities(values: NDArray[Any], what: str, place: _Origin) -> NDArray[Any]:
    if values.dtype.kind == "f" and (bad := int(np.isinf(values).sum())):
        raise ValueError(f"{place.key}: {what}{place.of} must hold finite numbers, got {bad} that are not")
    return values
