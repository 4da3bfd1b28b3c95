"""``TorchTrainable``, the class to inherit from: what turns a PyTorch model into a trainable."""
