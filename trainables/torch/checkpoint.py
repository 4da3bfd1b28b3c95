"""A learner's checkpoint: one file of tensors and plain values, which runs no code when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trainables.atomic import write_whole
from trainables.data.datasets import Dataset
from trainables.distributed import states
from trainables.distributed.group import Group
from trainables.training import optimizers
from trainables.training.loop import Learner

CHECKPOINT_FILE = "checkpoint.pt"
CHECKPOINT_FORMAT = 2


def save(learner: Learner, folder: Path, dataset: Dataset, *, group: Group | None, **about: Any) -> None:
    """Write a checkpoint. ``about``: import path of the trainable; the trial's config, settings and seeds.

    ``group``: the processes of the trial, which all call this. Rank 0 writes what one process would write.
    """
    preprocessing = dataset.preprocessing
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
        "preprocessing": preprocessing.to_dict(),
        "preprocessing_arrays": {name: torch.tensor(array) for name, array in preprocessing.arrays.items()},
        "fingerprint": torch.tensor(dataset.fingerprint),
    }
    if group is not None:
        state = states.whole(state)
    if group is None or group.rank == 0:
        write_whole(folder / CHECKPOINT_FILE, lambda file: torch.save(state, file))


def load(learner: Learner, folder: Path, dataset: Dataset, *, group: Group | None, sweep_seed: int) -> None:
    """Resume a learner from a checkpoint, with the learner's own hyperparameters.

    Raises ValueError when the checkpoint belongs to another model or other data.
    """
    state = torch.load(folder / CHECKPOINT_FILE, map_location="cpu", weights_only=True)
    _refuse_other_data(state, dataset, sweep_seed)
    if group is not None:
        state = states.divided(state, learner.network, learner.optimizer)
    try:
        learner.network.load_state_dict(state["model"])
    except RuntimeError as error:
        config = learner.config.model_dump()
        theirs = {key: value for key, value in state["config"].items() if config.get(key) != value}
        ours = {key: config.get(key) for key in theirs}
        raise ValueError(
            "checkpoint: its weights do not fit this trial's model; must have the same shapes, "
            f"got a checkpoint with {theirs}, but this trial has {ours}"
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


def _refuse_other_data(state: dict[str, Any], dataset: Dataset, sweep_seed: int) -> None:
    columns, theirs = dataset.preprocessing.columns, state["preprocessing"]
    expected = [list(columns.numbers), list(columns.categories), list(dataset.class_names)]
    same_names = [theirs["numbers"], theirs["categories"], state["class_names"]] == expected
    # Other splits or rows have other means. The tolerance allows for another machine's rounding.
    # The preprocessing is a hyperparameter of the trial, so it may differ.
    fingerprint = torch.tensor(dataset.fingerprint)
    if not same_names or not torch.allclose(state["fingerprint"], fingerprint):
        raise ValueError(
            "checkpoint: has other rows; must have this trial's data and "
            f"sweep_seed {sweep_seed}, got sweep_seed {state['sweep_seed']} and {state['settings']}"
        )
