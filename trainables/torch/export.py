"""Trained models outside a sweep: ``load_model`` reads them, ``export`` writes them.

No code in a file is run. Weights are read as tensors, the rest as JSON. A class comes from the table of
trainables or from the caller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import nn

from trainables import TRAINABLES, former_paths
from trainables.atomic import write_whole
from trainables.configs import Task, did_you_mean
from trainables.data.datasets import TargetScaling, without_rows
from trainables.data.preprocessing import Preprocessing
from trainables.data.tables import Columns, codes_of
from trainables.torch.checkpoint import CHECKPOINT_FILE, CHECKPOINT_FORMAT

if TYPE_CHECKING:
    from trainables.torch import TorchTrainable

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PREPROCESSING_FILE = "preprocessing.safetensors"

_DESCRIPTION = ("trainable", "config", "settings", "task", "class_names", "shape", "target", "preprocessing")
"""Parts of a checkpoint that describe its model and are JSON-ready, not tensors."""

_CLASSES = ("class_values", "class_type")
"""Further keys, which files of earlier versions lack."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained network with its preprocessing. It predicts from raw rows.

    Rows are a data frame with the columns of the training data, in any order and with other columns ignored;
    or a list of mappings; or, without text columns, an array n x d or n images.
    """

    network: nn.Module
    """Maps n x d preprocessed features to n x outputs, on the CPU, in evaluation mode."""

    preprocessing: Preprocessing
    task: Task
    class_names: tuple[str, ...]
    """Names by class number; empty for regression."""

    class_values: NDArray[Any]
    """Original values of the target by class number, in their type."""

    target: TargetScaling
    dtype: torch.dtype

    def features(self, rows: Any) -> torch.Tensor:
        """Return the network's input for these rows, n x d."""
        return torch.tensor(
            self.preprocessing.transform(*_raw(rows, self.preprocessing.columns)), dtype=self.dtype
        )

    def outputs(self, rows: Any) -> torch.Tensor:
        """Return the network's outputs for these rows, n x outputs."""
        with torch.inference_mode():
            outputs: torch.Tensor = self.network(self.features(rows))
        return outputs

    def probabilities(self, rows: Any) -> NDArray[np.float64]:
        """Return class probabilities, n x classes in the order of ``class_names``.

        Raises ValueError for a regression.
        """
        if self.task != "classification":
            raise ValueError("probabilities: a regression has none; use predict")
        shares: NDArray[np.float64] = self.outputs(rows).double().softmax(dim=1).numpy()
        return shares

    def predict(self, rows: Any) -> NDArray[Any]:
        """Return each row's most probable class as its original value, or the value in the target's units."""
        if self.task == "classification":
            classes: NDArray[Any] = self.class_values[self.probabilities(rows).argmax(axis=1)]
            return classes
        values: NDArray[np.float64] = self.outputs(rows).double().squeeze(-1).numpy()
        return values * self.target.scale + self.target.mean


def load_model(folder: str | Path, *, trainable: type[TorchTrainable] | None = None) -> TrainedModel:
    """Load the model of a checkpoint, or of a folder that ``tuner export`` wrote.

    ``trainable``: the model's class, required if it is not in the table of trainables. Raises ValueError when
    the folder holds no model, or a model of another class.
    """
    folder = Path(folder)
    about, weights, arrays = _read(folder)
    cls = _class(about["trainable"], trainable)
    preprocessing = Preprocessing.from_dict(
        about["preprocessing"], {name: array.double().numpy() for name, array in arrays.items()}
    )
    target = TargetScaling(*about["target"])
    dtype = getattr(torch, about["settings"]["precision"])
    trial = cls.__new__(cls)
    trial.hyperparameters = cls.Config(**about["config"])
    trial.settings = cls.Settings(**about["settings"])
    trial.dataset = without_rows(
        about["task"], preprocessing, tuple(about["class_names"]), tuple(about["shape"]), target
    )
    network = trial.model(trial.hyperparameters).to(dtype)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder}: its weights do not fit {cls.__name__}.model: {error}") from None
    names = tuple(about["class_names"])
    values = _class_values(about)
    return TrainedModel(network.eval(), preprocessing, about["task"], names, values, target, dtype)


