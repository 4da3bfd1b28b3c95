"""``Architecture``: a network's layers, written as text of variable length.

    dense width=64 activation=relu; dense width=32 activation=tanh skip=0

Layers are separated by ``; ``. A layer is its kind, followed by the kind's fields as ``name=value``, in the
dimension's order. Layers are numbered from 1, and 0 is the network's input. Each layer gets the output of the
one before. ``skip=0,1`` at the end of a layer adds the outputs of these earlier ones. The trainable reads the
text and decides what kinds and fields mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tuner.errors import Problem
from tuner.space.dimension import Dimension, check_grid_size
from tuner.space.layers import SEPARATOR, Layer, check_kinds, text_of, with_layer, without_layer
from tuner.space.values import raise_any
from tuner.spec import describe


class Step(NamedTuple):
    """A decision on the way to an architecture.

    Steps with the same name have the same options, at least one.
    """

    name: str
    options: tuple[Any, ...]


@dataclass(frozen=True)
class Architecture(Dimension):
    """The layers of a network, as text.

    - ``kinds``: kind of layer -> its fields, each with its possible values (texts or numbers)
    - ``layers``: the smallest and the largest number of layers, both inclusive
    - ``skip``: whether a layer may also get the outputs of layers before the previous one
    """

    kinds: Mapping[str, Mapping[str, Sequence[str | float]]]
    layers: Sequence[int] = field(default=(1, 4), kw_only=True)
    skip: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        self._unwrap()
        raise_any(self.problems())
        kinds = {
            kind: {name: tuple(values) for name, values in fields.items()}
            for kind, fields in self.kinds.items()
        }
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "layers", tuple(self.layers))
        raise_any(self._default_problems())

    @property
    def size(self) -> int:
        """Return the number of architectures."""
        low, high = self.layers
        variants = sum(math.prod(map(len, own.values())) for own in self.kinds.values())
        return sum(
            variants**count * (2 ** (count * (count - 1) // 2) if self.skip else 1)
            for count in range(low, high + 1)
        )

    def build(self, choose: Callable[[Step], int]) -> str:
        """Return the architecture for which ``choose`` answers each step with the index of an option, from 0.

        Steps follow the order of the text, after the number of layers.
        """
        low, high = self.layers
        layers = []
        for number in range(1, low + 1 + choose(Step("layers", tuple(range(low, high + 1))))):
            kind = tuple(self.kinds)[choose(Step("kind", tuple(self.kinds)))]
            chosen = {
                name: str(values[choose(Step(f"{kind}.{name}", tuple(values)))])
                for name, values in self.kinds[kind].items()
            }
            sources = range(number - 1 if self.skip else 0)
            skip = frozenset(source for source in sources if choose(_SKIP) == 1)
            layers.append(Layer(kind, chosen, skip))
        return text_of(layers)

    def vocabulary(self) -> list[Step]:
        """Return every step that can occur, once each."""
        low, high = self.layers
        steps = [Step("layers", tuple(range(low, high + 1))), Step("kind", tuple(self.kinds))]
        for kind, fields in self.kinds.items():
            steps += [Step(f"{kind}.{name}", tuple(values)) for name, values in fields.items()]
        return [*steps, _SKIP] if self.skip and high > 1 else steps

    def text(self, tokens: Sequence[int]) -> str:
        """Return the architecture for these answers. Raises ValueError if they do not fit the steps."""
        left = list(tokens)

        def choose(step: Step) -> int:
            if not left:
                raise ValueError(f"the tokens end at '{step.name}'")
            if not 0 <= left[0] < len(step.options):
                raise ValueError(f"'{step.name}' has no option {left[0]}")
            return left.pop(0)

        text = self.build(choose)
        if left:
            raise ValueError(f"{len(left)} tokens are left after the last step")
        return text

    def tokens(self, text: str) -> list[int]:
        """Return the answers that lead to this architecture. Raises ValueError if none do."""
        layers = self._read(text)
        found = [len(layers) - self.layers[0]]
        for number, layer in enumerate(layers, start=1):
            found.append(tuple(self.kinds).index(layer.kind))
            found += [
                list(map(str, values)).index(layer.fields[name])
                for name, values in self.kinds[layer.kind].items()
            ]
            found += [int(source in layer.skip) for source in range(number - 1 if self.skip else 0)]
        return found

    def sample(self, rng: np.random.Generator) -> str:
        """Draw an architecture.

        Each step is drawn separately, so all numbers of layers are equally likely.
        """
        return self.build(lambda step: int(rng.integers(len(step.options))))

    def contains(self, value: Any) -> bool:
        try:
            return isinstance(value, str) and bool(self._read(value))
        except ValueError:
            return False

    def values(self) -> list[str]:
        check_grid_size(self.size)
        low, high = self.layers
        return [
            text_of(layers)
            for count in range(low, high + 1)
            for layers in product(*(list(self._variants(number)) for number in range(1, count + 1)))
        ]

    def extremes(self) -> list[str]:
        # Every value of every field appears once, with the most layers and skips.
        found = []
        for kind, fields in self.kinds.items():
            for index in range(max(map(len, fields.values()), default=1)):
                chosen = {name: str(values[index % len(values)]) for name, values in fields.items()}
                layers = [
                    Layer(kind, chosen, frozenset(range(number - 1) if self.skip else ()))
                    for number in range(1, self.layers[1] + 1)
                ]
                found.append(text_of(layers))
        return found

    def neighbour(self, value: str, rng: np.random.Generator) -> str:
        """Return the architecture with one decision changed, or itself if it is the only one.

        A change adds or removes a layer or a skip, or changes a layer's kind or a field's value. A layer of
        another kind keeps the fields that both kinds share.
        """
        layers = self._read(value)
        low, high = self.layers
        changes: list[tuple[str, int, Any]] = []
        if low < high:
            changes.append(("layers", 0, None))
        for index, layer in enumerate(layers):
            if len(self.kinds) > 1:
                changes.append(("kind", index, None))
            changes += [
                ("field", index, name) for name, values in self.kinds[layer.kind].items() if len(values) > 1
            ]
            changes += [("skip", index, source) for source in range(index if self.skip else 0)]
        if not changes:
            return value
        what, index, which = changes[int(rng.integers(len(changes)))]
        if what == "layers":
            if len(layers) == low or (len(layers) < high and rng.integers(2) == 1):
                return text_of(self._insert_layer(layers, rng))
            return text_of(without_layer(layers, at=int(rng.integers(len(layers)))))
        layer = layers[index]
        if what == "kind":
            kind = _other(list(self.kinds), layer.kind, rng)
            layers[index] = self._layer(kind, layer.skip, rng, keep=layer.fields)
        elif what == "field":
            values = list(map(str, self.kinds[layer.kind][which]))
            layers[index] = layer._replace(
                fields={**layer.fields, which: _other(values, layer.fields[which], rng)}
            )
        else:
            layers[index] = layer._replace(skip=layer.skip ^ {which})
        return text_of(layers)

    def to_dict(self) -> dict[str, Any]:
        kinds = {
            kind: {name: list(values) for name, values in fields.items()}
            for kind, fields in self.kinds.items()
        }
        return {**self._with_options({"architecture": kinds}), "layers": list(self.layers)}

    def in_words(self) -> str:
        return "it is an architecture with this dimension's kinds, fields and values"

    def problems(self) -> list[Problem]:
        problems = [problem.inside("architecture") for problem in check_kinds(self.kinds)]
        counts = self.layers if isinstance(self.layers, (list, tuple)) else ()
        whole = [type(count) for count in counts] == [int, int]
        if not whole or not 1 <= counts[0] <= counts[1]:
            what = "must be [fewest, most], two whole numbers with 1 <= fewest <= most"
            problems.append(Problem("layers", f"{what}, got {describe(self.layers)}"))
        if not isinstance(self.skip, bool):
            problems.append(Problem("skip", f"must be true or false, got {describe(self.skip)}"))
        return problems + super().problems()

    def _read(self, text: str) -> list[Layer]:
        """Return the layers of a text.

        Raises ValueError unless it has exactly the form that ``build`` writes.
        """
        layers = [
            self._read_layer(part, number) for number, part in enumerate(text.split(SEPARATOR), start=1)
        ]
        if not self.layers[0] <= len(layers) <= self.layers[1]:
            raise ValueError(f"must have {self.layers[0]} to {self.layers[1]} layers, got {len(layers)}")
        if text_of(layers) != text:
            raise ValueError(f"must read '{text_of(layers)}', got '{text}'")
        return layers

    def _read_layer(self, text: str, number: int) -> Layer:
        kind, *words = text.split(" ")
        given = dict(word.split("=", 1) for word in words if "=" in word)
        own = self.kinds.get(kind)
        if own is None or given.keys() - {"skip"} != own.keys():
            raise ValueError(
                f"layer {number}: must have a kind of the dimension with all its fields, got '{text}'"
            )
        chosen = {name: given[name] for name in own}
        if any(value not in map(str, own[name]) for name, value in chosen.items()):
            raise ValueError(f"layer {number}: must have values of the dimension, got '{text}'")
        skip = (
            frozenset(int(source) for source in given["skip"].split(",")) if "skip" in given else frozenset()
        )
        if skip and not (self.skip and min(skip) >= 0 and max(skip) <= number - 2):
            raise ValueError(f"layer {number}: must skip to earlier layers, got '{text}'")
        return Layer(kind, chosen, skip)

    def _variants(self, number: int) -> Iterator[Layer]:
        """Yield every possible layer with this number."""
        sources = range(number - 1 if self.skip else 0)
        for kind, fields in self.kinds.items():
            for chosen in product(*(list(map(str, values)) for values in fields.values())):
                for bits in product((False, True), repeat=len(sources)):
                    skip = frozenset(source for source, bit in zip(sources, bits, strict=True) if bit)
                    yield Layer(kind, dict(zip(fields, chosen, strict=True)), skip)

    def _layer(
        self, kind: str, skip: frozenset[int], rng: np.random.Generator, *, keep: Mapping[str, str]
    ) -> Layer:
        """Return a layer with drawn fields, except those that can keep their values."""
        chosen = {}
        for name, values in self.kinds[kind].items():
            known = list(map(str, values))
            drawn = known[int(rng.integers(len(known)))]
            chosen[name] = keep[name] if keep.get(name) in known else drawn
        return Layer(kind, chosen, skip)

    def _insert_layer(self, layers: list[Layer], rng: np.random.Generator) -> list[Layer]:
        """Return the layers with a drawn one inserted."""
        at = int(rng.integers(len(layers) + 1))
        skip = frozenset(source for source in range(at if self.skip else 0) if rng.integers(2) == 1)
        kinds = list(self.kinds)
        drawn = self._layer(kinds[int(rng.integers(len(kinds)))], skip, rng, keep={})
        return with_layer(layers, drawn, at=at)


_SKIP = Step("skip", ("no", "yes"))


def _other(options: Sequence[str], than: str, rng: np.random.Generator) -> str:
    rest = [option for option in options if option != than]
    return rest[int(rng.integers(len(rest)))]
