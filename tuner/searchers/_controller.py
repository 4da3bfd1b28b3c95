"""The recurrent controller of ``reinforce``: an LSTM that makes one decision after another. Needs torch.

It computes in float64 on one thread, so a seed gives the same draws on every machine.
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

# Initial weights lie in [-0.08, 0.08] (Zoph and Le 2017, section 4.1), so all options start almost equally
# likely.
_INITIAL = 0.08


class Draw(NamedTuple):
    """A sequence of decisions."""

    tokens: tuple[int, ...]
    """Indices of the chosen options in the vocabulary."""
    log_probability: float
    """Log-probability of the sequence when it was drawn."""


class Network(nn.Module):
    """An LSTM that maps a sequence of tokens to one logit per token of the vocabulary.

    The vocabulary concatenates the options of all steps. One extra token starts each sequence.
    """

    def __init__(self, tokens: int, *, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # torch's own initial weights are overwritten below
            self.embedding = nn.Embedding(tokens + 1, hidden, dtype=torch.float64)
            self.lstm = nn.LSTM(hidden, hidden, batch_first=True, dtype=torch.float64)
            self.head = nn.Linear(hidden, tokens, dtype=torch.float64)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-_INITIAL, _INITIAL, generator=generator)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Map tokens (n x t) to logits (n x t x vocabulary) and the LSTM's new state."""
        outputs, state = self.lstm(self.embedding(tokens), state)
        return self.head(outputs), state


class ControllerNetwork:
    """The network with its vocabulary, optimizer and random generator.

    ``vocabulary`` maps the name of each step to its number of options, at least 1.
    """

    def __init__(
        self, vocabulary: Mapping[str, int], *, hidden: int, learning_rate: float, seed: int
    ) -> None:
        self.vocabulary = dict(vocabulary)
        self._offsets: dict[str, int] = {}
        self._start_token = 0  # the token that starts each sequence
        for name, options in self.vocabulary.items():
            self._offsets[name] = self._start_token
            self._start_token += options
        owners = torch.repeat_interleave(torch.tensor(list(self.vocabulary.values())))
        self._siblings = owners[:, None] == owners[None, :]  # whether two tokens belong to the same step
        self._hidden = hidden
        self._generator = torch.Generator().manual_seed(seed)
        self.network = Network(self._start_token, hidden=hidden, generator=self._generator)
        self._optimizer = Adam(list(self.network.parameters()), learning_rate=learning_rate)

    def drawing(self, *, temperature: float = 1.0) -> Drawing:
        """Start a sequence that is drawn decision by decision.

        A temperature above 1 makes the options more equally likely.
        """
        return Drawing(self, temperature)

    def recall(self, decisions: Sequence[tuple[str, int]]) -> Draw:
        """Return the sequence with the given decisions (step, option), with its log-probability now."""
        tokens = tuple(self._offsets[name] + option for name, option in decisions)
        with _one_thread(), torch.no_grad():
            [log_probability], _ = self.judge([Draw(tokens, 0.0)])
        return Draw(tokens, float(log_probability))

    def judge(self, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Return each sequence's current log-probability (n) and the summed entropy of its steps (n)."""
        longest = max(len(draw.tokens) for draw in draws)
        chosen = torch.full((len(draws), longest), self._start_token)
        for row, draw in enumerate(draws):
            chosen[row, : len(draw.tokens)] = torch.tensor(draw.tokens)
        present = chosen != self._start_token
        logits, _ = self.network(functional.pad(chosen, (1, -1), value=self._start_token))
        chosen = chosen.where(present, 0)
        impossible = ~self._siblings[chosen]
        every = logits.masked_fill(impossible, -torch.inf).log_softmax(-1)
        chosen_logs = every.gather(-1, chosen[..., None]).squeeze(-1)
        # Impossible options have log-probability -inf. Masking them avoids 0 x inf.
        entropies = -(every.exp() * every.masked_fill(impossible, 0.0)).sum(-1)
        return (chosen_logs * present).sum(-1), (entropies * present).sum(-1)

    def learn(self, draws: Sequence[Draw], advantages: Sequence[float], *, entropy: float) -> None:
        """Update the network once.

        A positive advantage makes a sequence more likely, a negative one less likely.
        """
        with _one_thread():
            loss = self.loss(draws, advantages, entropy=entropy)
            self._optimizer.step(torch.autograd.grad(loss, list(self.network.parameters())))

    def loss(self, draws: Sequence[Draw], advantages: Sequence[float], *, entropy: float) -> Tensor:
        """Return the loss of an update: REINFORCE (Williams 1992) with an entropy bonus.

        Results arrive after other updates. The term of a sequence is therefore weighted by the ratio of its
        current probability to its probability when drawn, at most 1.
        """
        log_probabilities, entropies = self.judge(draws)
        before = torch.tensor([draw.log_probability for draw in draws], dtype=torch.float64)
        weights = (log_probabilities.detach() - before).exp().clamp(max=1.0)
        gains = weights * torch.tensor(advantages, dtype=torch.float64) * log_probabilities
        return -(gains + entropy * entropies).mean()

    def save(self, path: Path) -> None:
        """Write network and optimizer atomically, for ``torch.load(weights_only=True)``.

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
        """Restore what ``save`` wrote.

        Raises ValueError when the file cannot be read, or when its vocabulary or hidden size differs.
        """
        state = _read(path)
        for name, own in (("vocabulary", self.vocabulary), ("hidden", self._hidden)):
            if state[name] != own:
                raise ValueError(f"must have this sweep's {name}, {own}, got {state[name]}")
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


class Drawing:
    """A sequence that is being drawn. ``draw`` holds the decisions so far."""

    def __init__(self, controller: ControllerNetwork, temperature: float) -> None:
        self._controller = controller
        self._temperature = temperature
        self._token = controller._start_token
        self._state: Any = None
        self.draw = Draw((), 0.0)

    def choose(self, name: str) -> int:
        """Draw an option of the step ``name`` and return its index, from 0."""
        controller = self._controller
        start, options = controller._offsets[name], controller.vocabulary[name]
        with _one_thread(), torch.no_grad():
            logits, self._state = controller.network(torch.tensor([[self._token]]), self._state)
            log_probabilities = (logits[0, 0, start : start + options] / self._temperature).log_softmax(0)
            option = int(torch.multinomial(log_probabilities.exp(), 1, generator=controller._generator))
        self._token = start + option
        self.draw = Draw(
            (*self.draw.tokens, self._token), self.draw.log_probability + float(log_probabilities[option])
        )
        return option


class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980).

    ``torch.optim`` imports torch's compiler, which takes a second.
    """

    def __init__(self, parameters: list[nn.Parameter], *, learning_rate: float) -> None:
        self._parameters = parameters
        self._learning_rate = learning_rate
        self._steps = 0
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place, given their gradients."""
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
        """Return the number of steps and the moving averages."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        self._steps, self._means, self._squares = state["steps"], state["means"], state["squares"]


def _read(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote. Raises ValueError for any other file."""
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
