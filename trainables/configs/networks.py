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
Normalization = Literal["none", "batch", "layer", "group", "weight", "local_response"]
Initialization = Literal[
    "default",
    "normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "he_normal",
    "he_uniform",
    "orthogonal",
]
OptimizerName = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
ScheduleName = Literal["constant", "step", "exponential", "inverse_time", "cosine", "plateau"]
MixedPrecision = Literal["none", "bf16", "fp16"]
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


def _names(choices: Any) -> str:
    return ", ".join(get_args(choices))


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
    """The optimizer and its hyperparameters; those that the chosen one has no use for are not looked at."""

    optimizer: OptimizerName = Field("adam", description=f"update rule: {_names(OptimizerName)}")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="of momentum and nesterov (0.9 if not given), sgd and rmsprop (0 if not given)",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean gradient in adam and adamw")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="decay of the mean squared gradient in adam and adamw"
    )
    rho: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="decay of the mean squared gradient in rmsprop (0.99 if not given) and adadelta (0.9)",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description="added to the denominator, from adagrad to adamw; if not given, PyTorch's default",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="L2 penalty within the optimizer; decoupled from the gradient in adamw",
    )


class TrainingConfig(OptimizerConfig, PreprocessingConfig):
    """What every network trained by minibatches has."""

    batch_size: int = Field(64, ge=1, description="rows per update")
    schedule: ScheduleName = Field(
        "constant", description=f"how the learning rate falls from epoch to epoch: {_names(ScheduleName)}"
    )
    decay_factor: float = Field(
        0.5, gt=0, lt=1, description="what step, exponential and plateau multiply the learning rate by"
    )
    decay_epochs: int = Field(
        10,
        ge=1,
        description="epochs until step and exponential have multiplied once, inverse_time has halved, "
        "cosine is at its end",
    )
    min_lr_ratio: float = Field(
        0.0, ge=0, le=1, description="where cosine ends and plateau stops, as a share of lr"
    )
    plateau_patience: int = Field(
        3, ge=0, description="epochs without a lower val_loss that plateau allows before it multiplies"
    )
    warmup: float = Field(
        0.0, ge=0, description="epochs in which the learning rate rises linearly to lr, before the schedule"
    )
    clip_value: float | None = Field(None, gt=0, description="largest absolute value of a gradient's entry")
    clip_norm: float | None = Field(
        None, gt=0, description="largest Euclidean norm of the whole gradient, after clip_value"
    )
    initialization: Initialization = Field(
        "default", description=f"of the weights: {_names(Initialization)}; default is PyTorch's own"
    )
    init_scale: float = Field(
        0.05, gt=0, description="standard deviation of normal, half the width of uniform initialization"
    )
    init_bias: float = Field(
        0.0, description="value that every bias starts from, where an initialization is chosen"
    )
    l1: float = Field(0.0, ge=0, description="penalty per unit of the weights' absolute values")
    l2: float = Field(0.0, ge=0, description="penalty per unit of half the weights' squares")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each target that all classes get alike (classification)"
    )
    noise: float = Field(
        0.0, ge=0, description="standard deviation of the Gaussian noise added to training rows"
    )
    mixup: float = Field(
        0.0,
        ge=0,
        description="alpha of the Beta distribution by which pairs of training rows are mixed; 0: off",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="epochs without a lower val_loss after which the trial ends; if not given: none",
    )
    min_change: float = Field(
        0.0, ge=0, description="by how much val_loss must be lower for patience to begin anew"
    )
    amp: MixedPrecision = Field(
        "none", description="type of the training's matrix products: bf16, or fp16 with loss scaling"
    )
    compile: bool = Field(False, description="whether torch.compile compiles the model")

    def refuse_label_smoothing(self) -> None:
        """Raise ValueError if labels are to be smoothed, where there are none."""
        if self.label_smoothing > 0:
            raise ValueError(
                "label_smoothing: is for classification by cross-entropy; must be 0 for any other loss, "
                f"got {self.label_smoothing}"
            )


class ImageConfig(Recipe):
    """Augmentation of images: each training row is changed anew in each epoch, gaps are filled with 0."""

    shift: int = Field(0, ge=0, description="largest shift of a training image, in pixels, along either side")
    flip: float = Field(0.0, ge=0, le=1, description="probability that a training image is mirrored")
    rotation: float = Field(
        0.0, ge=0, le=180, description="largest rotation of a training image either way, in degrees"
    )
    cutout: int = Field(0, ge=0, description="side of the square cut out of a training image, in pixels")


class MLPConfig(TrainingConfig):
    """Hyperparameters of a feed-forward network."""

    hidden: int = Field(64, ge=1, description="units per hidden layer")
    depth: int = Field(1, ge=0, description="hidden layers; 0 is a linear model")
    activation: Activation = Field(
        "relu", description=f"nonlinearity after each hidden layer: {_names(Activation)}"
    )
    normalization: Normalization = Field(
        "none", description="of each hidden layer: none, batch, layer, group, weight"
    )
    groups: int = Field(4, ge=1, description="groups of group normalization; must divide hidden")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping a hidden unit's output")

    @field_validator("normalization")
    @classmethod
    def _fits_units(cls, name: Normalization) -> Normalization:
        if name == "local_response":
            raise ValueError(
                "local_response compares neighbouring channels, and units have no neighbours; "
                "must be one of none, batch, layer, group, weight, got 'local_response'"
            )
        return name

    @model_validator(mode="after")
    def _groups_divide(self) -> "MLPConfig":
        _refuse_uneven_groups(self.normalization, self.groups, self.hidden, "hidden")
        return self


class CNNConfig(TrainingConfig, ImageConfig):
    """Hyperparameters of a small convolutional network."""

    channels: int = Field(16, ge=1, description="channels of the first block, doubled in each further one")
    blocks: int = Field(2, ge=1, description="blocks of convolution, normalization, activation and pooling")
    whitening: Literal["none", "zca"] = Field("none", description="of the pixels, which stay an image")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="height and width of the convolutions, in pixels")
    pooling: Pooling = Field(
        "max",
        description="how a block halves the image: max, average; blocks leave sides below 4 pixels",
    )
    normalization: Normalization = Field(
        "none", description=f"after each convolution: {_names(Normalization)}"
    )
    groups: int = Field(4, ge=1, description="groups of group normalization; must divide channels")
    activation: Activation = Field("relu", description=f"nonlinearity of each block: {_names(Activation)}")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability of dropping an input of the last layer")

    @model_validator(mode="after")
    def _groups_divide(self) -> "CNNConfig":
        _refuse_uneven_groups(self.normalization, self.groups, self.channels, "channels")
        return self


class TransformerConfig(TrainingConfig):
    """Hyperparameters of a small transformer encoder."""

    width: int = Field(32, ge=1, description="numbers per token; must be a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads of each block")
    depth: int = Field(2, ge=1, description="blocks of attention and feed-forward network")
    expansion: int = Field(2, ge=1, description="hidden units of a feed-forward network, per width")
    activation: Activation = Field(
        "gelu", description=f"nonlinearity of the feed-forward networks: {_names(Activation)}"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="probability of dropping a number that a block adds to a token"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> "TransformerConfig":
        if self.width % self.heads:
            raise ValueError(
                f"width: must be a multiple of heads, got width={self.width}, heads={self.heads}"
            )
        return self


def _refuse_uneven_groups(normalization: Normalization, groups: int, width: int, name: str) -> None:
    if normalization == "group" and width % groups:
        raise ValueError(f"groups: must divide {name}, got groups={groups}, {name}={width}")


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
