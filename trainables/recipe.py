"""Typed hyperparameters and settings of the trainables; importing this imports pydantic and nothing heavier.

A trainable receives one flat dict. Its hyperparameters are described by a ``...Config`` model (what a
search varies), everything else by a ``...Settings`` model (what a search holds fixed: the data).
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
"""The data sets that come with scikit-learn, no download needed."""

Task = Literal["classification", "regression"]
Precision = Literal["float32", "float64"]
Activation = Literal["relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky_relu"]
Pooling = Literal["max", "average"]
Normalization = Literal["none", "batch"]
OptimizerName = Literal["sgd", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
Scaling = Literal["none", "standard", "minmax", "robust"]
Whitening = Literal["none", "pca", "zca"]
Missing = Literal["none", "mean", "median", "most_frequent", "constant", "knn"]
MetricName = Literal["accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss", "rmse", "mae", "r2"]

METRICS: dict[Task, tuple[MetricName, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""The metrics of each task; the first is always computed."""


class Recipe(BaseModel):
    """A frozen model that refuses unknown keys, text for numbers, and values that are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _unwrap_numpy_scalars(cls, values: Any) -> Any:
        # Searchers draw numpy.int64 and numpy.str_, which strict validation takes for foreign types.
        if not isinstance(values, Mapping):
            return values
        return {key: value.item() if _is_numpy_scalar(value) else value for key, value in values.items()}


class SplitSettings(Recipe):
    """What is predicted of the rows, how they are divided, and how predictions are scored."""

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
    """Where the rows come from, and what ``SplitSettings`` says of them."""

    dataset: str | None = Field(None, description="a bundled data set: " + ", ".join(BUNDLED))
    path: str | None = Field(None, description="a .csv, .parquet or .npz file, instead of dataset")
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


class PreprocessingConfig(Recipe):
    """What is done to the features; everything is fitted on the training rows only."""

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


class Seeds(Recipe):
    """``seed`` is the trial's own: weights, order of the rows, dropout. ``sweep_seed`` fixes the splits."""

    seed: int = Field(0, ge=0)
    sweep_seed: int = Field(0, ge=0)


class OptimizerConfig(Recipe):
    """The optimizer and its hyperparameters."""

    optimizer: OptimizerName = Field("adam", description="update rule")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float = Field(
        0.9, ge=0, lt=1, description="momentum of sgd, nesterov and rmsprop; unused by the rest"
    )
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty; decoupled from the gradient in adamw")


class TrainingConfig(OptimizerConfig, PreprocessingConfig):
    """What every network trained by minibatches has."""

    batch_size: int = Field(64, ge=1, description="rows per update")


class MLPConfig(TrainingConfig):
    """Hyperparameters of a feed-forward network."""

    hidden: int = Field(64, ge=1, description="units per hidden layer")
    depth: int = Field(1, ge=0, description="hidden layers; 0 is a linear model")
    activation: Activation = Field("relu", description="nonlinearity after each hidden layer")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping a hidden unit's output")


class CNNConfig(TrainingConfig):
    """Hyperparameters of a small convolutional network."""

    channels: int = Field(16, ge=1, description="channels of the first block, doubled in each further one")
    blocks: int = Field(2, ge=1, description="blocks of convolution, normalization, activation and pooling")
    whitening: Literal["none", "zca"] = Field("none", description="of the pixels, which stay an image")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="height and width of the convolutions, in pixels")
    pooling: Pooling = Field(
        "max", description="how a block halves the image; blocks that find a side below 4 pixels do not pool"
    )
    normalization: Normalization = Field("none", description="normalization after each convolution")
    activation: Activation = Field("relu", description="nonlinearity of each block")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping an input of the last layer")


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], values: Mapping[str, Any], *, where: str) -> M:
    """Build ``model`` from ``values``.

    Raises ValueError with one line per mistake: *where: what is wrong; what must hold, got value*.
    ``where`` names the place of an unknown key; a field's own mistake is named by the field.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = [_sentence(detail, model, where) for detail in error.errors(include_url=False)]
        raise ValueError("\n".join(sentences)) from None


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` with the nearest known spelling, else the list of what is known."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"must be one of {', '.join(known)}"


def _sentence(detail: ErrorDetails, model: type[BaseModel], where: str) -> str:
    field = ".".join(map(str, detail["loc"]))
    context = detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key '{field}'; {did_you_mean(field, model.model_fields)}"
    if detail["type"] == "literal_error":
        known = [part.strip(" '") for part in context["expected"].replace(" or ", ", ").split(",")]
        return f"{field}: unknown value {detail['input']!r}; {did_you_mean(detail['input'], known)}"
    if "error" in context:
        return f"{field}: {context['error']}" if field else str(context["error"])
    return f"{field}: {detail['msg'].replace('Input should', 'must')}, got {detail['input']!r}"


def _is_numpy_scalar(value: object) -> bool:
    return type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
