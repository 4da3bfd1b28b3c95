"""Normalisations against NumPy's formulas and PyTorch; meaningless settings are refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from trainables.layers.normalization import WeightNormConv2d, WeightNormLinear, convolution, linear


def standardised(values, axes):
    mean, variance = values.mean(axis=axes, keepdims=True), values.var(axis=axes, keepdims=True)
    return (values - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.parametrize(
    ("name", "axes"), [("batch", (0,)), ("layer", (1, 2)), ("group", (2,))], ids=lambda part: str(part)
)
def test_units_are_standardised(name, axes):
    layer, norm = (module.double() for module in linear(5, 6, name, groups=3))
    outputs = layer(torch.randn(7, 5, dtype=torch.float64))
    grouped = outputs.detach().numpy().reshape(7, 3, 2)
    np.testing.assert_allclose(norm(outputs).detach().numpy(), standardised(grouped, axes).reshape(7, 6))


@pytest.mark.parametrize(
    ("name", "axes"),
    [("batch", (0, 3, 4)), ("layer", (1, 2, 3, 4)), ("group", (2, 3, 4))],
    ids=lambda part: str(part),
)
def test_channels_are_standardised(name, axes):
    layer, norm = (module.double() for module in convolution(2, 6, 3, name, groups=3))
    outputs = layer(torch.randn(7, 2, 4, 5, dtype=torch.float64))
    grouped = outputs.detach().numpy().reshape(7, 3, 2, 4, 5)
    expected = standardised(grouped, axes).reshape(7, 6, 4, 5)
    np.testing.assert_allclose(norm(outputs).detach().numpy(), expected, atol=1e-12)


def test_local_response_divides_by_neighbouring_channels():
    _, norm = convolution(2, 6, 3, "local_response", groups=1)
    values = np.random.default_rng(0).normal(size=(2, 6, 3, 3))
    expected = np.empty_like(values)
    for channel in range(6):
        near = values[:, max(0, channel - 2) : channel + 3]
        expected[:, channel] = values[:, channel] / (1 + 1e-4 / 5 * (near**2).sum(axis=1)) ** 0.75
    np.testing.assert_allclose(norm(torch.tensor(values)).numpy(), expected)


@pytest.mark.parametrize(
    ("own", "plain", "shape"),
    [
        (WeightNormLinear(4, 3), nn.Linear(4, 3), (5, 4)),
        (WeightNormConv2d(2, 3, 3), nn.Conv2d(2, 3, 3, padding=1), (5, 2, 4, 4)),
    ],
    ids=["linear", "convolution"],
)
def test_weight_normalisation_matches_pytorch(own, plain, shape):
    own, plain = own.double(), plain.double()
    own.reset_gain()
    with torch.no_grad():
        plain.weight.copy_(own.weight)
        plain.bias.copy_(own.bias)
    torchs = parametrizations.weight_norm(plain)
    direction = torchs.parametrizations.weight.original1
    inputs = torch.randn(shape, dtype=torch.float64)
    with torch.no_grad():
        own.gain.mul_(2.5)
        torchs.parametrizations.weight.original0.mul_(2.5)
    outputs, expected = own(inputs), torchs(inputs)
    torch.testing.assert_close(outputs, expected)
    outputs.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(own.weight.grad, direction.grad)
    gain = torchs.parametrizations.weight.original0.grad
    torch.testing.assert_close(own.gain.grad, gain.flatten())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"normalization": "local_response"},
            "^normalization: local_response needs neighbouring channels, which hidden units do not have; "
            "must be one of none, batch, layer, group, weight, got 'local_response'$",
        ),
        (
            {"normalization": "group", "hidden": 10, "groups": 4},
            "^groups: must divide hidden, got groups=4, hidden=10$",
        ),
        (
            {"normalization": "batch", "batch_size": 1},
            "^batch_size: batch normalization needs at least two rows in every batch, got 107 training "
            "rows in batches of 1$",
        ),
        ({"normalization": "batch", "batch_size": 53}, "got 107 training rows in batches of 53$"),
        ({"normalization": "butch"}, "^normalization: unknown value 'butch'; did you mean 'batch'\\?$"),
    ],
    ids=["local_response", "groups", "single rows", "a last single row", "misspelt"],
)
def test_meaningless_settings_are_refused(trial, config, message):
    with pytest.raises(ValueError, match=message):
        trial(**config)
