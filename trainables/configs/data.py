"""Settings of the data: where rows come from, how they are divided, preprocessed and scored."""

from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from trainables.configs.strict import StrictModel, did_you_mean

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""The data sets that come with scikit-learn, no download needed."""

Task = Literal["classification", "regression"]
Precision = Literal["float32", "float64"]
Scaling = Literal["none", "standard", "minmax", "robust"]
Whitening = Literal["none", "pca", "zca"]
Missing = Literal["none", "mean", "median", "most_frequent", "constant", "knn"]
MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "rmse", "mae", "r2"]

METRICS: dict[Task, tuple[MetricName, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""The metrics of each task; the first is always computed."""


class SplitSettings(StrictModel):
    """The task, the division of the rows, and the metrics."""

    task: Task | None = Field(
        None,
        description="if not given: classification for text, categories, booleans, at most 20 integers",
    )
    validation: float = Field(
        0.2, gt=0, lt=1, description="fraction of all rows that the search is judged on"
    )
    test: float = Field(0.2, ge=0, lt=1, description="fraction of all rows kept apart from the search")
    split_seed: int | None = Field(
        None, ge=0, description="of the division of the rows (the sweep's if not given)"
    )
    division: int = Field(
        0, ge=0, description="which division of all but the test rows: 0, or the number of another one"
    )
    refit: int = Field(
        0,
        ge=0,
        description="above 0: so many iterations on all but the test rows, then a score on those",
    )
    precision: Precision = Field("float32", description="floating-point type of the data and the model")
    metrics: tuple[MetricName, ...] = Field(
        (), description="further metrics of the validation rows: " + ", ".join(get_args(MetricName))
    )

    @field_validator("metrics", mode="before")
    @classmethod
    def _may_be_a_list(cls, names: Any) -> Any:
        return tuple(names) if isinstance(names, list) else names

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation: validation + test must be below 1 so that rows are left for training, "
                f"got {self.validation} + {self.test}"
            )
        if self.refit and not self.test:
            raise ValueError("test: must be above 0, or there are no rows to score on; got 0")
        return self


class DataSettings(SplitSettings):
    """The source of the rows, and their ``SplitSettings``."""

    dataset: str | None = Field(None, description="a bundled data set: " + ", ".join(BUNDLED))
    path: str | None = Field(
        None,
        description="a .csv, .parquet or .npz file, instead of dataset",
        json_schema_extra={"lookup": "file"},
    )
    target: str | None = Field(
        None, description="column to predict; in an NPZ file the array of targets (there 'y' if not given)"
    )
    features: str | None = Field(None, description="array of features in an NPZ file ('X' if not given)")

    @field_validator("dataset")
    @classmethod
    def _is_bundled(cls, name: str | None) -> str | None:
        if name is not None and name not in BUNDLED:
            raise ValueError(f"unknown data set '{name}'; {did_you_mean(name, BUNDLED)}")
        return name

    @field_validator("path")
    @classmethod
    def _has_a_known_suffix(cls, path: str | None) -> str | None:
        if path is not None and not path.endswith((".csv", ".parquet", ".npz")):
            raise ValueError(f"unknown kind of file; must end in .csv, .parquet or .npz, got '{path}'")
        return path

    @model_validator(mode="after")
    def _source_is_one(self) -> Self:
        if (self.dataset is None) == (self.path is None):
            got = "neither" if self.dataset is None else "both"
            raise ValueError(f"dataset: exactly one of dataset and path must be given, got {got}")
        if self.dataset is not None and self.target is not None:
            raise ValueError(f"target: data set '{self.dataset}' brings its own; got '{self.target}'")
        if self.path is not None and not self.path.endswith(".npz"):
            if self.target is None:
                raise ValueError("target: must name the column to predict, got nothing")
            if self.features is not None:
                raise ValueError(f"features: names an array of an NPZ file only, got '{self.features}'")
        if self.dataset is not None and self.features is not None:
            raise ValueError(f"features: names an array of an NPZ file only, got '{self.features}'")
        return self


class PreprocessingConfig(StrictModel):
    """Preprocessing of the features; everything is fitted on the training rows only."""

    outliers: Literal["none", "clip", "remove"] = Field(
        "none", description="numbers out of bounds: moved to the bound, or their training rows left out"
    )
    outlier_rule: Literal["iqr", "zscore"] = Field(
        "iqr",
        description="bounds: so many interquartile ranges beyond the quartiles, or deviations from the mean",
    )
    outlier_limit: float | None = Field(
        None, gt=0, description="how many (if not given: 1.5 of iqr, 3 of zscore)"
    )
    missing: Missing = Field("none", description="how missing values are filled; none: there must be none")
    missing_value: float = Field(0.0, description="what constant fills in; text gets a category of its own")
    missing_neighbors: int = Field(5, ge=1, description="training rows that knn takes the mean of")
    scaling: Scaling = Field("standard", description="scaling of each number column")
    whitening: Whitening = Field("none", description="rotation of the scaled numbers to unit covariance")
    whitening_variance: float = Field(1.0, gt=0, le=1, description="share of the variance that pca keeps")


class Seeds(StrictModel):
    """``seed`` is the trial's own: weights, order of the rows, dropout. ``sweep_seed`` fixes the splits."""

    seed: int = Field(0, ge=0)
    sweep_seed: int = Field(0, ge=0)
