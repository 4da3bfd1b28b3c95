"""``TorchTrainable``: the base class that turns a PyTorch model into a trainable."""

from trainables.torch.trainable import TorchTrainable

__all__ = ["TorchTrainable"]
