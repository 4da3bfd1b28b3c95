"""The training loop as plain functions: an epoch, one update, the scores on held-out rows."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from trainables.recipe import Task

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs n x k, targets n) -> the mean over the rows, a scalar."""

EVALUATION_ROWS = 8192
"""Rows per forward pass in evaluation: bounds the memory of large data sets, one pass for small ones."""


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of ``outputs`` (n x 1) against ``targets`` (n)."""
    return functional.mse_loss(outputs.squeeze(-1), targets)


def train_epoch(
    network: nn.Module,
    optimizer: Optimizer,
    loss: Loss,
    features: Tensor,
    targets: Tensor,
    *,
    batch_size: int,
    generator: torch.Generator,
) -> float:
    """Train once over all rows in an order drawn from ``generator``; the mean loss over the rows."""
    network.train()
    order = torch.randperm(len(targets), generator=generator).to(features.device)
    total = torch.zeros((), dtype=features.dtype, device=features.device)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch_loss = train_batch(network, optimizer, loss, features[rows], targets[rows])
        total += batch_loss * len(rows)
    # The only wait for an accelerator in the epoch.
    return total.item() / len(targets)


def train_batch(
    network: nn.Module, optimizer: Optimizer, loss: Loss, features: Tensor, targets: Tensor
) -> Tensor:
    """Update the network once; the loss before the update."""
    optimizer.zero_grad()
    batch_loss = loss(network(features), targets)
    batch_loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return batch_loss.detach()


def evaluate(
    network: nn.Module, loss: Loss, features: Tensor, targets: Tensor, *, task: Task, target_scale: float
) -> dict[str, float]:
    """``val_loss`` and, by the task, ``val_accuracy`` or ``val_rmse`` (times ``target_scale``)."""
    network.eval()
    rows = len(targets)
    total_loss: Tensor | float = 0.0
    total_score: Tensor | float = 0.0
    score = correct if task == "classification" else squared_errors
    with torch.inference_mode():
        for start in range(0, rows, EVALUATION_ROWS):
            wanted = targets[start : start + EVALUATION_ROWS]
            outputs = network(features[start : start + EVALUATION_ROWS])
            total_loss += loss(outputs, wanted) * len(wanted)
            total_score += score(outputs, wanted)
    mean_loss, mean_score = float(total_loss) / rows, float(total_score) / rows
    if task == "classification":
        return {"val_loss": mean_loss, "val_accuracy": mean_score}
    return {"val_loss": mean_loss, "val_rmse": math.sqrt(mean_score) * target_scale}


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """How many rows are classified rightly; nan if an output is nan, where argmax would name some class."""
    hits = (outputs.argmax(dim=1) == targets).sum()
    return torch.where(outputs.isnan().any(), torch.nan, hits.double())


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum of the squared errors of ``outputs`` (n x 1) against ``targets`` (n)."""
    return functional.mse_loss(outputs.squeeze(-1), targets, reduction="sum")
