"""The callback for Lightning, with the trainer's real loops."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.integrations.trial import Trial, continued, interrupted
from tuner import client

pytest.importorskip("lightning")

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping

from tuner.integrations.lightning import TunerCallback

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers, loggers and devices

EPOCHS = 6


class Noisy(LightningModule):
    """A network whose loss depends on dropout, shuffling, momentum and a scheduler that follows a metric."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(8, 1)
        )

    def training_step(self, batch):
        loss = self._loss(batch)
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch):
        self.log("val_loss", self._loss(batch))

    def _loss(self, batch):
        inputs, targets = batch
        return ((self.model(inputs) - targets) ** 2).mean()

    def configure_optimizers(self):
        first, last = self.model[0].parameters(), self.model[3].parameters()
        groups = [{"params": first}, {"params": last, "lr": 0.1 * self.config["lr"]}]
        optimizer = torch.optim.SGD(groups, lr=self.config["lr"], momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}


class Unvalidated(Noisy):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.config["lr"])


class Watch(Callback):
    """Notes after each validation what a checkpoint must preserve."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.waits: list[int] = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        self.waits += [each.wait_count for each in trainer.early_stopping_callbacks]


def fitted(callbacks=(), *, module=Noisy, **options):
    """Train a network in the current trial and return its trainer."""
    config = client.config(lr=0.05)
    torch.manual_seed(0)
    inputs = torch.randn(64, 4)
    rows = TensorDataset(inputs, inputs.sum(1, keepdim=True) + torch.randn(64, 1))
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = Trainer(
        **{"max_epochs": EPOCHS, **quiet, **options},
        accelerator="cpu",
        callbacks=[TunerCallback(), *callbacks],
    )
    batches = DataLoader(rows, 16, shuffle=True), DataLoader(rows, 32)
    trainer.fit(module(config), *batches, ckpt_path=TunerCallback.ckpt_path())
    return trainer


def watched(watch):
    return lambda: fitted([watch, EarlyStopping("val_loss", patience=50)], min_epochs=EPOCHS)


@pytest.mark.parametrize("at", [1, 4])
def test_a_continued_trial_is_the_same_as_an_unbroken_one(at, tmp_path):
    unbroken, broken = Watch(), Watch()
    whole = continued(watched(unbroken), {"lr": 0.05}, None)
    assert interrupted(watched(broken), {"lr": 0.05}, tmp_path / "checkpoint", at=at) == whole
    assert [each["epoch"] for each in whole] == [*range(EPOCHS)]
    assert broken.rates == unbroken.rates
    assert len({rate for rate, _ in unbroken.rates}) > 1  # the scheduler has changed the rate
    assert broken.waits == unbroken.waits
    assert max(unbroken.waits) > 0


def test_the_trial_keeps_its_own_hyperparameters_when_it_copies_another_one(tmp_path):
    script = watched(Watch())
    with Trial({"lr": 0.05}, saves_into=tmp_path / "checkpoint", ends_at=2).running():
        script()
    watch = Watch()
    continued(watched(watch), {"lr": 0.001}, tmp_path / "checkpoint")
    assert watch.rates[0] == [0.001, 0.001]


def test_results_in_the_middle_of_an_epoch_are_reported_once(tmp_path):
    script = lambda: fitted(val_check_interval=0.5)  # noqa: E731
    reports = interrupted(script, {"lr": 0.05}, tmp_path / "checkpoint", at=3)
    assert [each["step"] for each in reports] == [*range(2, 2 + 4 * EPOCHS, 2)][: 2 * EPOCHS]


def test_a_model_without_validation_reports_after_each_epoch():
    reports = continued(lambda: fitted(module=Unvalidated, limit_val_batches=0), {"lr": 0.05}, None)
    assert [each["epoch"] for each in reports] == [*range(EPOCHS)]
    assert "val_loss" not in reports[0]
    assert reports[0]["train_loss"] > 0


def test_the_callback_leaves_the_trainer_as_it_was_and_does_nothing_outside_a_sweep():
    trainer = fitted(max_epochs=1)
    assert [type(each).__name__ for each in trainer.checkpoint_callbacks] == []
    assert TunerCallback.ckpt_path() is None


def test_a_trainer_that_fits_again_after_an_error_reports_each_epoch_once():
    class Broken(Unvalidated):
        def on_train_start(self):
            raise RuntimeError("no data")

    config = {"lr": 0.05}
    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=[TunerCallback()], **quiet)
    rows = DataLoader(TensorDataset(torch.ones(8, 4), torch.ones(8, 1)))
    trial = Trial(config)
    with trial.running():
        with pytest.raises(RuntimeError, match="no data"):
            trainer.fit(Broken(config), rows)
        trainer.fit(Unvalidated(config), rows)
    assert [each["epoch"] for each in trial.reports] == [0, 1]


def test_the_callback_fits_both_packages_of_lightning(monkeypatch):
    other = pytest.importorskip("pytorch_lightning")
    monkeypatch.delitem(sys.modules, "tuner.integrations.lightning")
    both = importlib.import_module("tuner.integrations.lightning").TunerCallback
    assert issubclass(both, other.Callback)
    assert issubclass(both, Callback)
    assert not issubclass(TunerCallback, other.Callback)  # it was not imported then
