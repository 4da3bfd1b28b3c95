"""``Preprocessing``: the fitted map from raw columns to a model's features, as plain arrays.

The steps on number columns are outliers, missing values, scaling and whitening, in this order. Text columns
are one-hot encoded. scikit-learn fits the steps where it has them. ``transform`` needs NumPy only, except for
``missing: knn``, so that an exported model contains no pickled objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.configs import PreprocessingConfig
from trainables.data.tables import MISSING, Columns

_USUAL_LIMIT = {"iqr": 1.5, "zscore": 3.0}
"""The default ``outlier_limit``: Tukey's fences, and three standard deviations."""

_NO_VARIANCE = 1e-10
"""Directions with a smaller share of the largest variance are rounding errors, so they are dropped."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Maps raw rows to features. The d_n number columns come first, then the d_c text columns."""

    config: PreprocessingConfig
    columns: Columns
    kept: tuple[tuple[int, ...], ...] = ()
    """The codes with a one-hot feature, for each text column."""

    arrays: Mapping[str, Floats] = field(default_factory=dict)
    """Fitted arrays by name:

    - ``lower`` and ``upper`` (d_n): the bounds of ``clip``.
    - ``fill`` (d_n): values for missing numbers. For ``knn`` instead ``donors`` (training rows x d_n,
      standardised by ``donor_mean`` and ``donor_scale``).
    - ``center`` and ``scale`` (d_n), then ``offset`` (d_n) and ``directions`` (d_n x features): the number
      features are ``((x - center) / scale - offset) @ directions``.
    - ``fallback`` (d_c): the code that replaces a missing category.
    """

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features. Components of a PCA are numbered from 1."""
        numbers = self.columns.numbers
        if self.config.whitening == "pca" and "directions" in self.arrays:
            numbers = tuple(f"component {i + 1}" for i in range(self.arrays["directions"].shape[1]))
        encoded = (
            f"{name}={'(missing)' if code == MISSING else vocabulary[code]}"
            for name, vocabulary, codes in zip(
                self.columns.categories, self.columns.vocabularies, self.kept, strict=True
            )
            for code in codes
        )
        return (*numbers, *encoded)

    def transform(self, numbers: NDArray[Any], codes: NDArray[np.int32]) -> Floats:
        """Return the features n x d of rows. Raises ValueError for a missing value if ``missing`` is none."""
        x = numbers.astype(np.float64)
        if self.config.missing == "none":
            self._refuse_missing(x, codes)
        if self.config.outliers == "clip":
            x = np.clip(x, self.arrays["lower"], self.arrays["upper"])
        x = self._fill_missing(x)
        x -= self.arrays["center"]
        x /= self.arrays["scale"]
        if "directions" in self.arrays:
            x = (x - self.arrays["offset"]) @ self.arrays["directions"]
        return np.concatenate([x, *self._encode(codes)], axis=1) if self.kept else x

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the arrays, JSON-ready."""
        return {
            "config": self.config.model_dump(mode="json"),
            "numbers": list(self.columns.numbers),
            "categories": list(self.columns.categories),
            "vocabularies": [list(vocabulary) for vocabulary in self.columns.vocabularies],
            "kept": [list(codes) for codes in self.kept],
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Preprocessing:
        """Rebuild an object from the results of ``to_dict`` and ``arrays``."""
        columns = Columns(
            tuple(parts["numbers"]),
            tuple(parts["categories"]),
            tuple(tuple(vocabulary) for vocabulary in parts["vocabularies"]),
        )
        kept = tuple(tuple(codes) for codes in parts["kept"])
        return cls(PreprocessingConfig(**parts["config"]), columns, kept, dict(arrays))

    def _refuse_missing(self, x: Floats, codes: NDArray[np.int32]) -> None:
        gaps = np.concatenate([np.isnan(x).any(axis=0), (codes == MISSING).any(axis=0)])
        names = [f"'{name}'" for name, gap in zip(self.columns.names, gaps, strict=True) if gap]
        if names:
            raise ValueError(
                f"missing: must not be 'none' if values are missing, got gaps in {', '.join(names)}"
            )

    def _fill_missing(self, x: Floats) -> Floats:
        gaps = np.isnan(x)
        if not gaps.any():
            return x
        if "donors" in self.arrays:
            rows = gaps.any(axis=1)
            x[rows] = self._from_neighbors(x[rows])
            return x
        return np.where(gaps, self.arrays["fill"], x)

    def _from_neighbors(self, x: Floats) -> Floats:
        from sklearn.impute import KNNImputer

        mean, scale = self.arrays["donor_mean"], self.arrays["donor_scale"]
        imputer = KNNImputer(n_neighbors=self.config.missing_neighbors, keep_empty_features=True)
        imputer.fit(self.arrays["donors"])
        filled: Floats = imputer.transform((x - mean) / scale) * scale + mean
        return np.where(np.isnan(x), filled, x)

    def _encode(self, codes: NDArray[np.int32]) -> list[Floats]:
        if self.config.missing != "constant":
            codes = np.where(codes == MISSING, self.arrays["fallback"].astype(np.int32), codes)
        return [
            (codes[:, [column]] == np.array(kept, dtype=np.int32)).astype(np.float64)
            for column, kept in enumerate(self.kept)
        ]


def relevant(config: PreprocessingConfig) -> PreprocessingConfig:
    """Return the preprocessing part of a config, with unused settings at their defaults.

    Equal results mean equal preprocessing.
    """
    own = {name: getattr(config, name) for name in PreprocessingConfig.model_fields}
    unused = {
        "outliers": {"outlier_rule", "outlier_limit"} if config.outliers == "none" else set(),
        "constant": {"missing_value"} if config.missing != "constant" else set(),
        "knn": {"missing_neighbors"} if config.missing != "knn" else set(),
        "pca": {"whitening_variance"} if config.whitening != "pca" else set(),
    }
    return PreprocessingConfig(
        **{name: value for name, value in own.items() if name not in set().union(*unused.values())}
    )


def within_bounds(config: PreprocessingConfig, numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a mask of the training rows to keep: with ``outliers: remove`` those within bounds, else all."""
    if config.outliers != "remove":
        return np.ones(len(numbers), dtype=np.bool_)
    lower, upper = _bounds(config, numbers.astype(np.float64))
    outside: NDArray[np.bool_] = np.any((numbers < lower) | (numbers > upper), axis=1)
    return ~outside


def fit(
    config: PreprocessingConfig, columns: Columns, numbers: NDArray[Any], codes: NDArray[np.int32]
) -> Preprocessing:
    """Fit to training rows within bounds: ``numbers`` n x d_n, ``codes`` n x d_c."""
    x = numbers.astype(np.float64)
    arrays: dict[str, Floats] = {}
    if config.outliers == "clip":
        arrays["lower"], arrays["upper"] = _bounds(config, x)
    kept: tuple[tuple[int, ...], ...] = ()
    if columns.categories:
        arrays["fallback"] = _most_frequent(codes)
        kept = _categories(config, codes, arrays["fallback"])
    empty = Preprocessing(config, columns, kept, arrays)
    if config.outliers == "clip":
        x = np.clip(x, arrays["lower"], arrays["upper"])
    if config.missing != "none":
        arrays.update(_fit_missing(config, x))
    x = empty._fill_missing(x)
    arrays["center"], arrays["scale"] = _fit_scaling(config, x)
    if config.whitening != "none" and x.shape[1]:
        arrays.update(_fit_whitening(config, (x - arrays["center"]) / arrays["scale"]))
    return empty


def _bounds(config: PreprocessingConfig, x: Floats) -> tuple[Floats, Floats]:
    """Return the lower and upper bounds of each column (d_n). A constant column is unbounded."""
    limit = config.outlier_limit or _USUAL_LIMIT[config.outlier_rule]
    if not x.shape[1]:
        return np.empty(0), np.empty(0)
    if config.outlier_rule == "iqr":
        lower, upper = np.nanquantile(_without_empty(x), [0.25, 0.75], axis=0)
    else:
        filled = _without_empty(x)
        lower = upper = np.nanmean(filled, axis=0)
    spread = upper - lower if config.outlier_rule == "iqr" else np.nanstd(_without_empty(x), axis=0)
    unbounded = np.where(spread > 0, 0.0, np.inf)
    return lower - limit * spread - unbounded, upper + limit * spread + unbounded


def _without_empty(x: Floats) -> Floats:
    """Replace columns without any value by zeros, so that NumPy does not warn about them."""
    return np.where(np.isnan(x).all(axis=0), 0.0, x)


def _fit_missing(config: PreprocessingConfig, x: Floats) -> dict[str, Floats]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler

    if not x.shape[1]:
        return {"fill": np.empty(0)}
    if config.missing == "knn":  # distances are in standard deviations, independent of the columns' units
        scaler = StandardScaler().fit(_without_empty(x))
        mean, scale = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
        return {"donors": (x - mean) / scale, "donor_mean": mean, "donor_scale": scale}
    imputer = SimpleImputer(
        strategy=config.missing, fill_value=config.missing_value, keep_empty_features=True
    ).fit(x)
    return {"fill": np.asarray(imputer.statistics_, dtype=np.float64)}


def _fit_scaling(config: PreprocessingConfig, x: Floats) -> tuple[Floats, Floats]:
    """Return the center and scale of each column (d_n). A constant column becomes 0."""
    width = x.shape[1]
    if config.scaling == "none" or not width:
        return np.zeros(width), np.ones(width)
    if config.scaling == "standard":
        # The same as scikit-learn's StandardScaler, without its import: every worker runs this.
        center, spread = x.mean(axis=0), x.std(axis=0)
        # A division by a constant column's rounding error would blow it up.
        constant = spread <= 1e-12 * np.maximum(np.abs(center), 1e-300)
        return center, np.where(constant, 1.0, spread)
    from sklearn.preprocessing import MinMaxScaler, RobustScaler

    if config.scaling == "minmax":
        scaler = MinMaxScaler().fit(x)
        return np.asarray(scaler.data_min_), 1 / np.asarray(scaler.scale_)
    robust = RobustScaler().fit(x)
    return np.asarray(robust.center_), np.asarray(robust.scale_)


def _fit_whitening(config: PreprocessingConfig, x: Floats) -> dict[str, Floats]:
    """Return the offset (d_n) and the directions (d_n x features).

    The directions are eigenvectors scaled to unit variance (PCA), for ZCA rotated back to the columns.
    """
    from sklearn.decomposition import PCA

    some = config.whitening == "pca" and config.whitening_variance < 1
    pca = PCA(n_components=config.whitening_variance if some else None, svd_solver="full").fit(x)
    variance, components = np.asarray(pca.explained_variance_), np.asarray(pca.components_)
    used = variance > _NO_VARIANCE * variance.max(initial=0.0)
    if not used.any():
        raise ValueError("whitening: the number columns must vary over the training rows, got constant ones")
    variance, components = variance[used], components[used]
    directions = components.T / np.sqrt(variance)
    if config.whitening == "zca":
        directions = directions @ components
    return {"offset": np.asarray(pca.mean_), "directions": directions}


def _most_frequent(codes: NDArray[np.int32]) -> Floats:
    """Return the most frequent code of each column, the smallest of ties; ``MISSING`` for an empty column."""
    present = [column[column != MISSING] for column in codes.T]
    return np.array(
        [np.bincount(column).argmax() if len(column) else MISSING for column in present], dtype=np.float64
    )


def _categories(
    config: PreprocessingConfig, codes: NDArray[np.int32], fallback: Floats
) -> tuple[tuple[int, ...], ...]:
    """Return the codes that occur in the training rows, for each column."""
    from sklearn.preprocessing import OneHotEncoder

    if config.missing != "constant":
        codes = np.where(codes == MISSING, fallback.astype(np.int32), codes)
    encoder = OneHotEncoder(handle_unknown="ignore").fit(codes)
    return tuple(tuple(int(code) for code in categories) for categories in encoder.categories_)
