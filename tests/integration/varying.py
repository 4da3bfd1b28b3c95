"""Trainables whose trials have different numbers of processes."""

from __future__ import annotations

import os
from pathlib import Path

from ray.tune import Trainable

import tuner.client


def rank_and_size(config):
    """Report the number of processes that the trial has found."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    print("this is rank", os.environ["RANK"])
    counted = torch.ones(1)
    dist.all_reduce(counted)
    tuner.client.report({"loss": counted.item(), "size": int(os.environ["WORLD_SIZE"])})
    dist.destroy_process_group()


class Resized(Trainable):
    """Report the number of processes at each iteration."""

    def setup(self, config):
        self.width = config["width"]

    def step(self):
        return {"loss": self.width, "size": int(os.environ["WORLD_SIZE"]), "width": self.width}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "state").write_text("saved")

    def load_checkpoint(self, checkpoint_dir):
        assert Path(checkpoint_dir, "state").read_text() == "saved"
