"""The rows of a data set as an estimator's input: a data frame or an array, with or without gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from trainables.configs import PreprocessingConfig
from trainables.data.datasets import Dataset, Part
from trainables.data.preprocessing import relevant
from trainables.data.sources import Source
from trainables.data.tables import MISSING, RawTable

Form = Literal["raw", "encoded", "array"]


class FitRows(NamedTuple):
    """Rows to fit to, or to score on."""

    features: Any
    targets: NDArray[Any]
    """Class numbers, or values."""
    weights: NDArray[Any] | None = None
    """One per row; ``None``: all rows count the same."""


@dataclass(frozen=True, eq=False)
class EstimatorRows:
    """The rows of a source in one form. Missing values remain if there is no preprocessing."""

    source: Source
    config: PreprocessingConfig
    """Preprocessing before the estimator's own."""

    form: Form
    """``raw``: a data frame with the original columns; ``encoded``: one with one-hot encoded text columns;
    ``array``: the same as an array n x d."""

    @classmethod
    def of(
        cls, estimator: Any, source: Source, config: PreprocessingConfig, wish: Form | Literal["auto"]
    ) -> EstimatorRows:
        """Return rows in the form ``wish``; ``auto`` selects what suits the estimator."""
        return cls(source, config, _suiting(estimator, source.table) if wish == "auto" else wish)

    @property
    def with_gaps(self) -> bool:
        """Whether the estimator receives missing values."""
        return bool(self.source.table.missing) and self._is_untouched

    @property
    def fitted_config(self) -> PreprocessingConfig:
        """The preprocessing to fit. It fills gaps even if the estimator receives the gaps themselves."""
        return self.config.model_copy(update={"missing": "constant"}) if self.with_gaps else self.config

    def features(self, dataset: Dataset, part: Part) -> Any:
        """Return the features of a part's rows."""
        table = self.source.table
        if self.form == "raw":
            frame = frame_of(table, part.rows)
            return frame if self._is_untouched else self._preprocess(dataset, part, frame)
        if self.with_gaps:
            return self._encoded_with_gaps(part)
        if self.form == "encoded":
            return pd.DataFrame(part.features, columns=list(dataset.feature_names))
        return part.features

    @property
    def _is_untouched(self) -> bool:
        nothing = {"outliers": "none", "missing": "none", "scaling": "none", "whitening": "none"}
        config = relevant(self.config)
        return all(getattr(config, name) == value for name, value in nothing.items())

    def _preprocess(self, dataset: Dataset, part: Part, frame: pd.DataFrame) -> pd.DataFrame:
        """Return ``frame`` with preprocessed numbers and unchanged text."""
        categories = self.source.table.columns.categories
        encoded = sum(map(len, dataset.preprocessing.kept))
        numeric = list(dataset.feature_names)[: len(dataset.feature_names) - encoded]
        numbers = pd.DataFrame(part.features[:, : len(numeric)], columns=numeric)
        whole = pd.concat([numbers, frame[list(categories)]], axis=1)
        return whole[
            [name for name in frame if name in whole] if set(numeric) <= set(frame) else whole.columns
        ]

    def _encoded_with_gaps(self, part: Part) -> Any:
        """Return unchanged numbers and one-hot encoded text. A missing text is 0 in all its columns."""
        table = self.source.table
        columns = {name: table.numbers[part.rows, i] for i, name in enumerate(table.columns.numbers)}
        for i, name in enumerate(table.columns.categories):
            for code, label in enumerate(table.columns.vocabularies[i]):
                columns[f"{name}={label}"] = (table.codes[part.rows, i] == code).astype(np.float64)
        frame = pd.DataFrame(columns).astype(part.features.dtype)
        return frame if self.form == "encoded" else frame.to_numpy()


def frame_of(table: RawTable, rows: Any) -> pd.DataFrame:
    """Return rows as a data frame with the original columns, order and types."""
    columns: dict[str, Any] = {}
    for i, name in enumerate(table.columns.numbers):
        columns[name] = pd.Series(table.numbers[rows, i])
    for i, name in enumerate(table.columns.categories):
        labels = np.array([*table.columns.vocabularies[i], np.nan], dtype=object)
        codes = table.codes[rows, i]
        columns[name] = pd.Series(labels[np.where(codes == MISSING, len(labels) - 1, codes)], dtype=object)
    if table.types is None:
        return pd.DataFrame(columns)
    return pd.DataFrame({name: _convert_type(columns[name], own) for name, own in table.types.items()})


def takes_gaps(estimator: Any) -> bool:
    """Return whether an estimator may receive missing values. Only scikit-learn's own can rule it out."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    for step in steps:
        module = type(step).__module__
        if isinstance(step, ColumnTransformer) or module.startswith("sklearn.impute"):
            return True  # later steps receive the output of this one
        if isinstance(step, str) or step is None or isinstance(step, Pipeline):
            if isinstance(step, Pipeline) and not takes_gaps(step):
                return False
        elif module.startswith("sklearn.") and not get_tags(step).input_tags.allow_nan:
            return False
    return True


def _suiting(estimator: Any, table: RawTable) -> Form:
    parts = [estimator, *estimator.get_params(deep=True).values()]
    if any(isinstance(part, ColumnTransformer) or _encodes_text(part) for part in parts):
        return "raw"
    last = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    # skorch passes the columns of a data frame as arguments of the module.
    takes_arrays = any(base.__module__.startswith("skorch.") for base in type(last).__mro__)
    if table.types is None or takes_arrays:
        return "array"
    return "encoded" if table.columns.categories else "raw"


def _encodes_text(part: Any) -> bool:
    if isinstance(part, type) or not hasattr(part, "__sklearn_tags__"):
        return False
    if type(part).__module__.startswith("catboost."):  # it encodes the columns that its parameter names
        return bool(part.get_params().get("cat_features"))
    tags = get_tags(part).input_tags
    return bool(tags.categorical or tags.string)


def _convert_type(column: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    """Return the column in its original type."""
    if isinstance(dtype, pd.CategoricalDtype):
        by_name = {str(category): category for category in dtype.categories}
        return column.map(by_name).astype(dtype)
    return column.astype(dtype)
