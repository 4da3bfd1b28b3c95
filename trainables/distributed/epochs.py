"""``advance``: train one epoch in all processes of a trial."""

from __future__ import annotations

import torch
from torch import distributed

from trainables.distributed.group import Group
from trainables.training import loop
from trainables.training.loop import Learner


def advance(learner: Learner, group: Group) -> dict[str, float]:
    """Train for one epoch and evaluate, as ``loop.advance`` does in one process."""
    if group.rank > 0:
        # A model may draw numbers of its own. Two processes must not draw the same ones for their rows.
        learner.streams.restart_noise([learner.seed, group.rank, learner.epoch])
    result = loop.advance(learner)
    _agree(learner, group)
    return result


def _agree(learner: Learner, group: Group) -> None:
    """Take the training's progress from rank 0.

    On machines of different kinds the last digits of ``val_loss`` may differ, and so the learning rate.
    """
    own = learner.progress.state_dict()
    numbers = torch.tensor(list(own.values()), dtype=torch.float64, device=group.device)
    distributed.broadcast(numbers, src=0)
    agreed = zip(own.items(), numbers.tolist(), strict=True)
    learner.progress.load_state_dict({name: type(value)(number) for (name, value), number in agreed})
