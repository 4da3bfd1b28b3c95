"""Hyperparameters of the networks: optimizer, training, augmentation, and each model's own."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from trainables.configs.data import PreprocessingConfig
from trainables.configs.strict import StrictModel

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


def _names(choices: Any) -> str:
    return ", ".join(get_args(choices))


class OptimizerConfig(StrictModel):
    """The optimizer and its hyperparameters. Those that the optimizer does not use are ignored."""

    optimizer: OptimizerName = Field("adam", description=f"update rule: {_names(OptimizerName)}")
    lr: float = Field(1e-3, gt=0, description="learning rate")
    momentum: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="momentum; if not given, 0.9 for momentum and nesterov, 0 for sgd and rmsprop",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the mean gradient in adam and adamw")
    beta2: float = Field(
        0.999, ge=0, lt=1, description="decay of the mean squared gradient in adam and adamw"
    )
    rho: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="decay of the mean squared gradient; if not given, 0.99 for rmsprop, 0.9 for adadelta",
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        description="added to the denominator in adagrad to adamw; if not given, PyTorch's default",
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        description="L2 penalty in the optimizer; adamw decouples it from the gradient",
    )


class TrainingConfig(OptimizerConfig, PreprocessingConfig):
    """Hyperparameters of every network that trains on minibatches."""

    batch_size: int = Field(64, ge=1, description="rows per update, of all processes of the trial together")
    schedule: ScheduleName = Field(
        "constant", description=f"how the learning rate decreases over epochs: {_names(ScheduleName)}"
    )
    decay_factor: float = Field(
        0.5, gt=0, lt=1, description="factor of the learning rate in step, exponential and plateau"
    )
    decay_epochs: int = Field(
        10,
        ge=1,
        description="epochs until step and exponential have applied the factor once, inverse_time has halved "
        "the rate, and cosine is at its end",
    )
    min_lr_ratio: float = Field(
        0.0, ge=0, le=1, description="final learning rate of cosine and lowest of plateau, as a share of lr"
    )
    plateau_patience: int = Field(
        3, ge=0, description="epochs without a lower val_loss before plateau reduces the learning rate"
    )
    warmup: float = Field(
        0.0, ge=0, description="epochs of linear increase of the learning rate to lr, before the schedule"
    )
    clip_value: float | None = Field(None, gt=0, description="largest absolute value of a gradient's entry")
    clip_norm: float | None = Field(
        None, gt=0, description="largest Euclidean norm of the whole gradient, after clip_value"
    )
    initialization: Initialization = Field(
        "default", description=f"distribution of the weights: {_names(Initialization)}; default is PyTorch's"
    )
    init_scale: float = Field(
        0.05, gt=0, description="standard deviation of normal, or half the width of uniform initialization"
    )
    init_bias: float = Field(0.0, description="initial value of every bias, unless initialization is default")
    l1: float = Field(0.0, ge=0, description="weight of the sum of absolute weights in the loss")
    l2: float = Field(0.0, ge=0, description="weight of half the sum of squared weights in the loss")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each target spread evenly over all classes (classification)"
    )
    noise: float = Field(0.0, ge=0, description="standard deviation of Gaussian noise added to training rows")
    mixup: float = Field(
        0.0,
        ge=0,
        description="alpha of the Beta distribution that mixes pairs of training rows; 0: off",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="epochs without a lower val_loss after which the trial ends; if not given, no limit",
    )
    min_change: float = Field(0.0, ge=0, description="smallest decrease of val_loss that restarts patience")
    amp: MixedPrecision = Field(
        "none", description="type of the matrix products in training: bf16, or fp16 with loss scaling"
    )
    compile: bool = Field(False, description="whether torch.compile compiles the model")

    def refuse_label_smoothing(self) -> None:
        """Raise ValueError if label smoothing is set, for a loss without class labels."""
        if self.label_smoothing > 0:
            raise ValueError(
                "label_smoothing: needs classification by cross-entropy; must be 0 for any other loss, "
                f"got {self.label_smoothing}"
            )


class ImageConfig(StrictModel):
    """Random augmentation of training images, drawn per row and epoch. Uncovered pixels become 0."""

    shift: int = Field(0, ge=0, description="largest shift of a training image along each side, in pixels")
    flip: float = Field(0.0, ge=0, le=1, description="probability of mirroring a training image")
    rotation: float = Field(
        0.0, ge=0, le=180, description="largest rotation of a training image, either way, in degrees"
    )
    cutout: int = Field(0, ge=0, description="side of the square removed from a training image, in pixels")


class MLPConfig(TrainingConfig):
    """Hyperparameters of a feed-forward network."""

    hidden: int = Field(64, ge=1, description="units per hidden layer")
    depth: int = Field(1, ge=0, description="hidden layers; 0 is a linear model")
    activation: Activation = Field(
        "relu", description=f"nonlinearity after each hidden layer: {_names(Activation)}"
    )
    normalization: Normalization = Field(
        "none", description="normalization of each hidden layer: none, batch, layer, group, weight"
    )
    groups: int = Field(4, ge=1, description="groups of group normalization; must divide hidden")
    dropout: float = Field(0.0, ge=0, lt=1, description="probability that a hidden unit's output is dropped")

    @field_validator("normalization")
    @classmethod
    def _fits_units(cls, name: Normalization) -> Normalization:
        if name == "local_response":
            raise ValueError(
                "local_response needs neighbouring channels, which hidden units do not have; "
                "must be one of none, batch, layer, group, weight, got 'local_response'"
            )
        return name

    @model_validator(mode="after")
    def _groups_divide(self) -> "MLPConfig":
        _refuse_uneven_groups(self.normalization, self.groups, self.hidden, "hidden")
        return self


class CNNConfig(TrainingConfig, ImageConfig):
    """Hyperparameters of a small convolutional network."""

    channels: int = Field(
        16, ge=1, description="channels of the first block; each further block doubles them"
    )
    blocks: int = Field(2, ge=1, description="blocks of convolution, normalization, activation and pooling")
    whitening: Literal["none", "zca"] = Field("none", description="whitening of the image's pixels")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="height and width of the convolutions, in pixels")
    pooling: Pooling = Field(
        "max",
        description="how a block halves the image: max, average; sides below 4 pixels are not halved",
    )
    normalization: Normalization = Field(
        "none", description=f"normalization after each convolution: {_names(Normalization)}"
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

    width: int = Field(32, ge=1, description="features per token; must be a multiple of heads")
    heads: int = Field(4, ge=1, description="attention heads of each block")
    depth: int = Field(2, ge=1, description="blocks of attention and feed-forward network")
    expansion: int = Field(2, ge=1, description="hidden units of a feed-forward network, per unit of width")
    activation: Activation = Field(
        "gelu", description=f"nonlinearity of the feed-forward networks: {_names(Activation)}"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="probability of dropping each value that a block adds to a token"
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
