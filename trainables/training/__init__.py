"""The training of one model: epochs, losses, optimizers, augmentation, metrics. Needs torch, but no Ray."""
