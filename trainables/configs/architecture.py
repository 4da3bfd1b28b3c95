"""Networks written as text, as a search over architectures suggests them; importing this imports no torch.

    dense width=64 activation=relu; dense width=32 activation=tanh skip=0

An architecture is one layer or more with ``; `` between them, a layer its kind and then its fields as
``name=value``, in any order; a field that is left out has its default. Layers are numbered from 1, each gets
the output of the one before, and 0 is the network's input. ``skip=0,1`` adds the outputs of those layers to
what the layer gets, through a projection where the shapes differ. ``tuner`` writes such texts for a dimension
of the kind ``architecture``.
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
    """One layer of an architecture; ``skip`` holds the layers, rising, whose outputs it also gets."""

    skip: tuple[int, ...] = ()


class DenseLayer(ArchitectureLayer):
    """A fully connected layer."""

    width: int = Field(64, ge=1, description="units")
    activation: Activation = Field("relu", description="nonlinearity")


class ConvolutionLayer(ArchitectureLayer):
    """A convolution, padded so that a stride of 1 keeps the image's sides."""

    filters: int = Field(16, ge=1, description="channels of the output")
    kernel: Literal[1, 3, 5, 7] = Field(3, description="height and width, in pixels")
    stride: int = Field(1, ge=1, description="pixels from one output to the next")
    activation: Activation = Field("relu", description="nonlinearity")


class PoolingLayer(ArchitectureLayer):
    """The maximum or mean of ``size`` by ``size`` pixels; sides are rounded up, so one of 1 pixel stays."""

    size: int = Field(2, ge=1, description="height and width, in pixels")


class MaxPoolingLayer(PoolingLayer):
    """The maximum of each square."""


class AveragePoolingLayer(PoolingLayer):
    """The mean of each square."""


class DropoutLayer(ArchitectureLayer):
    """Dropout of the numbers that come in."""

    p: float = Field(0.5, ge=0, lt=1, description="probability of dropping a number")


class NasMLPConfig(TrainingConfig):
    """Hyperparameters of a feed-forward network whose layers are written out."""

    kinds: ClassVar[dict[str, type[ArchitectureLayer]]] = {"dense": DenseLayer, "dropout": DropoutLayer}

    architecture: str = Field(
        "dense width=64 activation=relu",
        description="hidden layers as text: dense (width, activation) and dropout (p), with skip=...",
    )

    @field_validator("architecture")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        read(text, cls.kinds)
        return text


class NasCNNConfig(TrainingConfig):
    """Hyperparameters of a convolutional network whose layers are written out."""

    kinds: ClassVar[dict[str, type[ArchitectureLayer]]] = {
        "conv": ConvolutionLayer,
        "maxpool": MaxPoolingLayer,
        "avgpool": AveragePoolingLayer,
        "dropout": DropoutLayer,
    }

    whitening: Literal["none", "zca"] = Field("none", description="of the pixels, which stay an image")
    architecture: str = Field(
        "conv filters=16 kernel=3 activation=relu; maxpool size=2",
        description="layers as text: conv (filters, kernel, stride, activation), maxpool and avgpool (size) "
        "and dropout (p), with skip=...",
    )

    @field_validator("architecture")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        read(text, cls.kinds)
        return text


def read(text: str, kinds: Mapping[str, type[ArchitectureLayer]]) -> list[ArchitectureLayer]:
    """The layers of an architecture; ``kinds`` maps the names of layers to their models.

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
            raise ValueError(f"{where}: a field must read name=value, got '{word}'")
        if name in fields:
            raise ValueError(f"{where}: the field '{name}' stands twice")
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
    # The layer before is its input already.
    if len(sources) != len(words) or list(sources) != sorted({*sources}) or max(sources) > number - 2:
        allowed = f"of 0 to {number - 2}, rising, with commas between them" if number > 1 else "none there"
        raise ValueError(f"{where}: skip must name earlier layers, {allowed}, got '{text}'")
    return sources
