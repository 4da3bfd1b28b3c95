"""The nonlinearities that a network can have between its layers."""

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
"""By how much the weights before an activation are larger, so that signals keep their size.

As in ``torch.nn.init.calculate_gain``; for those that it does not know, 1 / sqrt(E f(z)^2), z being a
standard normal number.
"""
