"""Early stopping by patience and minimum change."""

import math

import pytest

from trainables.configs import TrainingConfig
from trainables.training.progress import TrainingProgress


def last_epoch(losses, **config):
    progress = TrainingProgress()
    done = [progress.observe(loss, TrainingConfig(**config)) for loss in losses]
    return done.index(True) + 1 if any(done) else None


@pytest.mark.parametrize(
    ("losses", "config", "epochs"),
    [
        ([3, 2, 1, 0.5], {"patience": 1}, None),
        ([3, 2, 2, 2], {"patience": 2}, 4),
        ([3, 4, 2, 4, 4, 4], {"patience": 3}, 6),
        ([3, 2.95, 2.9, 2.85], {"patience": 2, "min_change": 0.1}, 3),
        ([3, 2.95, 2.85, 2.8], {"patience": 2, "min_change": 0.1}, None),
        ([3, math.nan, math.nan], {"patience": 2}, 3),
        ([3, 3, 3, 3], {}, None),
    ],
    ids=["falls", "stalls", "rises", "too little", "little by little", "nan", "off"],
)
def test_a_trial_ends_when_its_patience_is_used_up(losses, config, epochs):
    assert last_epoch(losses, **config) == epochs


def test_the_last_result_says_done(trial):
    learner = trial(patience=2, min_change=100.0)
    assert [learner.train()["done"] for _ in range(3)] == [False, False, True]


def test_the_count_of_patience_continues_after_a_checkpoint(trial, tmp_path):
    config = {"patience": 2, "min_change": 100.0}
    learner = trial(**config)
    learner.train()
    learner.train()
    restored = trial(**config)
    restored.restore(learner.save(str(tmp_path)))
    assert restored.train()["done"]
