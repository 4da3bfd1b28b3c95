"""Repeats and the final training use the same test rows as the search."""

import numpy as np
import pytest
import torch

from trainables.models.mlp import MLP

CONFIG = {"hidden": 8, "lr": 0.02, "batch_size": 16}
SEARCH = {"dataset": "wine", "validation": 0.25}


def start(settings, **config):
    return MLP(config={**CONFIG, **config, **settings})


@pytest.fixture
def search(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    return start(SEARCH, sweep_seed=3)


def test_repeats_split_the_same_rows_differently(search):
    settings, additions = MLP.repeated(dict(SEARCH), sweep_seed=3, repeats=4)
    repeats = [start(settings, **addition, sweep_seed=99).dataset for addition in additions]
    rest = set(search.dataset.training.rows) | set(search.dataset.validation.rows)
    seen = {tuple(search.dataset.validation.rows)}
    for dataset in repeats:
        assert set(dataset.training.rows) | set(dataset.validation.rows) == rest
        assert not set(dataset.training.rows) & set(dataset.validation.rows)
        assert dataset.test_rows.tolist() == search.dataset.test_rows.tolist()
        assert (
            np.bincount(dataset.validation.targets).tolist()
            == np.bincount(search.dataset.validation.targets).tolist()
        )
        seen.add(tuple(dataset.validation.rows))
    assert len(seen) == 5


def test_the_final_training_leaves_out_the_test_rows_and_is_scored_on_them(search):
    settings, metric = MLP.final(dict(SEARCH), sweep_seed=3, iterations=4, metric="val_accuracy")
    trial = start(settings, sweep_seed=99)
    rest = set(search.dataset.training.rows) | set(search.dataset.validation.rows)
    assert set(trial.dataset.training.rows) == rest
    assert trial.dataset.test_rows.tolist() == search.dataset.test_rows.tolist()
    result = trial.train()
    assert metric == "test_accuracy"
    assert trial.epoch == 4
    test = trial.dataset.test
    with torch.inference_mode():
        outputs = trial._learner.network.eval()(torch.tensor(test.features))
    assert result["test_accuracy"] == (outputs.argmax(dim=1).numpy() == test.targets).mean()
    assert not [name for name in result if name.startswith("val_")]
    assert set(MLP.metrics(settings)) <= set(result)


def test_the_test_rows_do_not_affect_the_final_training(search):
    settings, _ = MLP.final(dict(SEARCH), sweep_seed=3, iterations=2, metric="val_loss")
    trial = start(settings)
    assert trial.dataset.preprocessing.arrays["center"] == pytest.approx(
        trial.dataset.source.table.numbers[trial.dataset.training.rows].mean(axis=0)
    )
    assert not set(trial.dataset.validation.rows) & set(trial.dataset.test_rows)


@pytest.mark.parametrize(
    ("settings", "metric", "message"),
    [
        (
            {**SEARCH, "test": 0},
            "val_loss",
            "test: must be above 0 with refit, which scores on the test rows; got 0",
        ),
        (
            SEARCH,
            "train_loss",
            r"metric: must be a metric of the validation rows \('val_...'\), got 'train_loss'",
        ),
    ],
    ids=["no test rows", "training metric"],
)
def test_a_sweep_without_a_possible_test_is_refused(settings, metric, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MLP.final(dict(settings), sweep_seed=0, iterations=1, metric=metric)
