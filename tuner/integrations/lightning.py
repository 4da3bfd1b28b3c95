"""``TunerCallback`` for Lightning 2.5 and later.

It works with ``lightning`` and with ``pytorch_lightning``. Import yours before this module.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner import client
from tuner.integrations._own_config import apply_own_config, own_config

_FILE = "lightning.ckpt"
"""The name of the trainer's checkpoint in a checkpoint's folder."""

_PACKAGES = ("lightning.pytorch", "pytorch_lightning")
"""The two names under which Lightning is published. Each has its own classes."""


def _modules() -> list[Any]:
    """Return the packages of Lightning that are imported. If there are none, import one."""
    imported = [sys.modules[name] for name in _PACKAGES if name in sys.modules]
    if imported:
        return imported
    name = _PACKAGES[0] if importlib.util.find_spec("lightning") else _PACKAGES[1]
    return [importlib.import_module(name)]


class _Callback:
    """Adds the reporter behind the trainer's other callbacks while it fits a model.

    Lightning calls callbacks of the class ``Checkpoint`` last, so a checkpoint then has the state of all
    others, such as the patience of ``EarlyStopping``. A trainer refuses such a callback from its user if it
    has ``enable_checkpointing=False``.
    """

    @staticmethod
    def ckpt_path() -> str | None:
        """Return ``Trainer.fit``'s argument: the file to continue from, or ``None``."""
        folder = client.checkpoint()
        return None if folder is None else str(Path(folder, _FILE))

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.teardown(trainer, pl_module, stage)  # an earlier fit may have failed
        if stage == "fit":
            client.should_stop()  # from now on, `report` returns, and the trainer ends itself
            trainer.callbacks.append(_REPORTER())

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        trainer.callbacks = [each for each in trainer.callbacks if not isinstance(each, _Reporter)]


class _Reporter:
    """Reports the results of a trainer, and lets its model continue from a checkpoint."""

    def __init__(self) -> None:
        self._validated = False  # whether a result of this epoch has not been reported
        self._metrics: dict[str, Any] = {}
        self._restored: dict[str, Any] | None = None

    @property
    def state_key(self) -> str:
        """The name of the state in the trainer's checkpoint."""
        return "tuner"

    def state_dict(self) -> dict[str, Any]:
        """Return what the trainer does not save: the random generators, the configuration, the metrics."""
        return {
            "config": own_config(),
            "metrics": self._metrics,
            "random": client.random_states(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._restored = state_dict

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        # Before the trainer creates the iterator over its batches, which draws a number.
        if self._restored is not None and trainer.world_size == 1:
            client.set_random_states(self._restored["random"])

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        if (restored := self._restored) is None:
            return
        self._restored = None
        if restored["metrics"]:
            _step_plateau_schedulers(trainer, pl_module, restored["metrics"])
        schedulers = [each.scheduler for each in trainer.lr_scheduler_configs]
        for optimizer in trainer.optimizers:
            own = [each for each in schedulers if each.optimizer is optimizer]
            apply_own_config(restored["config"], optimizer, own)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        if trainer.is_last_batch:
            self._validated = True  # reported at the end of the epoch, from which the trainer can continue
        else:
            self._report(trainer, ends_epoch=False)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._validated or not trainer.enable_validation:
            self._validated = False
            self._report(trainer, ends_epoch=True)

    def _report(self, trainer: Any, *, ends_epoch: bool) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._metrics = metrics if ends_epoch else {}
        with _checkpoint(trainer) as checkpoint:
            client.report(
                {"epoch": trainer.current_epoch, **metrics}, step=trainer.global_step, checkpoint=checkpoint
            )
        if trainer.strategy.broadcast(client.should_stop()):
            trainer.should_stop = True
            # The trial must end, also before the epochs and steps that the trainer would complete first.
            trainer.fit_loop.min_epochs = 0
            trainer.fit_loop.epoch_loop.min_steps = 0


@contextlib.contextmanager
def _checkpoint(trainer: Any) -> Iterator[client.CheckpointLike]:
    """Give the trainer's checkpoint, as ``client.report`` takes it.

    All processes of a trainer must save together, so with several the checkpoint is written before ``report``
    says whether it is due.
    """
    if trainer.world_size == 1:
        yield lambda folder: trainer.save_checkpoint(Path(folder, _FILE), weights_only=False)
        return
    with tempfile.TemporaryDirectory(prefix="tuner-lightning-") as own:
        folder = trainer.strategy.broadcast(own)
        trainer.save_checkpoint(Path(folder, _FILE), weights_only=False)
        yield folder
        trainer.strategy.barrier()


def _step_plateau_schedulers(trainer: Any, pl_module: Any, metrics: dict[str, float]) -> None:
    """Step the schedulers that follow a metric, as the trainer does after the end of an epoch.

    It saves its checkpoint before this step, and skips the step when it continues from one.
    """
    for each in trainer.lr_scheduler_configs:
        due = each.interval == "epoch" and trainer.current_epoch % each.frequency == 0
        if each.reduce_on_plateau and due and each.monitor in metrics:
            pl_module.lr_scheduler_step(each.scheduler, metrics[each.monitor])


_bases = _modules()
TunerCallback: Any = type("TunerCallback", (_Callback, *(each.Callback for each in _bases)), {})
_REPORTER: Any = type("_REPORTER", (_Reporter, *(each.callbacks.Checkpoint for each in _bases)), {})
