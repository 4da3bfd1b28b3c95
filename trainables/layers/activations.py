"""Activation functions by name, and the gains of their initial weights."""

from torch import nn

from trainables.configs import Activation

ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}

GAINS: dict[Activation, float] = {
    "relu": 2**0.5,
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "gelu": 1.5335,
    "silu": 1.6765,
    "elu": 1.2452,
    "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5,
}
"""Factor of the weights before an activation f that keeps the size of signals.

The values are those of ``torch.nn.init.calculate_gain``. For activations that it lacks, the gain is
``1 / sqrt(E f(z)^2)`` with a standard normal z.
"""
