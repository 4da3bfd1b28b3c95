"""The rows of a data set as an estimator takes them: a data frame or an array, with or without gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from trainables.configs import PreprocessingConfig
from trainables.data.datasets import Dataset, Part
from trainables.data.preprocessing import relevant
from trainables.data.sources import Source
from trainables.data.tables import MISSING, RawTable

Form = Literal["raw", "encoded", "array"]


@dataclass(frozen=True, eq=False)
class EstimatorRows:
    """The rows of ``source`` in one form; ``config``: the preprocessing before the estimator's own.

    ``raw``: a data frame with the columns of the data set; ``encoded``: one whose text columns are one-hot
    encoded; ``array``: the same as an array n x d. Missing values stay where nothing is preprocessed.
    """

    source: Source
    config: PreprocessingConfig
    form: Form

    @classmethod
    def of(
        cls, estimator: Any, source: Source, config: PreprocessingConfig, wish: Form | Literal["auto"]
    ) -> EstimatorRows:
        """As ``wish`` says, or as suits the estimator."""
        return cls(source, config, _suiting(estimator, source.table) if wish == "auto" else wish)

    @property
    def with_gaps(self) -> bool:
        """Whether the estimator gets missing values."""
        return bool(self.source.table.missing) and self._untouched

    @property
    def fitted_config(self) -> PreprocessingConfig:
        """The preprocessing to fit: what is filled here is not what the estimator gets."""
        return self.config.model_copy(update={"missing": "constant"}) if self.with_gaps else self.config

    def features(self, dataset: Dataset, part: Part) -> Any:
        """The features of a part's rows."""
        table = self.source.table
        if self.form == "raw":
            frame = frame_of(table, part.rows)
            return frame if self._untouched else self._preprocessed(dataset, part, frame)
        if self.with_gaps:
            return self._encoded_with_gaps(part)
        if self.form == "encoded":
            return pd.DataFrame(part.features, columns=list(dataset.feature_names))
        return part.features

    @property
    def _untouched(self) -> bool:
        nothing = {"outliers": "none", "missing": "none", "scaling": "none", "whitening": "none"}
        config = relevant(self.config)
        return all(getattr(config, name) == value for name, value in nothing.items())

    def _preprocessed(self, dataset: Dataset, part: Part, frame: pd.DataFrame) -> pd.DataFrame:
        """``frame`` with its numbers preprocessed and its text as it is."""
        categories = self.source.table.columns.categories
        encoded = sum(map(len, dataset.preprocessing.kept))
        own = list(dataset.feature_names)[: len(dataset.feature_names) - encoded]
        numbers = pd.DataFrame(part.features[:, : len(own)], columns=own)
        whole = pd.concat([numbers, frame[list(categories)]], axis=1)
        return whole[[name for name in frame if name in whole] if set(own) <= set(frame) else whole.columns]

    def _encoded_with_gaps(self, part: Part) -> Any:
        """Numbers as they are; of a text column 0 or 1 for each of its values, all 0 where it is missing."""
        table = self.source.table
        columns = {name: table.numbers[part.rows, i] for i, name in enumerate(table.columns.numbers)}
        for i, name in enumerate(table.columns.categories):
            for code, label in enumerate(table.columns.vocabularies[i]):
                columns[f"{name}={label}"] = (table.codes[part.rows, i] == code).astype(np.float64)
        frame = pd.DataFrame(columns).astype(part.features.dtype)
        return frame if self.form == "encoded" else frame.to_numpy()


def frame_of(table: RawTable, rows: Any) -> pd.DataFrame:
    """Rows as a data frame, with the columns, order and types that the data set had."""
    columns: dict[str, Any] = {}
    for i, name in enumerate(table.columns.numbers):
        columns[name] = pd.Series(table.numbers[rows, i])
    for i, name in enumerate(table.columns.categories):
        labels = np.array([*table.columns.vocabularies[i], np.nan], dtype=object)
        codes = table.codes[rows, i]
        columns[name] = pd.Series(labels[np.where(codes == MISSING, len(labels) - 1, codes)], dtype=object)
    if table.types is None:
        return pd.DataFrame(columns)
    return pd.DataFrame({name: _typed(columns[name], own) for name, own in table.types.items()})


def takes_gaps(estimator: Any) -> bool:
    """Whether an estimator may get missing values; only scikit-learn's own are known not to take them."""
    steps = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    for step in steps:
        module = type(step).__module__
        if isinstance(step, ColumnTransformer) or module.startswith("sklearn.impute"):
            return True  # what comes after it gets what it makes of the gaps
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
    # skorch takes the columns of a data frame for arguments of the module.
    takes_arrays = any(base.__module__.startswith("skorch.") for base in type(last).__mro__)
    if table.types is None or takes_arrays:
        return "array"
    return "encoded" if table.columns.categories else "raw"


def _encodes_text(part: Any) -> bool:
    if isinstance(part, type) or not hasattr(part, "__sklearn_tags__"):
        return False
    tags = get_tags(part).input_tags
    return bool(tags.categorical or tags.string)


def _typed(column: pd.Series[Any], own: Any) -> pd.Series[Any]:
    """The column in the type that the data set had."""
    if isinstance(own, pd.CategoricalDtype):
        by_name = {str(category): category for category in own.categories}
        return column.map(by_name).astype(own)
    return column.astype(own)
