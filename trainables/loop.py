"""The training of one model as plain functions of a ``Learner``: an epoch, one update, the validation scores.

Needs torch only, no Ray.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from trainables import dropout, optimizers
from trainables.metrics import Metrics
from trainables.randomness import Streams
from trainables.recipe import Task, TrainingConfig

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs n x k, targets n) -> the mean over the rows, a scalar."""

Rows = tuple[Tensor, Tensor]
"""Features n x d and targets n, on one device."""

EVALUATION_ROWS = 8192
"""Rows per forward pass in evaluation: bounds the memory of large data sets, one pass for small ones."""


@dataclass
class Learner:
    """A model in training: all that an epoch reads and changes."""

    network: nn.Module
    optimizer: Optimizer
    loss: Loss
    config: TrainingConfig
    streams: Streams
    seed: int
    training: Rows
    validation: Rows
    task: Task
    target_scale: float
    metrics: Metrics
    epoch: int = 0

    def order(self) -> Tensor:
        """The order of the training rows in the next epoch; drawn anew at every call."""
        features, targets = self.training
        return torch.randperm(len(targets), generator=self.streams.order).to(features.device)

    def dropout_keys(self) -> Tensor:
        """The keys of the next epoch's dropout, batches x layers, int32 on the CPU."""
        batches = -(-len(self.training[1]) // self.config.batch_size)
        layers = len(dropout.dropouts(self.network))
        return torch.from_numpy(
            dropout.keys(self.seed, first_batch=self.epoch * batches, batches=batches, layers=layers)
        )


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of ``outputs`` (n x 1) against ``targets`` (n)."""
    return functional.mse_loss(outputs.squeeze(-1), targets)


def advance(learner: Learner) -> dict[str, float]:
    """Train for one epoch and evaluate; ``train_loss`` and the validation scores."""
    with learner.streams.borrowed():
        train_loss = train_epoch(learner, learner.order())
        scores = evaluate(learner)
    learner.epoch += 1
    return {"train_loss": train_loss, **scores}


def train_epoch(learner: Learner, order: Tensor) -> float:
    """Train once over all rows in the given order; the mean loss over the rows."""
    features, targets = learner.training
    network, optimizer, batch_size = learner.network.train(), learner.optimizer, learner.config.batch_size
    modules = [module for _, module in dropout.dropouts(network)]
    keys = learner.dropout_keys() if modules else None
    total = torch.zeros((), dtype=features.dtype, device=features.device)
    for batch, start in enumerate(range(0, len(order), batch_size)):
        rows = order[start : start + batch_size]
        if keys is not None:
            for module, key in zip(modules, keys[batch], strict=True):
                module.key.copy_(key)
        total += train_batch(network, optimizer, learner.loss, features[rows], targets[rows]) * len(rows)
    # The only wait for an accelerator in the epoch.
    return total.item() / len(targets)


def train_batch(
    network: nn.Module, optimizer: Optimizer, loss: Loss, features: Tensor, targets: Tensor
) -> Tensor:
    """Update the network once; the loss before the update."""
    optimizer.zero_grad()
    batch_loss = loss(network(features), targets)
    batch_loss.backward()  # type: ignore[no-untyped-call]
    optimizers.step(optimizer)
    return batch_loss.detach()


def evaluate(learner: Learner) -> dict[str, float]:
    """``val_loss`` and, by the task, ``val_accuracy`` or ``val_rmse`` (in the target's own units).

    And what ``metrics`` names.
    """
    features, targets = learner.validation
    network = learner.network.eval()
    total_loss = total_score = torch.zeros((), dtype=torch.float64, device=features.device)
    score = correct if learner.task == "classification" else squared_errors
    kept = []
    with torch.inference_mode():
        for start in range(0, len(targets), EVALUATION_ROWS):
            wanted = targets[start : start + EVALUATION_ROWS]
            outputs = network(features[start : start + EVALUATION_ROWS])
            total_loss = total_loss + learner.loss(outputs, wanted) * len(wanted)
            total_score = total_score + score(outputs, wanted)
            if learner.metrics.any:
                kept.append(outputs)
        [more] = learner.metrics.of(kept, targets) if kept else [{}]
    return {**scores(learner, total_loss.item(), total_score.item()), **more}


def scores(learner: Learner, total_loss: float, total_score: float) -> dict[str, float]:
    """The validation metrics, from sums over the validation rows."""
    rows = len(learner.validation[1])
    mean_loss, mean_score = total_loss / rows, total_score / rows
    if learner.task == "classification":
        return {"val_loss": mean_loss, "val_accuracy": mean_score}
    return {"val_loss": mean_loss, "val_rmse": math.sqrt(mean_score) * learner.target_scale}


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many rows are classified rightly; nan if an output is nan, where argmax would name some class.

    ``outputs``: ... x n x k, ``targets``: n or ... x n; one sum for each of the leading dimensions.
    """
    hits = (outputs.argmax(dim=-1) == targets).sum(dim=-1)
    return torch.where(outputs.isnan().flatten(-2).any(dim=-1), torch.nan, hits.double())


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum of the squared errors of ``outputs`` (... x n x 1) against ``targets`` (n or ... x n)."""
    return (outputs.squeeze(-1) - targets).square().sum(dim=-1)
