"""``Signature``: the properties that models must share to train as one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import nn

from trainables.configs import MetricName, OptimizerName, Task
from trainables.stacking.errors import CannotStack
from trainables.training.loop import Learner
from trainables.training.loss import Loss

_PLAIN = (bool, int, float, str, torch.dtype, type)

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch keeps in every module. They include the training mode, which a stack sets itself."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Signature(NamedTuple):
    """Learners with equal signatures can train as one."""

    layers: tuple[Hashable, ...]
    """For each module: its name, class and plain attributes."""
    shapes: tuple[Hashable, ...]
    """For each parameter and buffer: its name, shape and type, and whether it is trained."""
    optimizer: OptimizerName
    batch_size: int
    loss: Hashable
    task: Task
    metrics: tuple[MetricName, ...]
    device: torch.device
    row_shape: tuple[int, ...]
    rows: tuple[int, ...]
    """Identities of the row tensors: all lanes draw from the same data set in memory."""

    @property
    def model(self) -> Hashable:
        """The parts that determine the forward pass."""
        return self.layers, self.shapes

    @property
    def kind(self) -> Signature:
        """The signature without ``rows``, which differ between processes and sweeps."""
        return self._replace(rows=())


def signature(learner: Learner) -> Signature:
    """Return the signature of a learner. Raises CannotStack for a model that can never be stacked."""
    if learner.config.amp != "none":
        raise CannotStack(f"amp: {learner.config.amp}: a stack trains in the data's type")
    if learner.config.compile:
        raise CannotStack("compile: true: each model is compiled on its own")
    modules = []
    for name, module in learner.network.named_modules():
        own = tuple(
            (key, _plain(name, key, value)) for key, value in vars(module).items() if _matters(module, key)
        )
        if any(vars(module)[kind] for kind in _HOOKS):
            raise CannotStack(f"module '{name}' has hooks")
        modules.append((name, type(module), own))
    tensors = [*learner.network.named_parameters(), *learner.network.named_buffers()]
    for name, tensor in tensors:
        if tensor._backward_hooks or tensor._post_accumulate_grad_hooks:
            raise CannotStack(f"parameter '{name}' has hooks")
    if any(isinstance(parameter, nn.UninitializedParameter) for _, parameter in tensors):
        raise CannotStack("a layer is lazy: its first batch determines its shape")
    return Signature(
        layers=tuple(modules),
        shapes=tuple((name, tuple(value.shape), value.dtype, value.requires_grad) for name, value in tensors),
        optimizer=learner.config.optimizer,
        batch_size=learner.config.batch_size,
        loss=_loss(learner.loss),
        task=learner.task,
        metrics=learner.metrics.names,
        device=learner.device,
        row_shape=learner.shape,
        rows=tuple(id(part) for part in (*learner.training, *learner.validation)),
    )


def _matters(module: nn.Module, attribute: str) -> bool:
    """Return whether the forward pass may depend on an attribute. torch derives its layers' private ones."""
    return attribute not in _OF_EVERY_MODULE and not (
        attribute[0] == "_" and type(module).__module__.startswith("torch.nn.")
    )


def _loss(loss: Loss) -> Hashable:
    """Return a comparable form of a loss. A module without tensors is compared by class and attributes."""
    if not isinstance(loss, nn.Module) or [*loss.parameters(), *loss.buffers(), *loss.children()]:
        return loss
    own = [(key, value) for key, value in vars(loss).items() if key not in _OF_EVERY_MODULE]
    return loss if not all(isinstance(value, _PLAIN) for _, value in own) else (type(loss), *own)


def _plain(module: str, key: str, value: Any) -> Hashable:
    """Return a plain attribute in comparable form. Raises CannotStack for others: they may differ by lane."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(_plain(module, key, item) for item in value)
    if callable(value):
        function: Hashable = value
        return function
    raise CannotStack(
        f"module '{module}' holds '{key}', a {type(value).__name__}, which may differ between trials"
    )
