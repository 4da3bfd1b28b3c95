"""The callback for Keras, without Ray and with PyTorch as its backend."""

from __future__ import annotations

import os

import pytest

from tests.integrations import scripts
from tests.integrations.trial import Trial, continued, interrupted
from tuner import client

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from tuner.integrations.keras import TunerCallback  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


class Watch(keras.callbacks.Callback):  # type: ignore[name-defined]
    """Notes the learning rate with which training begins."""

    rate: float | None = None

    def on_train_batch_begin(self, batch, logs=None):
        if self.rate is None:
            self.rate = float(self.model.optimizer.learning_rate)


def fitted(*callbacks):
    """Train a network with dropout and shuffling in the current trial."""
    config = client.config(learning_rate=0.01)
    keras.utils.set_random_seed(1)
    features, targets = scripts.table()
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(config["learning_rate"]), "mse")
    callback = TunerCallback()
    model.fit(
        features[:300],
        targets[:300],
        validation_data=(features[300:], targets[300:]),
        epochs=5,
        initial_epoch=callback.initial_epoch,
        callbacks=[callback, *callbacks],
        verbose=0,
    )


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_continued_model_is_the_same_as_an_unbroken_one(at, tmp_path):
    whole = continued(fitted, {"learning_rate": 0.01}, None)
    assert [each["step"] for each in whole] == [1, 2, 3, 4, 5]
    assert {"loss", "val_loss"} <= whole[0].keys()
    assert interrupted(fitted, {"learning_rate": 0.01}, tmp_path / "checkpoint", at=at) == whole


def test_the_trial_keeps_its_own_learning_rate_when_it_copies_another_one(tmp_path):
    with Trial({"learning_rate": 0.01}, saves_into=tmp_path / "checkpoint", ends_at=2).running():
        fitted()
    watch = Watch()
    continued(lambda: fitted(watch), {"learning_rate": 0.002}, tmp_path / "checkpoint")
    assert watch.rate == pytest.approx(0.002)
