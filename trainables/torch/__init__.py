"""``TorchTrainable``, the class to inherit from: what turns a PyTorch model into a trainable."""

from trainables.torch.trainable import TorchTrainable

__all__ = ["TorchTrainable"]
