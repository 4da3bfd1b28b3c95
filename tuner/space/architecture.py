"""``Architecture``: a network's layers, written as a text of variable length.

    dense width=64 activation=relu; dense width=32 activation=tanh skip=0

Layers have ``; `` between them; a layer is its kind and the kind's fields as ``name=value``, in the order in
which the dimension gives them. Layers are numbered from 1, each gets the output of the one before, and 0 is
the network's input. ``skip=0,1`` at the end of a layer: it also gets the outputs of those earlier ones. What
a kind or a field means is for the trainable to say, which reads the text itself.
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
from tuner.space.layers import BETWEEN, Layer, check_kinds, text_of, with_layer, without_layer
from tuner.space.values import raise_any
from tuner.spec import describe


class Step(NamedTuple):
    """One decision on the way to a value; steps of one name have the same options, at least one."""

    name: str
    options: tuple[Any, ...]


@dataclass(frozen=True)
class Architecture(Dimension):
    """The layers of a network, as text.

    ``kinds``: kind of layer -> its fields, each with the values that it can take (texts or numbers).
    ``layers``: the fewest and the most of them, both inclusive. ``skip``: whether a layer may also get the
    outputs of earlier layers than the one before.
    """

    kinds: Mapping[str, Mapping[str, Sequence[str | float]]]
    layers: Sequence[int] = field(default=(1, 4), kw_only=True)
    skip: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        self._unwrap()
        raise_any(self.problems())
        kinds = {
            kind: {name: tuple(values) for name, values in own.items()} for kind, own in self.kinds.items()
        }
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "layers", tuple(self.layers))
        raise_any(self._default_problems())

    @property
    def size(self) -> int:
        """How many architectures there are."""
        low, high = self.layers
        variants = sum(math.prod(map(len, own.values())) for own in self.kinds.values())
        return sum(
            variants**count * (2 ** (count * (count - 1) // 2) if self.skip else 1)
            for count in range(low, high + 1)
        )

    def build(self, choose: Callable[[Step], int]) -> str:
        """The architecture in which ``choose`` answers each step by the number of an option, from 0.

        Steps are asked in the order in which the text is written, the number of layers first.
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
        """Every step that can come up, each once."""
        low, high = self.layers
        steps = [Step("layers", tuple(range(low, high + 1))), Step("kind", tuple(self.kinds))]
        for kind, own in self.kinds.items():
            steps += [Step(f"{kind}.{name}", tuple(values)) for name, values in own.items()]
        return [*steps, _SKIP] if self.skip and high > 1 else steps

    def text(self, tokens: Sequence[int]) -> str:
        """The architecture to which these answers lead. Raises ValueError when they are no such answers."""
        left = list(tokens)

        def choose(step: Step) -> int:
            if not left:
                raise ValueError(f"the tokens end at '{step.name}'")
            if not 0 <= left[0] < len(step.options):
                raise ValueError(f"'{step.name}' has no option {left[0]}")
            return left.pop(0)

        text = self.build(choose)
        if left:
            raise ValueError(f"the architecture ends {len(left)} tokens before they do")
        return text

    def tokens(self, text: str) -> list[int]:
        """The answers that lead to this architecture. Raises ValueError when none do."""
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
        """Draw one; each step is drawn on its own, so that all numbers of layers are as likely."""
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
        # Every value of every field once, in as many layers and with as many skips as there can be.
        found = []
        for kind, own in self.kinds.items():
            for index in range(max(map(len, own.values()), default=1)):
                chosen = {name: str(values[index % len(values)]) for name, values in own.items()}
                layers = [
                    Layer(kind, chosen, frozenset(range(number - 1) if self.skip else ()))
                    for number in range(1, self.layers[1] + 1)
                ]
                found.append(text_of(layers))
        return found

    def neighbour(self, value: str, rng: np.random.Generator) -> str:
        """The architecture with one decision made differently; itself where it is the only one.

        A layer more or less, or of one layer another kind, another value of a field, a skip more or less. A
        layer of another kind keeps the values of the fields that it shares with the old one.
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
                return text_of(self._grown(layers, rng))
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
            kind: {name: list(values) for name, values in own.items()} for kind, own in self.kinds.items()
        }
        return {**self._with_options({"architecture": kinds}), "layers": list(self.layers)}

    def in_words(self) -> str:
        return "it is an architecture of these layers in the form that the dimension writes"

    def problems(self) -> list[Problem]:
        problems = [problem.inside("architecture") for problem in check_kinds(self.kinds)]
        counts = self.layers if isinstance(self.layers, (list, tuple)) else ()
        whole = [type(count) for count in counts] == [int, int]
        if not whole or not 1 <= counts[0] <= counts[1]:
            what = "must be [fewest, most], whole numbers of at least 1, the fewest first"
            problems.append(Problem("layers", f"{what}, got {describe(self.layers)}"))
        if not isinstance(self.skip, bool):
            problems.append(Problem("skip", f"must be true or false, got {describe(self.skip)}"))
        return problems + super().problems()

    def _read(self, text: str) -> list[Layer]:
        """The layers of a text in exactly the form that ``build`` writes; else raises ValueError."""
        layers = [self._read_layer(part, number) for number, part in enumerate(text.split(BETWEEN), start=1)]
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
            raise ValueError(f"layer {number}: must be of a kind that the dimension has, got '{text}'")
        chosen = {name: given[name] for name in own}
        if any(value not in map(str, own[name]) for name, value in chosen.items()):
            raise ValueError(f"layer {number}: must have values that the dimension has, got '{text}'")
        skip = (
            frozenset(int(source) for source in given["skip"].split(",")) if "skip" in given else frozenset()
        )
        if skip and not (self.skip and min(skip) >= 0 and max(skip) <= number - 2):
            raise ValueError(f"layer {number}: must skip to earlier layers, got '{text}'")
        return Layer(kind, chosen, skip)

    def _variants(self, number: int) -> Iterator[Layer]:
        """Every form that the layer of this number can have."""
        sources = range(number - 1 if self.skip else 0)
        for kind, own in self.kinds.items():
            for chosen in product(*(list(map(str, values)) for values in own.values())):
                for bits in product((False, True), repeat=len(sources)):
                    skip = frozenset(source for source, bit in zip(sources, bits, strict=True) if bit)
                    yield Layer(kind, dict(zip(own, chosen, strict=True)), skip)

    def _layer(
        self, kind: str, skip: frozenset[int], rng: np.random.Generator, *, keep: Mapping[str, str]
    ) -> Layer:
        """A layer whose fields are drawn, but for those that can be kept."""
        chosen = {}
        for name, values in self.kinds[kind].items():
            known = list(map(str, values))
            drawn = known[int(rng.integers(len(known)))]
            chosen[name] = keep[name] if keep.get(name) in known else drawn
        return Layer(kind, chosen, skip)

    def _grown(self, layers: list[Layer], rng: np.random.Generator) -> list[Layer]:
        """The layers with a drawn one among them."""
        at = int(rng.integers(len(layers) + 1))
        skip = frozenset(source for source in range(at if self.skip else 0) if rng.integers(2) == 1)
        kinds = list(self.kinds)
        drawn = self._layer(kinds[int(rng.integers(len(kinds)))], skip, rng, keep={})
        return with_layer(layers, drawn, at=at)


_SKIP = Step("skip", ("no", "yes"))


def _other(options: Sequence[str], than: str, rng: np.random.Generator) -> str:
    rest = [option for option in options if option != than]
    return rest[int(rng.integers(len(rest)))]
