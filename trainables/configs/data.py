"""Settings of the data: the source of the rows, their division, preprocessing and metrics."""

from typing import Any, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from trainables.configs.strict import StrictModel, did_you_mean

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""The data sets that scikit-learn includes. They need no download."""

Task = Literal["classification", "regression"]
Precision = Literal["float32", "float64"]
Strategy = Literal["ddp", "fsdp"]
Scaling = Literal["none", "standard", "minmax", "robust"]
Whitening = Literal["none", "pca", "zca"]
Missing = Literal["none", "mean", "median", "most_frequent", "constant", "knn"]
MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "rmse", "mae", "r2"]

METRICS: dict[Task, tuple[MetricName, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""Task -> its metrics. The first is always computed."""


class SplitSettings(StrictModel):
    """The task, the division of the rows, and the metrics."""

    task: Task | None = Field(
        None,
        description="the task; if not given, classification for text, categories, booleans or at most 20 "
        "integers, else regression",
    )
    validation: float = Field(0.2, gt=0, lt=1, description="fraction of all rows that trials are scored on")
    test: float = Field(0.2, ge=0, lt=1, description="fraction of all rows that the search never uses")
    split_seed: int | None = Field(
        None, ge=0, description="seed of the division of the rows; if not given, the sweep's seed"
    )
    division: int = Field(
        0, ge=0, description="number of the division of all rows except the test rows, such as 0 or 1"
    )
    refit: int = Field(
        0,
        ge=0,
        description="if above 0: train on all rows except the test rows for this number of iterations, then "
        "score on the test rows",
    )
    precision: Precision = Field("float32", description="floating-point type of the data and the model")
    metrics: tuple[MetricName, ...] = Field(
        (), description="further metrics on the validation rows: " + ", ".join(get_args(MetricName))
    )

    @field_validator("metrics", mode="before")
    @classmethod
    def _list_to_tuple(cls, names: Any) -> Any:
        return tuple(names) if isinstance(names, list) else names

    @model_validator(mode="after")
    def _rows_are_left(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                "validation: validation + test must be below 1 to leave rows for training, "
                f"got {self.validation} + {self.test}"
            )
        if self.refit and not self.test:
            raise ValueError("test: must be above 0 with refit, which scores on the test rows; got 0")
        return self


class StrategySettings(SplitSettings):
    """Everything in ``SplitSettings``, and how several processes train one network."""

    strategy: Strategy = Field(
        "ddp",
        description="for trials of several processes: each holds a copy of the network (ddp), or a part of "
        "each parameter, its gradient and its optimizer's state (fsdp)",
    )


class DataSettings(SplitSettings):
    """The source of the rows, and everything in ``SplitSettings``."""

    dataset: str | None = Field(None, description="a bundled data set: " + ", ".join(BUNDLED))
    path: str | None = Field(
        None,
        description="a .csv, .parquet or .npz file; give this or dataset",
        json_schema_extra={"lookup": "file"},
    )
    target: str | None = Field(
        None, description="column to predict; in an NPZ file the array of targets ('y' if not given)"
    )
    features: str | None = Field(None, description="array of features in an NPZ file ('X' if not given)")

    group_by: str | None = Field(
        None,
        description="column, or array in an NPZ file: rows with the same value stay in one part; it is no "
        "feature",
    )
    time: str | bool = Field(
        False,
        description="column, or array in an NPZ file, that orders the rows, or true for their order in the "
        "file: validation rows then follow training rows, and test rows follow both; it is no feature",
    )

    @field_validator("dataset")
    @classmethod
    def _is_bundled(cls, name: str | None) -> str | None:
        if name is not None and name not in BUNDLED:
            is_file = name.endswith((".csv", ".parquet", ".npz"))
            remedy = f"write path: {name}" if is_file else did_you_mean(name, BUNDLED)
            raise ValueError(f"unknown data set '{name}'; {remedy}")
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
            raise ValueError(f"target: data set '{self.dataset}' has its own; remove it, got '{self.target}'")
        if self.path is not None and not self.path.endswith(".npz"):
            if self.target is None:
                raise ValueError("target: must name the column to predict, got nothing")
            if self.features is not None:
                raise ValueError(f"features: only an NPZ file has feature arrays, got '{self.features}'")
        if self.dataset is not None and self.features is not None:
            raise ValueError(f"features: only an NPZ file has feature arrays, got '{self.features}'")
        return self

    @model_validator(mode="after")
    def _roles_are_distinct(self) -> Self:
        roles = self.roles()
        if self.dataset is not None and roles:
            name = next(iter(roles))
            raise ValueError(f"{name}: data set '{self.dataset}' has no such column, got '{roles[name]}'")
        if self.group_by is not None and self.time:
            raise ValueError("group_by: must be left out if the rows are divided by time")
        taken = {self.target: "target"} if self.target is not None else {}
        for name, column in roles.items():
            if column in taken:
                raise ValueError(f"{name}: '{column}' is already the {taken[column]}")
            taken[column] = name
        return self

    def roles(self) -> dict[str, str]:
        """Return the columns that are neither features nor the target, by the setting that names them."""
        named = {name: getattr(self, name, None) for name in ("group_by", "time", "sample_weight")}
        return {name: column for name, column in named.items() if isinstance(column, str)}


class NetworkSettings(DataSettings, StrategySettings):
    """The source of the rows, and everything in ``StrategySettings``."""


class PreprocessingConfig(StrictModel):
    """Preprocessing of the features. Every step is fitted on the training rows only."""

    outliers: Literal["none", "clip", "remove"] = Field(
        "none", description="numbers out of bounds: clip moves them to the bound, remove drops training rows"
    )
    outlier_rule: Literal["iqr", "zscore"] = Field(
        "iqr",
        description="bounds: interquartile ranges beyond the quartiles, or standard deviations from the mean",
    )
    outlier_limit: float | None = Field(
        None, gt=0, description="number of ranges or deviations; if not given, 1.5 for iqr, 3 for zscore"
    )
    missing: Missing = Field("none", description="how missing values are filled; none: refuse them")
    missing_value: float = Field(0.0, description="value that constant fills in; text gets its own category")
    missing_neighbors: int = Field(5, ge=1, description="number of training rows whose mean knn fills in")
    scaling: Scaling = Field("standard", description="scaling of each number column")
    whitening: Whitening = Field("none", description="rotation of the scaled numbers to unit covariance")
    whitening_variance: float = Field(1.0, gt=0, le=1, description="share of the variance that pca keeps")


class Seeds(StrictModel):
    """The seeds that a trial receives."""

    seed: int = Field(0, ge=0)
    """The trial's own seed: weights, order of the rows, dropout."""

    sweep_seed: int = Field(0, ge=0)
    """The sweep's seed, which fixes the splits."""
