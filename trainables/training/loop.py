"""The training of one model as functions of a ``Learner``: epochs, updates and validation scores.

Needs torch, but no Ray.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional
from torch.optim import Optimizer

from trainables.configs import MixedPrecision, Task, TrainingConfig
from trainables.layers import counter_random, dropout
from trainables.training import optimizers, progress
from trainables.training.augmentation import Augmentation, augments
from trainables.training.gradients import GradientRules
from trainables.training.loss import Loss, TrainingLoss
from trainables.training.metrics import Metrics
from trainables.training.progress import TrainingProgress
from trainables.training.randomness import RandomStreams

Rows = tuple[Tensor, Tensor]
"""Features n x d and targets n, on the model's device, or on the CPU if they are too large for it."""

EVALUATION_ROWS = 8192
"""Rows per forward pass in evaluation. This bounds memory; small data sets take one pass."""

_AMP_TYPES: dict[MixedPrecision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Learner:
    """A model in training: the state that an epoch reads and changes."""

    network: nn.Module
    optimizer: Optimizer
    loss: Loss
    config: TrainingConfig
    streams: RandomStreams
    seed: int
    training: Rows
    validation: Rows
    task: Task
    target_scale: float
    metrics: Metrics
    shape: tuple[int, ...]
    """Shape of one row: ``(d,)``, or that of an image."""

    device: torch.device
    """The model's device."""

    forward: Callable[[Tensor], Tensor]
    """The network or its compiled form, for training."""

    predict: Callable[[Tensor], Tensor] | None = None
    """The network for evaluation; ``None``: the network itself."""

    rules: Callable[..., GradientRules] = GradientRules
    """Makes the penalties and limits of the gradients."""

    loss_scaler: GradScaler | None = None
    """Keeps fp16 gradients from underflow; ``None`` without fp16."""
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    epoch: int = 0

    @property
    def batches(self) -> int:
        """Updates per epoch."""
        return -(-len(self.training[1]) // self.config.batch_size)

    @property
    def like(self) -> Tensor:
        """A zero with the type and device of the model's computation."""
        return torch.zeros((), dtype=self.training[0].dtype, device=self.device)

    def order(self) -> Tensor:
        """Draw the order of the training rows in the next epoch, on the CPU."""
        return torch.randperm(len(self.training[1]), generator=self.streams.order)

    def dropout_keys(self) -> Tensor:
        """Return the dropout keys of the next epoch, batches x layers, int32, on the CPU."""
        layers = len(dropout.dropouts(self.network))
        first = self.epoch * self.batches
        keys = counter_random.keys(self.seed, first_batch=first, batches=self.batches, layers=layers)
        return torch.from_numpy(keys)

    def learning_rate(self, batch: int) -> float:
        """Return the learning rate of update ``batch`` in the next epoch, counted from 0."""
        return progress.learning_rate(
            self.config,
            update=self.epoch * self.batches + batch,
            updates=self.batches,
            reduction=self.progress.reduction,
        )

    def is_warming(self) -> bool:
        """Return whether the learning rate changes between updates of the next epoch."""
        return progress.is_warming(self.config, epoch=self.epoch)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error of ``outputs`` (n x 1) against ``targets`` (n)."""
    return functional.mse_loss(outputs.squeeze(-1), targets)


def advance(learner: Learner) -> dict[str, float]:
    """Train for one epoch and evaluate. Returns the result of ``conclude``."""
    began = time.perf_counter()
    with learner.streams.borrowed():
        train_loss, gradient_norm = train_epoch(learner, learner.order())
        found = {"train_loss": train_loss, **evaluate(learner), "gradient_norm": gradient_norm}
    return conclude(learner, found, seconds=time.perf_counter() - began)


def conclude(learner: Learner, found: dict[str, float], *, seconds: float) -> dict[str, float]:
    """End an epoch whose scores are ``found``, and return its result.

    The result adds facts about the epoch, and ``done`` if early stopping ends the trial.
    """
    about = {
        "learning_rate": learner.learning_rate(learner.batches - 1),
        "epoch_seconds": seconds,
        "parameters": sum(each.numel() for each in learner.network.parameters() if each.requires_grad),
    }
    done = learner.progress.observe(found["val_loss"], learner.config)
    learner.epoch += 1
    return {**found, **about, **({"done": True} if done else {})}


def train_epoch(learner: Learner, order: Tensor) -> tuple[float, float]:
    """Train once on all rows in the given order. Returns the mean loss and the norm of the last gradient."""
    features, targets = learner.training
    config, batch_size, device = learner.config, learner.config.batch_size, learner.device
    modules = [module for _, module in dropout.dropouts(learner.network.train())]
    keys = learner.dropout_keys().to(device) if modules else None
    order = order.to(features.device)
    augmentation = augmentation_of([learner], stacked=False)
    rules = learner.rules([config], stacked=False, like=learner.like)
    loss = TrainingLoss(learner.loss, [config], stacked=False, like=learner.like)
    share = None
    total = norm = learner.like
    for batch, start in enumerate(range(0, len(order), batch_size)):
        rows = order[start : start + batch_size]
        if keys is not None:
            for module, key in zip(modules, keys[batch], strict=True):
                module.key.copy_(key)
        if batch == 0 or learner.is_warming():
            optimizers.set_learning_rate(learner.optimizer, learner.learning_rate(batch))
        inputs, wanted = features[rows].to(device), targets[rows].to(device)
        if augmentation is not None:
            inputs, share = augmentation(inputs, batch), augmentation.share(batch)
        total = total + backward(learner, loss, inputs, wanted, share) * len(rows)
        is_last = start + batch_size >= len(order)
        if rules.any or is_last:
            norm = _apply(rules, learner.network, measured=is_last)
        update(learner)
    # The epoch waits for an accelerator only here.
    total_loss, last_norm = torch.stack([total, norm]).tolist()
    return total_loss / len(targets), last_norm


def augmentation_of(learners: Sequence[Learner], *, stacked: bool) -> Augmentation | None:
    """Return the augmentation of the next epoch, or ``None`` if no rows are changed."""
    first = learners[0]
    if not any(augments(learner.config) for learner in learners):
        return None
    return Augmentation(
        [learner.config for learner in learners],
        seeds=[learner.seed for learner in learners],
        epochs=[learner.epoch for learner in learners],
        batches=first.batches,
        shape=first.shape,
        stacked=stacked,
        like=first.like,
    )


def backward(
    learner: Learner, loss: TrainingLoss, features: Tensor, targets: Tensor, share: Tensor | None
) -> Tensor:
    """Store a batch's gradients in the parameters, and return its loss."""
    learner.optimizer.zero_grad()
    with _autocast(learner):
        batch_loss = loss(learner.forward(features), targets, share)
    scaler = learner.loss_scaler
    if scaler is None:
        batch_loss.backward()  # type: ignore[no-untyped-call]
    else:
        scaler.scale(batch_loss).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(learner.optimizer)
    return batch_loss.detach()


def update(learner: Learner) -> None:
    """Update the parameters by their gradients. With fp16, an update with overflowed gradients is skipped."""
    scaler = learner.loss_scaler
    if scaler is None:
        optimizers.step(learner.optimizer)
    else:
        scaler.step(learner.optimizer)
        scaler.update()


def evaluate(learner: Learner) -> dict[str, float]:
    """Return ``val_loss``, ``val_accuracy`` or ``val_rmse`` (in the target's units), and further metrics."""
    features, targets = learner.validation
    network = learner.network.eval()
    predict = learner.predict or network
    device = learner.device
    total_loss = total_score = torch.zeros((), dtype=torch.float64, device=device)
    score = correct if learner.task == "classification" else squared_errors
    kept = []
    with torch.inference_mode():
        for start in range(0, len(targets), EVALUATION_ROWS):
            wanted = targets[start : start + EVALUATION_ROWS].to(device)
            rows = features[start : start + EVALUATION_ROWS].to(device, copy=True)
            outputs = predict(rows)  # may change its input in place
            total_loss = total_loss + learner.loss(outputs, wanted) * len(wanted)
            total_score = total_score + score(outputs, wanted)
            if learner.metrics.any:
                kept.append(outputs)
        [more] = learner.metrics.of(kept, targets.to(device)) if kept else [{}]
    return {**scores(learner, total_loss.item(), total_score.item()), **more}


def scores(learner: Learner, total_loss: float, total_score: float) -> dict[str, float]:
    """Return the validation metrics from sums over the validation rows."""
    rows = len(learner.validation[1])
    mean_loss, mean_score = total_loss / rows, total_score / rows
    if learner.task == "classification":
        return {"val_loss": mean_loss, "val_accuracy": mean_score}
    return {"val_loss": mean_loss, "val_rmse": math.sqrt(mean_score) * learner.target_scale}


def correct(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the number of correctly classified rows, or nan if an output is nan.

    ``outputs``: ... x n x k, ``targets``: n or ... x n. The result has the leading dimensions.
    """
    hits = (outputs.argmax(dim=-1) == targets).sum(dim=-1)
    return torch.where(outputs.isnan().flatten(-2).any(dim=-1), torch.nan, hits.double())


def squared_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of squared errors of ``outputs`` (... x n x 1) against ``targets`` (n or ... x n)."""
    return (outputs.squeeze(-1) - targets).square().sum(dim=-1)


def _autocast(learner: Learner) -> AbstractContextManager[object]:
    if learner.config.amp == "none":
        return nullcontext()
    return torch.autocast(learner.device.type, _AMP_TYPES[learner.config.amp])


def _apply(rules: GradientRules, network: nn.Module, *, measured: bool) -> Tensor:
    """Apply the rules to the network's gradients. Returns their norm before that if ``measured``, else 0."""
    trained = [parameter for parameter in network.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norm = rules.norm(gradients) if measured else torch.zeros(())
    if rules.any:
        for parameter, gradient in zip(trained, rules.apply(trained, gradients), strict=True):
            parameter.grad = gradient
    return norm
