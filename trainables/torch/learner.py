"""``make_learner``: build a ``Learner`` for a data set. ``test_scores``: score it on the test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn import functional

from trainables.configs import Strategy, Task, TrainingConfig
from trainables.data.datasets import Dataset
from trainables.distributed import strategies
from trainables.distributed.group import Group
from trainables.layers.dropout import replace_dropout
from trainables.layers.initialization import initialize
from trainables.torch.devices import Devices
from trainables.training import loss as training_loss
from trainables.training import optimizers
from trainables.training.loop import Learner, evaluate, squared_error
from trainables.training.loss import Loss
from trainables.training.metrics import Metrics
from trainables.training.randomness import RandomStreams

LOSSES: dict[Task, Loss] = {"classification": functional.cross_entropy, "regression": squared_error}
"""The losses of trainables without their own."""


def make_learner(
    model: Callable[[], nn.Module],
    *,
    loss: Loss,
    config: TrainingConfig,
    metrics: Metrics,
    seed: int,
    dataset: Dataset,
    device: torch.device,
    devices: Devices,
    group: Group | None = None,
    strategy: Strategy = "ddp",
) -> Learner:
    """Return a learner with a new network, before its first epoch.

    ``group``: the processes that train it together by ``strategy``; ``None`` if this process trains alone.
    """
    streams = RandomStreams(seed, device)
    training = devices.rows(dataset.training, device)
    with streams.borrowed():
        network = replace_dropout(model())
        initialize(network, config)
    training_loss.refuse_smoothing(loss, config)
    if config.amp != "none" and training[0].dtype != torch.float32:
        raise ValueError(f"amp: needs precision float32; must be none, got '{config.amp}'")
    # The network is built on the CPU in float32, so initial weights do not depend on device and precision.
    network = network.to(training[0].dtype)
    execution = (
        strategies.alone(network, device, config)
        if group is None
        else strategies.together(network, group, strategy, config)
    )
    return Learner(
        network=execution.network,
        optimizer=optimizers.build(config, execution.network.parameters()),
        loss=loss,
        config=config,
        streams=streams,
        seed=seed,
        training=training,
        validation=devices.rows(dataset.validation, device),
        task=dataset.task,
        target_scale=dataset.target.scale,
        metrics=replace(metrics, target_scale=dataset.target.scale),
        shape=dataset.shape,
        device=device,
        loss_scaler=GradScaler(device.type) if config.amp == "fp16" else None,
        forward=execution.forward,
        predict=execution.predict,
        rules=execution.rules,
    )


def test_scores(learner: Learner, dataset: Dataset, devices: Devices) -> dict[str, float]:
    """Return the scores on the test rows, under the names of the validation metrics."""
    with learner.streams.borrowed():
        return evaluate(replace(learner, validation=devices.rows(dataset.test, learner.device)))
