"""Metrics of a model's outputs, for one model or for all lanes of a stack. Needs torch only.

Each function takes outputs (... x n x k for k classes, ... x n x 1 for a regression) and targets (n), and
returns one number per leading dimension. It is nan if the metric is undefined or an output is not finite.
Definitions are scikit-learn's; multi-class ROC AUC is one-vs-rest, macro.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from trainables.configs import MetricName, Task

Metric = Callable[[Tensor, Tensor], Tensor]


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of correctly classified rows."""
    return (outputs.argmax(dim=-1) == targets).double().mean(dim=-1)


def balanced_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean recall of the classes that occur: the share of a class's rows that is found."""
    hits, _, present = _counts(outputs, targets)
    return _mean(hits / present, where=present > 0)


def macro_f1(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean F1 score over the classes that occur or are predicted."""
    hits, predicted, present = _counts(outputs, targets)
    return _mean(2 * hits / (predicted + present), where=predicted + present > 0)


def log_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the rows' classes."""
    logs = functional.log_softmax(outputs.double(), dim=-1)
    return -logs.gather(-1, targets.expand(outputs.shape[:-1]).unsqueeze(-1)).squeeze(-1).mean(dim=-1)


def roc_auc(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the area under the ROC curve of the probabilities; nan if a class does not occur."""
    probabilities = outputs.double().softmax(dim=-1)
    classes = outputs.shape[-1]
    positives = [1] if classes == 2 else range(classes)
    return torch.stack([_auc(probabilities[..., each], targets == each) for each in positives]).mean(dim=0)


def rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the root mean squared error, in units of the targets."""
    return (outputs.squeeze(-1) - targets).double().square().mean(dim=-1).sqrt()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error, in units of the targets."""
    return (outputs.squeeze(-1) - targets).double().abs().mean(dim=-1)


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of the targets' variance that the outputs explain, at most 1."""
    total_squares = (targets.double() - targets.double().mean()).square().sum()
    return 1 - (outputs.squeeze(-1) - targets).double().square().sum(dim=-1) / total_squares


CLASSIFICATION: dict[MetricName, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "roc_auc": roc_auc,
    "log_loss": log_loss,
}
REGRESSION: dict[MetricName, Metric] = {"rmse": rmse, "mae": mae, "r2": r2}
BY_TASK: dict[Task, dict[MetricName, Metric]] = {"classification": CLASSIFICATION, "regression": REGRESSION}

_IN_UNITS = ("rmse", "mae")
"""Metrics in units of the target, which is standardised in training."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of the validation rows besides loss, accuracy and RMSE."""

    task: Task
    names: tuple[MetricName, ...] = ()
    """Names of the functions above."""

    own: Mapping[str, Callable[[Tensor, Tensor], float | Tensor]] = field(default_factory=dict)
    """The user's functions of outputs n x k and targets n."""

    target_scale: float = 1.0
    """Standard deviation of the target, in its own units."""

    @property
    def any(self) -> bool:
        """Whether there is at least one metric."""
        return bool(self.names or self.own)

    def of(self, chunks: Sequence[Tensor], targets: Tensor) -> list[dict[str, float]]:
        """Return each lane's metrics as ``val_<name>``. ``chunks``: outputs n_i x k, or lanes x n_i x k."""
        outputs = torch.cat(list(chunks), dim=-2)
        lanes = outputs if outputs.dim() == 3 else outputs.unsqueeze(0)
        found: dict[str, list[float]] = {}
        for name in self.names:
            values = BY_TASK[self.task][name](lanes, targets)
            if name in _IN_UNITS:
                values = values * self.target_scale
            found[name] = torch.where(lanes.isfinite().flatten(1).all(dim=1), values, torch.nan).tolist()
        for own_name, function in self.own.items():
            found[own_name] = [float(function(lane, targets)) for lane in lanes]
        return [{f"val_{name}": values[lane] for name, values in found.items()} for lane in range(len(lanes))]


def _counts(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, by class, correctly predicted rows (... x k), predicted rows (... x k) and actual rows (k)."""
    classes = outputs.shape[-1]
    predicted = functional.one_hot(outputs.argmax(dim=-1), classes).double()
    actual = functional.one_hot(targets, classes).double()
    return (predicted * actual).sum(dim=-2), predicted.sum(dim=-2), actual.sum(dim=-2)


def _mean(values: Tensor, *, where: Tensor) -> Tensor:
    """Return the mean over the last dimension of the values at which ``where`` is true."""
    return torch.where(where, values, 0.0).sum(dim=-1) / where.sum(dim=-1)


def _auc(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the probability that a positive row has a higher score than a negative one; ties count half.

    ``scores``: ... x n, ``positive``: n.
    """
    negatives = scores[..., ~positive].sort(dim=-1).values.contiguous()
    positives = scores[..., positive].contiguous()
    below = torch.searchsorted(negatives, positives, right=False).double()
    not_above = torch.searchsorted(negatives, positives, right=True).double()
    return (below + not_above).mean(dim=-1) / 2 / negatives.shape[-1]
