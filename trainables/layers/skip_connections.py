"""A sequence of layers with connections that skip some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


def with_skips(layers: Sequence[nn.Module], skips: Sequence[Mapping[int, nn.Module]]) -> nn.Module:
    """The layers as one network.

    ``skips`` has, for each layer, the earlier ones whose outputs it also gets (from 1; 0 is the network's
    input), each with the module that brings them into the shape of what it gets anyway.
    """
    # A stack of models runs a plain sequence layer by layer, which is faster.
    return SkipSequential(layers, skips) if any(skips) else nn.Sequential(*layers)


class SkipSequential(nn.Module):
    """Layer k, from 1, gets the output of layer k - 1 plus the projected ones of ``skips[k - 1]``."""

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
