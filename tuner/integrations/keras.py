"""``TunerCallback`` for Keras 3, with any of its backends."""

from __future__ import annotations

import json
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import keras

from tuner import client
from tuner.integrations._own_config import own_config

_WEIGHTS = "model.weights.h5"
_STATE = "state.json"


class TunerCallback(keras.callbacks.Callback):
    """Reports the metrics of each epoch. A checkpoint holds the model, its optimizer and random generators.

    Start with ``model.fit(..., initial_epoch=callback.initial_epoch, callbacks=[callback])``.
    """

    @cached_property
    def initial_epoch(self) -> int:
        """The epochs that the trial has trained before: 0 if it is new."""
        return 0 if self._saved is None else int(self._saved["epochs"])

    @cached_property
    def _saved(self) -> dict[str, Any] | None:
        folder = client.checkpoint()
        return None if folder is None else json.loads(Path(folder, _STATE).read_text(encoding="utf-8"))

    def on_train_begin(self, logs: Any = None) -> None:
        """Load the checkpoint to continue from, and keep the trial's own learning rate."""
        client.should_stop()  # from now on, `report` returns, and Keras ends the training
        if self._saved is None:
            return
        optimizer = self.model.optimizer
        if not optimizer.built:
            optimizer.build(self.model.trainable_variables)
        self.model.load_weights(Path(str(client.checkpoint()), _WEIGHTS))
        own, saved = own_config(), self._saved["config"]
        for name in ("learning_rate", "lr"):
            if name in saved and own.get(name, saved[name]) != saved[name]:
                optimizer.learning_rate = float(optimizer.learning_rate) * own[name] / saved[name]
        states = self._saved["random"]
        if "torch" in states:
            torch = sys.modules["torch"]
            states["torch"] = torch.tensor(states["torch"], dtype=torch.uint8)
        client.set_random_states(states)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report ``logs``, and end the training if the trial must end."""

        def save(folder: str) -> None:
            self.model.save_weights(Path(folder, _WEIGHTS))
            states = {name: each for name, each in client.random_states().items() if name != "cuda"}
            if "torch" in states:
                states["torch"] = states["torch"].tolist()
            content = {"epochs": epoch + 1, "config": own_config(), "random": states}
            Path(folder, _STATE).write_text(json.dumps(content), encoding="utf-8")

        metrics = {name: float(value) for name, value in (logs or {}).items()}
        client.report(metrics, step=epoch + 1, checkpoint=save)
        if client.should_stop():
            self.model.stop_training = True
