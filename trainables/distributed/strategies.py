"""How the processes of a trial hold a network: a copy in each (``ddp``), or a part in each (``fsdp``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainables.configs import Strategy, TrainingConfig
from trainables.distributed.batches import SharedForward
from trainables.distributed.group import Group
from trainables.distributed.normalization import whole_batch_norms
from trainables.training.gradients import GradientRules

_USE_ALL_PARAMETERS = ("torch.nn.", "trainables.")
"""Packages whose modules use each of their parameters in every forward pass."""


@dataclass(frozen=True)
class Execution:
    """A network, and the functions that compute its outputs."""

    network: nn.Module
    forward: Callable[[Tensor], Tensor]
    """For training: the rows of a batch to the outputs of all its rows."""

    predict: Callable[[Tensor], Tensor]
    """The same for evaluation."""

    rules: Callable[..., GradientRules]


def alone(network: nn.Module, device: torch.device, config: TrainingConfig) -> Execution:
    """Let this process train the network by itself."""
    network = network.to(device)
    forward = torch.compile(network) if config.compile else network
    return Execution(network=network, forward=forward, predict=network, rules=GradientRules)


def together(network: nn.Module, group: Group, strategy: Strategy, config: TrainingConfig) -> Execution:
    """Let the processes of a group train the network, which each of them has built alike on the CPU.

    Raises ValueError for a hyperparameter or a model that several processes cannot train.
    """
    _refuse_lazy_layers(network)
    norms = whole_batch_norms(network)
    if config.compile and norms:
        raise ValueError(
            "compile: cannot compile batch normalization over several processes; must be false in a trial "
            "of several processes, or the normalization another one, got true"
        )
    return _sharded(network, group, config) if strategy == "fsdp" else _copied(network, group, config)


def _copied(network: nn.Module, group: Group, config: TrainingConfig) -> Execution:
    """Let each process hold the whole network. Gradients are averaged during the backward pass."""
    network = network.to(group.device)
    uses_all = all(type(each).__module__.startswith(_USE_ALL_PARAMETERS) for each in network.modules())
    trained: Any = torch.compile(network) if config.compile else network
    # SharedForward copies the buffers that need it.
    ignore: Any = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
    ignore(trained, [name for name, _ in trained.named_buffers()])
    parallel = DistributedDataParallel(trained, find_unused_parameters=not uses_all)
    return Execution(
        network=network,
        forward=SharedForward(parallel, network, group),
        predict=SharedForward(network, network, group),
        rules=GradientRules,
    )


def _sharded(network: nn.Module, group: Group, config: TrainingConfig) -> Execution:
    """Let each process hold a part of each parameter, its gradient and its optimizer's state."""
    try:
        from trainables.distributed import sharding
    except ImportError as error:
        raise ValueError(
            f"strategy: fsdp needs PyTorch 2.6 or later, got {torch.__version__}; write strategy: ddp"
        ) from error
    if config.amp == "fp16":
        raise ValueError("amp: strategy fsdp cannot scale the loss; must be none or bf16, got 'fp16'")
    if config.compile:
        raise ValueError("compile: must be false with strategy fsdp, got true")
    sharding.shard(network, group)

    def predict(rows: Tensor) -> Tensor:
        # A parameter that is gathered in inference mode could not be trained later.
        with torch.inference_mode(False), torch.no_grad():
            outputs: Tensor = network(rows.clone())
        network.reshard()  # type: ignore[operator]
        return outputs

    return Execution(
        network=network,
        forward=SharedForward(network, network, group),
        predict=SharedForward(predict, network, group),
        rules=sharding.ShardedRules,
    )


def _refuse_lazy_layers(network: nn.Module) -> None:
    for name, parameter in [*network.named_parameters(), *network.named_buffers()]:
        if isinstance(parameter, (nn.UninitializedParameter, nn.UninitializedBuffer)):
            raise ValueError(
                f"model: '{name}' is lazy: its first batch determines its shape; must have a fixed shape in "
                "a trial of several processes"
            )
