"""A sequence of layers with skip connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


def with_skips(layers: Sequence[nn.Module], skips: Sequence[Mapping[int, nn.Module]]) -> nn.Module:
    """Return the layers as one network.

    ``skips`` has one mapping per layer. Its keys are earlier layers (from 1; 0 is the network's input) whose
    outputs are added to the layer's input. Its values are modules that project them to the input's shape.
    """
    # A plain sequence is faster in a stack, which runs it layer by layer.
    return SkipSequential(layers, skips) if any(skips) else nn.Sequential(*layers)


class SkipSequential(nn.Module):
    """The input of layer k, from 1, is the output of layer k - 1 plus the projections in ``skips[k - 1]``."""

    def __init__(self, layers: Sequence[nn.Module], skips: Sequence[Mapping[int, nn.Module]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.skips = tuple(tuple(sources) for sources in skips)
        self.projections = nn.ModuleDict(
            {
                _name(source, number): projection
                for number, sources in enumerate(skips, start=1)
                for source, projection in sources.items()
            }
        )

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = [inputs]
        for number, (layer, sources) in enumerate(zip(self.layers, self.skips, strict=True), start=1):
            received = outputs[-1]
            for source in sources:
                received = received + self.projections[_name(source, number)](outputs[source])
            outputs.append(layer(received))
        return outputs[-1]


def _name(source: int, number: int) -> str:
    return f"{source}_to_{number}"
