"""A network with a gate before its output. Put your own model here."""

import torch
from pydantic import Field
from torch import nn

from trainables.configs import TrainingConfig
from trainables.torch import TorchTrainable


class GatedNetwork(nn.Module):
    """One hidden layer. A gate in [0, 1] multiplies each of its units."""

    def __init__(self, features, width, outputs, residual):
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.gate = nn.Linear(features, width)
        self.output = nn.Linear(width, outputs)
        self.skip = nn.Linear(features, outputs) if residual else None

    def forward(self, x):
        """Return n x outputs for n x features."""
        y = self.output(torch.relu(self.hidden(x)) * torch.sigmoid(self.gate(x)))
        return y if self.skip is None else y + self.skip(x)


class Gated(TorchTrainable):
    """A trial of the model. It trains on the data of the sweep file, and shares lanes with trials like it."""

    class Config(TrainingConfig):
        """The model's own hyperparameters. Those of the training are inherited."""

        width: int = Field(32, ge=1, description="units of the hidden layer")
        residual: bool = Field(False, description="whether the input reaches the output directly, too")

    def model(self, config):
        """Return a new network for one configuration and the trial's data."""
        return GatedNetwork(self.dataset.features, config.width, self.dataset.outputs, config.residual)
