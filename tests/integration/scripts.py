"""Training code that uses ``tuner.client``, as functions of a sweep and as a script."""

from __future__ import annotations

import os
import subprocess
import sys

from tuner import client


def trains(config=None):
    """Train a tiny network. Its loss depends on all earlier epochs and on PyTorch's random generator."""
    import torch

    config = client.config(lr=0.1, epochs=9)
    torch.manual_seed(config.get("seed", 0))
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    saved = client.restore(model=model, optimizer=optimizer)
    for epoch in range(saved.get("epoch", -1) + 1, config["epochs"]):
        inputs = torch.randn(32, 4)
        loss = ((model(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        client.report(
            {"loss": loss, "rate": optimizer.param_groups[0]["lr"]},
            step=epoch,
            model=model,
            optimizer=optimizer,
            epoch=epoch,
        )


def ends_itself(config):
    """End the loop when asked to, and leave a trace of it."""
    epoch = 0
    while not client.should_stop():
        epoch += 1
        client.report({"loss": config["x"] + 1 / epoch})
    with open(config["trace"], "a") as file:
        file.write(f"{epoch}\n")


def in_processes(config):
    """Report from two processes that this function starts. Rank 1 must not add results."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import scripts; scripts.rank()"
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]


def rank():
    """Be one process of a trial."""
    config = client.config()
    for epoch in range(6):
        client.report({"loss": config["x"] + 1 / (1 + epoch), "rank": float(os.environ["RANK"])})


if __name__ == "__main__":
    trains()
