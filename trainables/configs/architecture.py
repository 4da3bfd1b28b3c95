"""Network architectures written as text, as a search over architectures suggests them.

    dense width=64 activation=relu; dense width=32 activation=tanh skip=0

Layers are separated by ``;``. A layer is its kind, followed by fields ``name=value`` in any order. Omitted
fields have defaults. Layers are numbered from 1, and 0 is the network's input. Each layer's input is the
output of the layer before. ``skip=0,1`` adds the outputs of layers 0 and 1 to it, through a projection if the
shapes differ. A dimension of kind ``architecture`` yields such texts. This module does not import torch.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from trainables.configs.networks import Activation, TrainingConfig
from trainables.configs.strict import StrictModel, did_you_mean, parse

_INTEGER = re.compile(r"[-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


class ArchitectureLayer(StrictModel):
    """One layer of an architecture."""

    skip: tuple[int, ...] = ()
    """Numbers of earlier layers, ascending, whose outputs are added to this layer's input."""


class DenseLayer(ArchitectureLayer):
    """A fully connected layer."""

    width: int = Field(64, ge=1, description="units")
    activation: Activation = Field("relu", description="nonlinearity")


class ConvolutionLayer(ArchitectureLayer):
    """A convolution, padded so that a stride of 1 keeps the height and width."""

    filters: int = Field(16, ge=1, description="channels of the output")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="height and width, in pixels")
    stride: int = Field(1, ge=1, description="step between output pixels, in input pixels")
    activation: Activation = Field("relu", description="nonlinearity")


class PoolingLayer(ArchitectureLayer):
    """Pooling of ``size`` by ``size`` squares. Output sides are rounded up, so a side of 1 pixel stays 1."""

    size: int = Field(2, ge=1, description="height and width, in pixels")


class MaxPoolingLayer(PoolingLayer):
    """The maximum of each square."""


class AveragePoolingLayer(PoolingLayer):
    """The mean of each square."""


class DropoutLayer(ArchitectureLayer):
    """Dropout of the layer's input."""

    p: float = Field(0.5, ge=0, lt=1, description="probability that a value is dropped")


class NasMLPConfig(TrainingConfig):
    """Hyperparameters of a feed-forward network with explicit layers."""

    kinds: ClassVar[dict[str, type[ArchitectureLayer]]] = {"dense": DenseLayer, "dropout": DropoutLayer}
    """Name in the text -> model of the layer."""
    architecture: str = Field(
        "dense width=64 activation=relu",
        description="hidden layers as text: dense (width, activation) and dropout (p), with skip=...",
    )

    @field_validator("architecture")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        read(text, cls.kinds)
        return text


class NasCNNConfig(TrainingConfig):
    """Hyperparameters of a convolutional network with explicit layers."""

    kinds: ClassVar[dict[str, type[ArchitectureLayer]]] = {
        "conv": ConvolutionLayer,
        "maxpool": MaxPoolingLayer,
        "avgpool": AveragePoolingLayer,
        "dropout": DropoutLayer,
    }
    """Name in the text -> model of the layer."""
    whitening: Literal["none", "zca"] = Field("none", description="whitening of the image's pixels")
    architecture: str = Field(
        "conv filters=16 kernel=3 activation=relu; maxpool size=2",
        description="layers as text: conv (filters, kernel, stride, activation), maxpool and avgpool (size) "
        "and dropout (p), with skip=...",
    )

    @field_validator("architecture")
    @classmethod
    def _is_readable(cls, text: str) -> str:
        read(text, cls.kinds)
        return text


def read(text: str, kinds: Mapping[str, type[ArchitectureLayer]]) -> list[ArchitectureLayer]:
    """Return the layers of an architecture; ``kinds`` maps the names of layers to their models.

    Raises ValueError for the first mistake, as *layer k: what is wrong; what must hold, got value*.
    """
    return [_layer(written.split(), number, kinds) for number, written in enumerate(text.split(";"), start=1)]


def _layer(words: list[str], number: int, kinds: Mapping[str, type[ArchitectureLayer]]) -> ArchitectureLayer:
    where = f"layer {number}"
    if not words:
        raise ValueError(f"{where}: must name a kind of layer, one of {', '.join(kinds)}, got nothing")
    kind, *assignments = words
    if kind not in kinds:
        raise ValueError(f"{where}: unknown kind of layer '{kind}'; {did_you_mean(kind, kinds)}")
    where = f"{where} ({kind})"
    fields: dict[str, Any] = {}
    for word in assignments:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise ValueError(f"{where}: a field must be name=value, got '{word}'")
        if name in fields:
            raise ValueError(f"{where}: duplicate field '{name}'")
        if name not in kinds[kind].model_fields:
            raise ValueError(
                f"{where}: unknown field '{name}'; {did_you_mean(name, kinds[kind].model_fields)}"
            )
        fields[name] = _sources(value, number, where) if name == "skip" else _value(value)
    try:
        return parse(kinds[kind], fields, where=where)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).splitlines()[0]}") from None


def _value(text: str) -> int | float | str:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _sources(text: str, number: int, where: str) -> tuple[int, ...]:
    words = text.split(",")
    sources = tuple(int(word) for word in words if re.fullmatch(r"\d+", word))
    # The previous layer is excluded: its output is the input already.
    if len(sources) != len(words) or list(sources) != sorted({*sources}) or max(sources) > number - 2:
        allowed = f"of 0 to {number - 2}, ascending, with commas between them" if number > 1 else "none there"
        raise ValueError(f"{where}: skip must name earlier layers, {allowed}, got '{text}'")
    return sources
