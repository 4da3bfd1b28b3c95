"""Weight initialisation against torch.nn.init and SciPy."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from trainables.configs import Activation, Initialization, MLPConfig, TrainingConfig
from trainables.layers.activations import ACTIVATIONS, GAINS
from trainables.layers.initialization import draw, initialize
from trainables.layers.normalization import WeightNormLinear

GAIN = 1.7

# By name: torch's own function with that gain; Xavier and He include it in the standard deviation.
TORCHS = {
    "normal": lambda w: nn.init.normal_(w, std=0.3),
    "uniform": lambda w: nn.init.uniform_(w, -0.3, 0.3),
    "xavier_normal": lambda w: nn.init.xavier_normal_(w, gain=GAIN),
    "xavier_uniform": lambda w: nn.init.xavier_uniform_(w, gain=GAIN),
    # torch's He takes the gain from a nonlinearity; for "linear" it is 1.
    "he_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear").mul_(GAIN),
    "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear").mul_(GAIN),
    "orthogonal": lambda w: nn.init.orthogonal_(w, gain=GAIN),
}


@pytest.mark.parametrize("shape", [(30, 20), (8, 4, 3, 3)], ids=["linear", "convolution"])
@pytest.mark.parametrize("name", TORCHS)
@torch.no_grad()
def test_weights_match_pytorch(name, shape):
    own, torchs = torch.empty(shape, dtype=torch.float64), torch.empty(shape, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draw(own, name, gain=GAIN, scale=0.3)
        torch.manual_seed(0)
        TORCHS[name](torchs)
    torch.testing.assert_close(own, torchs)


def test_every_initialization_is_tested():
    assert {*TORCHS, "default"} == set(get_args(Initialization))


@pytest.mark.parametrize("name", get_args(Activation))
def test_the_gain_matches_pytorch_or_keeps_the_mean_square(name):
    def squared(z):
        with torch.no_grad():
            value = ACTIVATIONS[name]()(torch.tensor(z, dtype=torch.float64)).item()
        return value**2 * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    if name in ("relu", "tanh", "sigmoid", "leaky_relu"):
        expected = nn.init.calculate_gain(name)
    else:
        expected = 1 / np.sqrt(quad(squared, -12, 12, points=[0])[0])
    assert GAINS[name] == pytest.approx(expected, rel=1e-4)


def test_the_gain_is_that_of_the_next_activation_and_biases_are_set():
    network: Any = nn.Sequential(
        nn.Linear(400, 300), nn.LayerNorm(300), nn.ReLU(), nn.Dropout(0.1), nn.Linear(300, 200)
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initialize(network, TrainingConfig(initialization="he_normal", init_bias=0.25))
    deviations = [network[index].weight.std().item() for index in (0, 4)]
    # At least 60,000 draws: a relative error of 2 per cent is six standard deviations.
    assert deviations == pytest.approx([np.sqrt(2 / 400), np.sqrt(1 / 300)], rel=0.02)
    assert {bias.item() for index in (0, 4) for bias in network[index].bias} == {0.25}
    assert network[1].weight.unique().tolist() == [1.0]


def test_the_default_keeps_the_layers_own_initial_weights():
    layer = nn.Linear(3, 2)
    before = layer.weight.clone(), layer.bias.clone()
    initialize(layer, TrainingConfig(init_bias=3.0))
    assert (layer.weight == before[0]).all()
    assert (layer.bias == before[1]).all()


def test_weight_normalisation_starts_from_the_drawn_weights():
    layer = WeightNormLinear(5, 3)
    initialize(layer, TrainingConfig(initialization="orthogonal"))
    torch.testing.assert_close(layer.effective_weight(), layer.weight)
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(3))


def test_initial_weights_are_a_function_of_the_seed(trial):
    def first_weight(seed):
        return next(trial(initialization="he_normal", seed=seed)._learner.network.parameters())

    assert (first_weight(1) == first_weight(1)).all()
    assert (first_weight(1) != first_weight(2)).all()


def test_a_trial_can_set_its_biases(trial):
    learner = trial(initialization="xavier_uniform", init_bias=0.5)
    assert isinstance(learner.hyperparameters, MLPConfig)
    assert set(learner._learner.network[0].bias.tolist()) == {0.5}
