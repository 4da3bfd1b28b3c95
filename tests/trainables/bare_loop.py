"""A PyTorch training loop as its documentation writes it, for comparison with a trial."""

import copy

import torch
from torch.nn import functional


def train(
    trial, optimizer, *, epochs, loss=functional.cross_entropy, penalty=None, clip=None, scheduler=None
):
    """Return the parameters after this number of epochs on a new trial's rows, in its order.

    Arguments:
        optimizer: maps parameters to a torch optimizer.
        scheduler: maps that to a scheduler, which steps after each epoch.
        penalty: maps the network to a scalar.
        clip: clips the gradients of parameters.
    """
    learner = trial._learner
    network = copy.deepcopy(learner.network).train()
    generator = torch.Generator()
    generator.set_state(learner.streams.order.get_state())
    optimizer = optimizer(network.parameters())
    scheduler = scheduler and scheduler(optimizer)
    features, targets = learner.training
    for _ in range(epochs):
        order = torch.randperm(len(targets), generator=generator)
        for rows in order.split(learner.config.batch_size):
            optimizer.zero_grad()
            total = loss(network(features[rows]), targets[rows])
            if penalty:
                total = total + penalty(network)
            total.backward()
            if clip:
                clip(network.parameters())
            optimizer.step()
        if scheduler:
            scheduler.step()
    return [parameter.detach() for parameter in network.parameters()]


def assert_same_training(trial, optimizer, *, epochs=3, **parts):
    """Train the trial and the bare loop, and compare every parameter."""
    expected = train(trial, optimizer, epochs=epochs, **parts)
    for _ in range(epochs):
        trial.train()
    for own, other in zip(trial._learner.network.parameters(), expected, strict=True):
        torch.testing.assert_close(own.detach(), other, rtol=1e-9, atol=1e-12)
