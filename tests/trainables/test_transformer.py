"""The transformer equals PyTorch's encoder, and learns rows as tokens and as sequences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trainables.layers import encoder
from trainables.models.transformer import Transformer


@pytest.fixture
def transformer(tmp_path, monkeypatch):
    """Return a function that starts a small trial."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path / "logs"))
    return lambda **config: Transformer(config={"width": 16, "heads": 2, "lr": 3e-3, **config})


def test_a_block_equals_pytorch_s_encoder_layer():
    torchs = nn.TransformerEncoderLayer(
        8, 2, dim_feedforward=12, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    own = encoder.Block(8, heads=2, hidden=12, activation=nn.GELU, dropout=0.0).double()
    norm: Any
    attention: Any
    norm, attention, _ = own.attention
    second, up, _, _, down, _ = own.feedforward
    pairs: list[tuple[Any, nn.Module]] = [
        (norm, torchs.norm1),
        (attention.output, torchs.self_attn.out_proj),
        (second, torchs.norm2),
        (up, torchs.linear1),
        (down, torchs.linear2),
    ]
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    attention.projection.load_state_dict(
        {"weight": torchs.self_attn.in_proj_weight, "bias": torchs.self_attn.in_proj_bias}
    )
    tokens = torch.randn(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(own(tokens), torchs(tokens))


def test_each_feature_is_a_token(transformer):
    trial = transformer(dataset="wine")
    tokens = trial._learner.network[0]
    row = torch.randn(1, 13)
    expected = row[0, 4] * tokens.scale[4] + tokens.offset[4]
    assert tokens(row).shape == (1, 13, 16)
    torch.testing.assert_close(tokens(row)[0, 4], expected)


def test_each_step_of_a_sequence_is_a_token(transformer):
    trial = transformer(dataset="digits")
    tokens = trial._learner.network[0]
    row = torch.randn(1, 64)
    expected = tokens.embedding(row[0, 16:24]) + tokens.place[2]
    assert tokens(row).shape == (1, 8, 16)
    torch.testing.assert_close(tokens(row)[0, 2], expected)


def test_ten_epochs_learn_a_classification(transformer, after):
    assert after(transformer(dataset="wine", batch_size=16), 10)["val_accuracy"] > 0.9


def test_ten_epochs_learn_a_regression(transformer, after):
    trial = transformer(dataset="diabetes", batch_size=32)
    assert after(trial, 10)["val_rmse"] < 0.85 * trial.dataset.target.scale


def test_sequences_in_a_file_are_learnt(transformer, after, tmp_path):
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(800, 6, 3))
    np.savez(tmp_path / "steps.npz", X=steps, y=(steps[:, -1, 0] > 0).astype(int))
    trial = transformer(path=str(tmp_path / "steps.npz"), lr=0.01, batch_size=16)
    assert after(trial, 12)["val_accuracy"] > 0.8


def test_the_number_of_heads_must_divide_the_width(transformer):
    with pytest.raises(ValueError, match=r"^width: must be a multiple of heads, got width=16, heads=3$"):
        transformer(dataset="wine", heads=3)


def test_dropout_has_an_effect(transformer):
    losses = [transformer(dataset="iris", dropout=p).train()["train_loss"] for p in (0.0, 0.3)]
    assert losses[0] != losses[1]
    assert all(map(math.isfinite, losses))
