"""The functions that training scripts call, with PyTorch's own optimizers."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

from tuner import client
from tuner.client import apply_config


def optimizer_of(optimizer, **settings):
    return optimizer([torch.nn.Parameter(torch.ones(2))], **settings)


def test_a_restored_optimizer_has_the_hyperparameters_of_its_own_trial():
    source = optimizer_of(torch.optim.SGD, lr=0.5, momentum=0.1, weight_decay=0.3)
    restored = optimizer_of(torch.optim.SGD, lr=0.01, momentum=0.9)
    restored.load_state_dict(source.state_dict())
    apply_config({"lr": 0.01, "momentum": 0.9, "size": 3}, restored)
    [group] = restored.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 0.3)


def test_betas_are_set_one_by_one():
    adam = optimizer_of(torch.optim.Adam, lr=0.1, betas=(0.8, 0.99))
    apply_config({"learning_rate": 0.2, "beta2": 0.5}, adam)
    assert (adam.param_groups[0]["lr"], adam.param_groups[0]["betas"]) == (0.2, (0.8, 0.5))


@pytest.mark.parametrize("kind", ["step", "lambda", "exponential"])
def test_a_restored_schedule_continues_with_another_initial_rate(kind):
    def schedule(optimizer):
        if kind == "step":
            return torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.1)
        if kind == "lambda":
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

    def rates(lr, *, then=None):
        optimizer = optimizer_of(torch.optim.SGD, lr=lr)
        scheduler = schedule(optimizer)
        found = []
        for epoch in range(6):
            if epoch == 3 and then is not None:
                apply_config({"lr": then}, optimizer, [scheduler])
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    assert rates(1.0, then=0.25)[3:] == pytest.approx(rates(0.25)[3:])


def test_the_client_imports_the_standard_library_only():
    code = (
        "import sys; before = set(sys.modules); import tuner.client; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in ("torch", "numpy", "ray", "pydantic") if f"'{name}'" in done.stdout]


class Paused:
    """A trial that continues from a checkpoint of a trial with another configuration."""

    def __init__(self, config, folder):
        self.config, self.checkpoint = config, folder

    def about(self):
        return {"config": self.config, "checkpoint": self.checkpoint}

    def report(self, metrics, checkpoint, rank):
        checkpoint(self.checkpoint)

    def folder(self):
        return self.checkpoint

    def should_stop(self):
        return False


@pytest.mark.parametrize(("lr", "expected"), [(0.5, [0.5, 0.05]), (0.25, [0.25, 0.25])])
def test_restore_applies_only_hyperparameters_that_differ_from_the_checkpoint(tmp_path, lr, expected):
    """Groups of an optimizer may have rates of their own, which a pause must not change."""

    def build():
        groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in (0.5, 0.05)]
        return torch.optim.SGD(groups, momentum=0.9)

    for trial in (Paused({"lr": 0.5, "momentum": 0.9}, str(tmp_path)), Paused({"lr": lr}, str(tmp_path))):
        optimizer = build()
        client.connect(trial)
        try:
            if trial.config["lr"] == 0.5 and "momentum" in trial.config:
                client.report({"loss": 1}, optimizer=optimizer, epoch=3)
            else:
                assert client.restore(optimizer=optimizer) == {"epoch": 3}
        finally:
            client.disconnect(trial)
    assert [group["lr"] for group in optimizer.param_groups] == expected


ONCE = """
import os, random
from tuner import client
saved = client.restore()
random.random()
client.report({"loss": 1.0}, epoch=saved.get("epoch", 0) + 1)
"""


def test_a_script_in_another_process_writes_a_checkpoint_when_it_is_asked(tmp_path):
    """The script reaches its trial by one connection, which waits for the checkpoint meanwhile."""
    address = str(tmp_path / "trial")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        environment = {**os.environ, client.ADDRESS: address}
        script = subprocess.Popen([sys.executable, "-c", ONCE], env=environment)
        connection, _ = listener.accept()
        connection.settimeout(30)
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            asked = []
            while line := stream.readline():
                asked.append(json.loads(line)["op"])
                about = {"config": {"lr": 0.5, "name": "sgd"}, "checkpoint": None}
                answer = {"trial": about, "report": {"save": str(tmp_path)}, "saved": {"stop": False}}[
                    asked[-1]
                ]
                stream.write(json.dumps(answer) + "\n")
                stream.flush()
        assert script.wait(30) == 0
    assert asked[-2:] == ["report", "saved"]
    written = json.loads((tmp_path / "tuner-state.json").read_text())
    assert (written["values"], written["config"]) == ({"epoch": 1}, {"lr": 0.5})
