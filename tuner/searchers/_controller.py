"""The recurrent controller of ``reinforce``: an LSTM that decides one step after the other. Needs torch.

Everything is computed in float64 and by one thread, so that another machine draws the same from a seed.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FORMAT = 1

# Weights are drawn from [-0.08, 0.08] (Zoph and Le 2017, section 4.1): all options are as likely at first.
_INITIAL = 0.08


class Draw(NamedTuple):
    """A sequence of decisions: its tokens in the vocabulary, and its log-probability when it was drawn."""

    tokens: tuple[int, ...]
    log_probability: float


class Network(nn.Module):
    """The last token's embedding through an LSTM to one number per token of the vocabulary.

    The vocabulary has the options of all steps one after the other; one more token stands before the first.
    """

    def __init__(self, tokens: int, *, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # what torch draws itself is replaced
            self.embedding = nn.Embedding(tokens + 1, hidden, dtype=torch.float64)
            self.lstm = nn.LSTM(hidden, hidden, batch_first=True, dtype=torch.float64)
            self.head = nn.Linear(hidden, tokens, dtype=torch.float64)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-_INITIAL, _INITIAL, generator=generator)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Tokens n x t to the numbers after each, n x t x vocabulary, and the LSTM's state."""
        outputs, state = self.lstm(self.embedding(tokens), state)
        return self.head(outputs), state


class ControllerNetwork:
    """The network with its vocabulary, its optimizer and a random stream of its own.

    ``vocabulary``: the name of each step -> how many options it has, at least one.
    """

    def __init__(
        self, vocabulary: Mapping[str, int], *, hidden: int, learning_rate: float, seed: int
    ) -> None:
        self.vocabulary = dict(vocabulary)
        self._starts: dict[str, int] = {}
        self._first = 0  # the token that stands before the first
        for name, options in self.vocabulary.items():
            self._starts[name] = self._first
            self._first += options
        owners = torch.repeat_interleave(torch.tensor(list(self.vocabulary.values())))
        self._siblings = owners[:, None] == owners[None, :]  # the tokens of one step
        self._hidden = hidden
        self._generator = torch.Generator().manual_seed(seed)
        self.network = Network(self._first, hidden=hidden, generator=self._generator)
        self._optimizer = Adam(list(self.network.parameters()), learning_rate=learning_rate)

    def drawing(self, *, temperature: float = 1.0) -> Drawing:
        """A new sequence, to be drawn decision by decision; a temperature above 1 evens the odds."""
        return Drawing(self, temperature)

    def recall(self, decisions: Sequence[tuple[str, int]]) -> Draw:
        """The sequence of these decisions (step, option) as if it were drawn now."""
        tokens = tuple(self._starts[name] + option for name, option in decisions)
        with _one_thread(), torch.no_grad():
            [log_probability], _ = self.judge([Draw(tokens, 0.0)])
        return Draw(tokens, float(log_probability))

    def judge(self, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Of each sequence the log-probability now, and the entropy of all its steps; both of length n."""
        longest = max(len(draw.tokens) for draw in draws)
        chosen = torch.full((len(draws), longest), self._first)
        for row, draw in enumerate(draws):
            chosen[row, : len(draw.tokens)] = torch.tensor(draw.tokens)
        there = chosen != self._first
        numbers, _ = self.network(functional.pad(chosen, (1, -1), value=self._first))
        chosen = chosen.where(there, 0)
        foreign = ~self._siblings[chosen]
        every = numbers.masked_fill(foreign, -torch.inf).log_softmax(-1)
        own = every.gather(-1, chosen[..., None]).squeeze(-1)
        # Without the impossible ones: 0 times infinity is no number.
        entropies = -(every.exp() * every.masked_fill(foreign, 0.0)).sum(-1)
        return (own * there).sum(-1), (entropies * there).sum(-1)

    def learn(self, draws: Sequence[Draw], advantages: Sequence[float], *, entropy: float) -> None:
        """Make each sequence likelier or less likely, as its advantage says."""
        with _one_thread():
            loss = self.loss(draws, advantages, entropy=entropy)
            self._optimizer.step(torch.autograd.grad(loss, list(self.network.parameters())))

    def loss(self, draws: Sequence[Draw], advantages: Sequence[float], *, entropy: float) -> Tensor:
        """What an update lowers: its gradient is REINFORCE's (Williams 1992) and that of the entropy.

        Results come after other updates. A sequence that has become less likely since it was drawn counts
        by the ratio of the two probabilities, others in full.
        """
        log_probabilities, entropies = self.judge(draws)
        before = torch.tensor([draw.log_probability for draw in draws], dtype=torch.float64)
        weights = (log_probabilities.detach() - before).exp().clamp(max=1.0)
        gains = weights * torch.tensor(advantages, dtype=torch.float64) * log_probabilities
        return -(gains + entropy * entropies).mean()

    def save(self, path: Path) -> None:
        """Write network and optimizer, whole or not at all, for ``torch.load(weights_only=True)``.

        Raises OSError when the file cannot be written.
        """
        state = {
            "format": FORMAT,
            "vocabulary": self.vocabulary,
            "hidden": self._hidden,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        written = io.BytesIO()
        torch.save(state, written)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_bytes(written.getvalue())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load(self, path: Path) -> None:
        """Go on from what ``save`` wrote. Raises ValueError when that is of another vocabulary or size."""
        state = _read(path)
        for name, own in (("vocabulary", self.vocabulary), ("hidden", self._hidden)):
            if state[name] != own:
                raise ValueError(f"must be of this sweep's {name}, {own}, got {state[name]}")
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


class Drawing:
    """A sequence in the making; ``draw`` is what it has come to."""

    def __init__(self, controller: ControllerNetwork, temperature: float) -> None:
        self._controller = controller
        self._temperature = temperature
        self._token = controller._first
        self._state: Any = None
        self.draw = Draw((), 0.0)

    def choose(self, name: str) -> int:
        """Decide a step: the number of its option, from 0."""
        controller = self._controller
        start, options = controller._starts[name], controller.vocabulary[name]
        with _one_thread(), torch.no_grad():
            numbers, self._state = controller.network(torch.tensor([[self._token]]), self._state)
            own = (numbers[0, 0, start : start + options] / self._temperature).log_softmax(0)
            option = int(torch.multinomial(own.exp(), 1, generator=controller._generator))
        self._token = start + option
        self.draw = Draw((*self.draw.tokens, self._token), self.draw.log_probability + float(own[option]))
        return option


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980); torch's own imports its compiler, which takes a second."""

    def __init__(self, parameters: list[nn.Parameter], *, learning_rate: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._steps = 0
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the parameters by their gradients."""
        self._steps += 1
        first, second = 0.9, 0.999
        rate = self._learning_rate / (1 - first**self._steps)
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._means, self._squares, strict=True
        ):
            mean.lerp_(gradient, 1 - first)
            square.lerp_(gradient**2, 1 - second)
            parameter.sub_(rate * mean / ((square / (1 - second**self._steps)).sqrt() + 1e-8))

    def state_dict(self) -> dict[str, Any]:
        """The number of steps and the moving averages."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._steps, self._means, self._squares = state["steps"], state["means"], state["squares"]


def _read(path: Path) -> dict[str, Any]:
    """What ``save`` wrote. Raises ValueError for any other file."""
    import pickle

    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"cannot be read as a controller: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT or "network" not in state:
        raise ValueError("cannot be read as a controller of this version")
    return state


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
