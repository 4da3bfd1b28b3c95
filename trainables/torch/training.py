"""What a ``TorchTrainable`` does with torch: set up, stack, save and load the training of one model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import ray
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.nn import functional

from trainables.atomic import write_whole
from trainables.configs import Task, TrainingConfig
from trainables.data.datasets import Dataset, Part
from trainables.layers.dropout import replace_dropout
from trainables.layers.initialization import initialize
from trainables.stacking import stack
from trainables.stacking.signature import CannotStack, kind, signature
from trainables.training import loss as training_loss
from trainables.training import optimizers
from trainables.training.loop import Learner, evaluate, squared_error
from trainables.training.loss import Loss
from trainables.training.metrics import Metrics
from trainables.training.randomness import Streams

CHECKPOINT_FILE = "checkpoint.pt"
CHECKPOINT_FORMAT = 2

LOSSES: dict[Task, Loss] = {"classification": functional.cross_entropy, "regression": squared_error}
"""What is minimised where a trainable says nothing else."""

_ON_DEVICE: WeakKeyDictionary[Part, dict[torch.device, tuple[Tensor, Tensor]]] = WeakKeyDictionary()
"""One copy of a data set per device and process, shared by its trials, which only read it."""

_SHARE_FOR_DATA = 0.5
"""Of the memory of a device that is free, and of the process's own part of it; the rest is for models."""

_UNSTACKABLE: dict[Hashable, str] = {}
"""Kinds of learners whose models turned out not to be vectorisable, and why."""


def granted_device(resources: Any) -> torch.device:
    """The device of a trial with these resources (Ray's; ``None``: this process's own).

    The first time that it is a GPU, the process gets ready to use it.
    """
    if resources is not None:
        gpus = resources.required_resources.get("GPU", 0)
    else:
        gpus = len(ray.get_gpu_ids()) if ray.is_initialized() else 0
    if gpus > 0 and not torch.cuda.is_available():
        raise RuntimeError(
            f"resources.gpu: the trial was granted a GPU, but this PyTorch ({torch.__version__}) "
            "sees none; install a build with CUDA on every node, or set gpu to 0"
        )
    if gpus > 0:
        _prepare_gpu()
    return torch.device("cuda" if gpus > 0 else "cpu")


@cache
def _prepare_gpu() -> None:
    """Keep to the process's part of it, and let results on it be a function of config and seed.

    Once, so that what a model sets instead stays.
    """
    # Else one that takes more than its part fails its neighbours, which then find no memory.
    if (part := _granted_part()) < 1:
        torch.cuda.set_per_process_memory_fraction(part)
    # By default convolutions round their inputs to 10 bits, and add up their gradients in any order.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


def memory_share(device: torch.device) -> float | None:
    """Bytes of an accelerator that this process may count on, where several share it; ``None`` on the CPU."""
    if device.type != "cuda":
        return None
    _, total = torch.cuda.mem_get_info(device)
    return total * _granted_part()


def _granted_part() -> float:
    """The part of its GPU that Ray has granted this process; outside an actor, and of several GPUs, all."""
    if not ray.is_initialized() or (context := ray.get_runtime_context()).get_actor_id() is None:
        return 1.0
    return min(1.0, float(context.get_assigned_resources().get("GPU", 1.0)))


def learner(
    model: Callable[[], nn.Module],
    *,
    loss: Loss,
    config: TrainingConfig,
    metrics: Metrics,
    seed: int,
    dataset: Dataset,
    device: torch.device,
) -> Learner:
    """The training of a new network, before its first epoch."""
    streams = Streams(seed, device)
    training = _tensors(dataset.training, device)
    with streams.borrowed():
        network = replace_dropout(model())
        initialize(network, config)
    # Built on the CPU in float32, so that every device and precision starts from the same weights.
    network = network.to(device, training[0].dtype)
    training_loss.refuse_smoothing(loss, config)
    if config.amp != "none" and training[0].dtype != torch.float32:
        raise ValueError(f"amp: works with precision float32 only; must be none, got '{config.amp}'")
    return Learner(
        network=network,
        optimizer=optimizers.build(config, network.parameters()),
        loss=loss,
        config=config,
        streams=streams,
        seed=seed,
        training=training,
        validation=_tensors(dataset.validation, device),
        task=dataset.task,
        target_scale=dataset.target.scale,
        metrics=replace(metrics, target_scale=dataset.target.scale),
        shape=dataset.shape,
        device=device,
        forward=torch.compile(network) if config.compile else network,
        loss_scaler=GradScaler(device.type) if config.amp == "fp16" else None,
    )


def fusion_key(learner: Learner) -> Hashable | None:
    """What learners must have in common to be trained as one; ``None``: this one is trained alone."""
    try:
        key = signature(learner)
    except CannotStack:
        return None
    return None if kind(key) in _UNSTACKABLE else key


