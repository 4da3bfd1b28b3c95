"""Raw tables, numeric features and a target, from scikit-learn's bundled sets and from files."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainables.recipe import did_you_mean

MAX_CATEGORIES = 256
"""A text column with more distinct values is more likely an identifier than a category."""


@dataclass(frozen=True, eq=False)
class Table:
    """``features`` is n x d, finite numbers; ``target`` has length n: finite numbers, booleans or text."""

    features: NDArray[Any]
    target: NDArray[Any]
    names: tuple[str, ...]
    target_name: str
    shape: tuple[int, ...]


def read_bundled(name: str) -> Table:
    """One of scikit-learn's data sets, in its own units."""
    from sklearn import datasets  # over a second to import, and files need none of it

    # Diabetes comes standardised over all rows, which would let the validation rows leak into training.
    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(**options)
    names = tuple(str(feature) for feature in bunch.feature_names)
    features = np.asarray(bunch.data, dtype=np.float64)
    target = np.asarray(bunch.target)
    if target.dtype.kind == "i":
        target = np.asarray(bunch.target_names).astype(str)[target]
    shape = bunch.images.shape[1:] if "images" in bunch else features.shape[1:]
    return Table(features, target, names, "the target", shape)


def read_file(path: Path, *, target: str | None, features: str | None) -> Table:
    """A table from a file; ``target`` and ``features`` name a column, or arrays in an NPZ file.

    Raises ValueError when there is no such file, column or array, or when its values cannot be used.
    """
    if not path.is_file():
        raise ValueError(f"path: there is no file '{path}'{_neighbour(path)}")
    if path.suffix == ".npz":
        return _read_arrays(path, target or "y", features or "X")
    assert target is not None
    return _read_columns(path, target)


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; its directory '{path.parent}' does not exist"
    others = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix]
    hint = did_you_mean(path.name, others)
    return f"; {hint}" if hint.startswith("did") else ""


def _read_columns(path: Path, target: str) -> Table:
    frame = _read_frame(path)
    names = [str(name) for name in frame.columns]
    frame.columns = pd.Index(names)
    if target not in names:
        columns = ", ".join(names[:50]) + ", ..." * (len(names) > 50)
        hint = did_you_mean(target, names)
        near = f"{hint} Its" if hint.startswith("did") else "its"
        raise ValueError(f"target: '{path}' has no column '{target}'; {near} columns are {columns}")
    _refuse_missing(path, frame)
    values = frame.pop(target)
    if frame.shape[1] == 0:
        raise ValueError(f"path: '{path}' must have a column besides the target '{target}', got none")
    blocks: list[NDArray[np.float64]] = []
    feature_names: list[str] = []
    for name in frame.columns:
        encoded, encoded_names = _encode_column(path, frame[name])
        blocks += encoded
        feature_names += encoded_names
    features = np.column_stack(blocks)
    return Table(
        features, _target(path, values), tuple(feature_names), f"column '{target}'", features.shape[1:]
    )


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # both readers' own errors are ValueErrors
        raise ValueError(f"path: '{path}' cannot be read: {error}") from error
    if frame.empty:
        raise ValueError(f"path: '{path}' must have rows, got none")
    return frame


def _refuse_missing(path: Path, frame: pd.DataFrame) -> None:
    counts = frame.isna().sum()
    missing = [f"'{name}' ({count} rows)" for name, count in counts.items() if count]
    if missing:
        raise ValueError(f"path: '{path}' must have no missing values, got them in {', '.join(missing)}")


def _encode_column(path: Path, column: "pd.Series[Any]") -> tuple[list[NDArray[np.float64]], list[str]]:
    name = str(column.name)
    kind = _kind(path, column)
    if kind == "number":
        return [_finite(path, f"column '{name}'", column.to_numpy(dtype=np.float64))], [name]
    labels = _text(column)
    categories = np.unique(labels)
    if len(categories) > MAX_CATEGORIES:
        raise ValueError(
            f"path: column '{name}' of '{path}' is text with too many distinct values; "
            f"at most {MAX_CATEGORIES} are one-hot encoded, got {len(categories)}"
        )
    columns = [(labels == category).astype(np.float64) for category in categories]
    return columns, [f"{name}={category}" for category in categories]


def _target(path: Path, column: "pd.Series[Any]") -> NDArray[Any]:
    if _kind(path, column) == "text":
        return _text(column)
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.bool_)
    if pd.api.types.is_integer_dtype(column):
        return column.to_numpy(dtype=np.int64)
    return _finite(path, f"column '{column.name}'", column.to_numpy(dtype=np.float64))


def _kind(path: Path, column: "pd.Series[Any]") -> str:
    types = pd.api.types
    if isinstance(column.dtype, pd.CategoricalDtype) or types.is_string_dtype(column):
        return "text"
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return "number"
    got = type(column.iloc[0]).__name__ if column.dtype == object else column.dtype
    raise ValueError(f"path: column '{column.name}' of '{path}' must hold numbers or text, got {got}")


def _text(column: "pd.Series[Any]") -> NDArray[np.str_]:
    return column.to_numpy(dtype=object).astype(np.str_)


def _read_arrays(path: Path, target: str, features: str) -> Table:
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            arrays = {name: file[name] for name in (features, target) if name in names}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"path: '{path}' cannot be read: {error}") from error
    for where, name in (("features", features), ("target", target)):
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
    flat = _finite(path, f"array '{features}'", x.reshape(len(x), -1))
    feature_names = tuple(f"{features}[{','.join(map(str, index))}]" for index in np.ndindex(x.shape[1:]))
    return Table(flat, _finite(path, f"array '{target}'", y), feature_names, f"array '{target}'", x.shape[1:])


def _finite(path: Path, what: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int(np.size(values) - np.count_nonzero(np.isfinite(values)))
        raise ValueError(f"path: {what} of '{path}' must hold finite numbers, got {bad} that are not")
    return values