def export(checkpoint_dir: Path, out_dir: Path) -> None:
    """Write the model of a checkpoint as safetensors and JSON into ``out_dir``, which is created.

    Raises ValueError when the checkpoint holds no model.
    """
    about, weights, arrays = _read(checkpoint_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, tensors in ((WEIGHTS_FILE, weights), (PREPROCESSING_FILE, arrays)):
        contiguous = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        content = save(contiguous)
        write_whole(out_dir / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    # Written last: the folder is complete once this file exists.
    text = json.dumps(about, indent=2, allow_nan=False) + "\n"
    write_whole(out_dir / CONFIG_FILE, lambda file: file.write(text.encode()))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the description of the folder's model, its weights, and its preprocessing arrays."""
    if (folder / CONFIG_FILE).is_file():
        about = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return about, load_file(folder / WEIGHTS_FILE), load_file(folder / PREPROCESSING_FILE)
    if not (folder / CHECKPOINT_FILE).is_file():
        raise ValueError(f"{folder}: holds no model; must be a checkpoint or an exported folder")
    try:
        state = torch.load(folder / CHECKPOINT_FILE, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError(f"{folder}: its checkpoint must hold only tensors and plain values") from error
    if state["format"] != CHECKPOINT_FORMAT:
        raise ValueError(f"{folder}: its format must be {CHECKPOINT_FORMAT}, got {state['format']}")
    about = {
        name: state[name] for name in (*_DESCRIPTION, *_CLASSES) if name in _DESCRIPTION or name in state
    }
    return about, state["model"], state["preprocessing_arrays"]


def _class_values(about: Mapping[str, Any]) -> NDArray[Any]:
    """Return the classes in the data's type, or their names for a file of an earlier version."""
    if "class_values" not in about:
        return np.array(about["class_names"])
    return np.array(about["class_values"], dtype=about["class_type"])


def _class(path: str, given: type[TorchTrainable] | None) -> type[TorchTrainable]:
    """Return the class that a file names. Only classes in the table of trainables are imported."""
    path = former_paths.current(path)
    if given is not None:
        if given.__qualname__ != path.partition(":")[2]:
            raise ValueError(f"trainable: the model's class is {path}, got {given.__qualname__}")
        return given
    known = {entry.path for entry in TRAINABLES.values()}
    if path not in known:
        what = "pass the class: load_model(folder, trainable=...)"
        raise ValueError(f"trainable: the model's class {path} is not built in; {what}")
    from importlib import import_module

    module, _, name = path.partition(":")
    found: type[TorchTrainable] = getattr(import_module(module), name)
    return found


def _raw(rows: Any, columns: Columns) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return the numbers n x d_n and codes n x d_c of rows. Raises ValueError when a column is missing."""
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        rows = pd.DataFrame(list(rows))
    if isinstance(rows, pd.DataFrame):
        rows = rows.rename(columns=str)
        for name in columns.names:
            if name not in rows:
                raise ValueError(f"rows: no column '{name}'; {did_you_mean(name, map(str, rows.columns))}")
        return (
            rows[list(columns.numbers)].to_numpy(dtype=np.float64, na_value=np.nan),
            np.column_stack(
                [
                    codes_of(rows[name], vocabulary)
                    for name, vocabulary in zip(columns.categories, columns.vocabularies, strict=True)
                ]
            )
            if columns.categories
            else np.empty((len(rows), 0), dtype=np.int32),
        )
    if columns.categories:
        raise ValueError(f"rows: must be a data frame, since '{columns.categories[0]}' is text")
    array = np.asarray(rows, dtype=np.float64)
    width = len(columns.numbers)
    if array.ndim < 2 or array[0].size != width:
        raise ValueError(f"rows: must be n x {width} numbers, got shape {array.shape}")
    return array.reshape(len(array), -1), np.empty((len(array), 0), dtype=np.int32)