def advance_together(learners: Sequence[Learner]) -> list[dict[str, float] | None]:
    """Train learners of one fusion key for one epoch; ``None`` for those that are to be trained alone."""
    try:
        return stack.advance(learners)
    except CannotStack as error:
        _UNSTACKABLE[kind(signature(learners[0]))] = str(error)
        return [None] * len(learners)


def save(learner: Learner, folder: Path, dataset: Dataset, **about: Any) -> None:
    """Write a checkpoint; ``about`` holds the trainable's path, the trial's config, settings and seeds."""
    fitted = dataset.preprocessing
    state = {
        "format": CHECKPOINT_FORMAT,
        "epoch": learner.epoch,
        **about,
        "model": learner.network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "progress": learner.progress.state_dict(),
        "loss_scaler": {} if learner.loss_scaler is None else learner.loss_scaler.state_dict(),
        "generators": learner.streams.state_dict(),
        "task": dataset.task,
        "class_names": list(dataset.class_names),
        "class_values": dataset.class_values.tolist(),
        "class_type": str(dataset.class_values.dtype),
        "shape": list(dataset.shape),
        "target": list(dataset.target),
        "preprocessing": fitted.to_dict(),
        "preprocessing_arrays": {name: torch.tensor(array) for name, array in fitted.arrays.items()},
        "fingerprint": torch.tensor(dataset.fingerprint),
    }
    write_whole(folder / CHECKPOINT_FILE, lambda file: torch.save(state, file))


def load(learner: Learner, folder: Path, dataset: Dataset, *, sweep_seed: int) -> None:
    """Let a learner go on from a checkpoint with its own hyperparameters.

    Raises ValueError when the checkpoint's model or data are others.
    """
    state = torch.load(folder / CHECKPOINT_FILE, map_location="cpu", weights_only=True)
    _refuse_other_data(state, dataset, sweep_seed)
    try:
        learner.network.load_state_dict(state["model"])
    except RuntimeError as error:
        own = learner.config.model_dump()
        theirs = {key: value for key, value in state["config"].items() if own.get(key) != value}
        ours = {key: own.get(key) for key in theirs}
        raise ValueError(
            "checkpoint: its weights do not fit this trial's model; must be of the same shapes, "
            f"got a checkpoint with {theirs} where this trial has {ours}"
        ) from error
    optimizers.load_state(
        learner.optimizer,
        state["optimizer"],
        saved=state["config"]["optimizer"],
        own=learner.config.optimizer,
    )
    learner.progress.load_state_dict(state["progress"])
    if learner.loss_scaler is not None and state["loss_scaler"]:
        learner.loss_scaler.load_state_dict(state["loss_scaler"])
    learner.streams.load_state_dict(state["generators"])
    learner.epoch = state["epoch"]


def test_scores(learner: Learner, dataset: Dataset) -> dict[str, float]:
    """The scores on the test rows, under the names that they have on the validation rows."""
    with learner.streams.borrowed():
        return evaluate(replace(learner, validation=_tensors(dataset.test, learner.device)))


def _refuse_other_data(state: dict[str, Any], dataset: Dataset, sweep_seed: int) -> None:
    columns, theirs = dataset.preprocessing.columns, state["preprocessing"]
    own = [list(columns.numbers), list(columns.categories), list(dataset.class_names)]
    same_names = [theirs["numbers"], theirs["categories"], state["class_names"]] == own
    # Other splits or other rows give other means; the tolerance is for the rounding of another machine.
    # How the rows are preprocessed is a hyperparameter, and the trial's own.
    fingerprint = torch.tensor(dataset.fingerprint)
    if not same_names or not torch.allclose(state["fingerprint"], fingerprint):
        raise ValueError(
            "checkpoint: was trained on other rows; must have this trial's data and "
            f"sweep_seed {sweep_seed}, got sweep_seed {state['sweep_seed']} and {state['settings']}"
        )


def _tensors(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    """The rows on the device if they fit there, else on the CPU, from where each batch is copied."""
    copies = _ON_DEVICE.setdefault(part, {})
    if device not in copies:
        place = device if _fits(part, device) else torch.device("cpu")
        copies[device] = (
            torch.tensor(part.features, device=place),
            torch.tensor(part.targets, device=place),
        )
    return copies[device]


def _fits(part: Part, device: torch.device) -> bool:
    """Whether the rows leave the device room for models, the process's other rows being there."""
    own = memory_share(device)
    if own is None:
        return True
    free, _ = torch.cuda.mem_get_info(device)
    there = [rows for copies in _ON_DEVICE.values() for rows in copies.get(device, ())]
    held = sum(rows.nbytes for rows in there if rows.device.type == device.type)
    size = part.features.nbytes + part.targets.nbytes
    # Processes that share the device and load at the same time all see the same free memory.
    return size <= _SHARE_FOR_DATA * free and held + size <= _SHARE_FOR_DATA * own
