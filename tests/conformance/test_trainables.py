"""Every class of the table fulfils the contract, on the first bundled data set that suits it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray.tune import Trainable

from trainables.configs import BUNDLED, SplitSettings
from trainables.models.mlp import MLP
from trainables.sklearn import Estimator
from tuner.spec import locate
from tuner.testing import TrainableContract
from tuner.trainable import TrainableSpec, trainables

REQUIRED = {
    "trainables.sklearn:Estimator": {
        "estimator": "sklearn.linear_model:SGDClassifier",
        "iteration": "partial_fit",
    }
}

# A small model on a few rows keeps the contract or breaks it as a large one does.
SMALL = {"validation": 0.1, "test": 0.8, "width": 8, "heads": 2, "channels": 4}


def _settings(entry):
    """Return settings that the trainable accepts: the required ones, and perhaps a bundled data set."""
    known = locate(entry.settings, {}, what="settings").model_fields
    required = {**REQUIRED.get(entry.path, {}), **{name: SMALL[name] for name in SMALL.keys() & known.keys()}}
    datasets = [{**required, "dataset": name} for name in BUNDLED if "dataset" in known]
    cls = locate(entry.path, {}, what="trainable")
    for settings in [*datasets, {}]:
        try:
            cls.metrics(settings)
        except ValueError:
            continue
        return settings
    raise AssertionError(f"{entry.path} accepts no bundled data set")


def _hyperparameters(entry):
    """Return a small value for each option that is off by default, such as dropout, so that it is tested."""
    fields = locate(entry.config, {}, what="hyperparameters").model_fields
    off = {name for name, field in fields.items() if isinstance(field.default, float) and field.default == 0}
    return {**dict.fromkeys(off, 0.1), **{name: SMALL[name] for name in SMALL.keys() & fields.keys()}}


CLASSES = {
    name: entry
    for name, entry in trainables().items()
    if isinstance(locate(entry.path, {}, what="trainable"), type)
}
"""The contract is about classes. ``command`` is a function, with tests of its own."""

for _name, _entry in CLASSES.items():

    class _Contract(TrainableContract):
        entry = _entry
        trainable = _entry.path

        @classmethod
        def setup_class(cls):
            cls.config = {**_settings(cls.entry), **_hyperparameters(cls.entry)}

    _Contract.__name__ = _Contract.__qualname__ = f"Test_{_name}"
    globals()[_Contract.__name__] = _Contract
del _Contract


class Gappy(MLP):
    """An MLP on rows with gaps, outliers and text."""

    Settings = SplitSettings

    @classmethod
    def data(cls, settings):
        generator = np.random.default_rng(0)
        frame = pd.DataFrame(generator.standard_t(4, size=(80, 3)), columns=["a", "b", "c"])
        target = np.where(frame["a"] > 0, "yes", "no")
        frame["kind"] = generator.choice(["x", "y"], size=80)
        return frame.mask(generator.random(frame.shape) < 0.1), target


PREPROCESSING = {
    "outliers": ("clip", "remove"),
    "outlier_rule": ("zscore",),
    "missing": ("median", "most_frequent", "constant", "knn"),
    "scaling": ("none", "minmax", "robust"),
    "whitening": ("pca", "zca"),
}

for _name, _choices in PREPROCESSING.items():
    for _choice in _choices:

        class _OnGaps(TrainableContract):
            trainable = Gappy
            config = {"missing": "mean", "outliers": "clip", "outlier_limit": 4.0, _name: _choice}  # noqa: RUF012

        _OnGaps.__name__ = _OnGaps.__qualname__ = f"Test_{_name}_{_choice}"
        globals()[_OnGaps.__name__] = _OnGaps
del _OnGaps


class TestWarmStart(TrainableContract):
    trainable = Estimator
    config = {  # noqa: RUF012
        "dataset": "wine",
        "estimator": {
            "scale": "sklearn.preprocessing.StandardScaler",
            "forest": "sklearn.ensemble.RandomForestClassifier",
        },
        "iteration": "warm_start",
        "grows": "n_estimators",
        "growth": 2,
        "metrics": ["log_loss", "roc_auc"],
        "forest__max_depth": 3,
    }


class TestSamples(TrainableContract):
    trainable = Estimator
    config = {  # noqa: RUF012
        "dataset": "diabetes",
        "estimator": "sklearn.tree:DecisionTreeRegressor",
        "iteration": "samples",
        "metrics": ["r2"],
        "max_depth": 4,
    }


class TestFolds(TrainableContract):
    trainable = Estimator
    config = {  # noqa: RUF012
        "dataset": "iris",
        "estimator": "sklearn.neighbors:KNeighborsClassifier",
        "iteration": "folds",
        "folds": 6,
        "scaling": "robust",
    }
    seed_matters = False


class TestFit(TrainableContract):
    trainable = Estimator
    config = {"dataset": "wine", "estimator": "sklearn.tree:ExtraTreeClassifier", "min_samples_leaf": 10}  # noqa: RUF012


class Halving(Trainable):
    """A trainable without randomness: the loss halves at each iteration."""

    def setup(self, config):
        if unknown := config.keys() - {"loss", "seed", "sweep_seed"}:
            raise ValueError(f"unknown hyperparameters: {', '.join(unknown)}")
        self.loss = config["loss"]

    def step(self):
        self.loss /= 2
        return {"loss": self.loss}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "loss.json").write_text(json.dumps(self.loss))

    def load_checkpoint(self, checkpoint_dir):
        self.loss = json.loads(Path(checkpoint_dir, "loss.json").read_text())

    def reset_config(self, config):
        self.setup(config)
        return True


class TestHalving(TrainableContract):
    trainable = Halving
    config = {"loss": 1.0}  # noqa: RUF012
    seed_matters = False


def test_a_trainable_without_randomness_skips_the_test_of_another_seed():
    with pytest.raises(pytest.skip.Exception, match="its seed does not matter"):
        TestHalving().test_another_seed_gives_another_curve()


def test_a_trainable_without_randomness_must_declare_it(monkeypatch):
    monkeypatch.setattr(TestHalving, "seed_matters", TrainableContract.seed_matters)
    contract = TestHalving()
    contract.setup_method()
    with pytest.raises(AssertionError):
        contract.test_another_seed_gives_another_curve()
    contract.teardown_method()


@pytest.mark.parametrize("name", trainables())
def test_the_table_names_the_models_of_the_class(name):
    entry = trainables()[name]
    cls: Any = TrainableSpec(kind=name).load()
    assert cls.Config is locate(entry.config, {}, what="hyperparameters")
    assert cls.Settings is locate(entry.settings, {}, what="settings")


@pytest.mark.parametrize("name", trainables())
def test_the_table_describes_each_trainable_in_one_line(name):
    assert trainables()[name].summary
    assert "\n" not in trainables()[name].summary
