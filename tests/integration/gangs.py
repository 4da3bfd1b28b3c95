"""Trainables of several processes, for tests on a real cluster."""

import json
import os
import signal
import time
from pathlib import Path

import ray
import torch
import torch.distributed as dist
from ray.tune import Trainable

from tuner import client


def _fail(how: str, folder: str) -> None:
    """Fail as ``how`` says. A process dies only once."""
    if how == "raise":
        raise ValueError("this rank is broken")
    flag = Path(folder, f"{how}-{client.about()['trial'] if client.about() else 'class'}")
    if flag.exists():
        return
    flag.touch()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)


def note(folder: str, **about) -> None:
    """Write what this rank knows about itself to a file of its own."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_PORT")
    text = {**{name: os.environ.get(name) for name in names}, "pid": os.getpid(), **about}
    with Path(folder, f"{os.getpid()}-{time.time_ns()}.json").open("w") as file:
        json.dump(text, file)


def descend(config):
    """Fit a linear model with DistributedDataParallel. Each rank has its share of the rows."""
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    note(config["folder"], trial=client.about()["trial"])
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 1, bias=False).double()
    linear.weight.data.zero_()
    model = torch.nn.parallel.DistributedDataParallel(linear)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["lr"], momentum=0.9)
    saved = client.restore(model=model, optimizer=optimizer)
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mine = rows[rank::world]
    for epoch in range(saved.get("epoch", -1) + 1, 9):
        if rank == config.get("rank") and epoch == 2:
            _fail(config["how"], config["folder"])
        loss = (model(mine) - mine.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        whole = loss.detach() / world
        dist.all_reduce(whole)
        print(f"rank {rank}: {whole.item()}")
        client.report({"loss": whole.item()}, model=model, optimizer=optimizer, epoch=epoch)
    dist.destroy_process_group()


def silent_members(config):
    """Only rank 0 reports."""
    if os.environ["RANK"] == "0":
        for _ in range(3):
            client.report({"loss": config["lr"]})
    else:
        time.sleep(0.5)
        note(config["folder"])


class Descent(Trainable):
    """The same as a class. Its checkpoint takes all ranks."""

    def setup(self, config):
        dist.init_process_group("gloo")
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        note(config["folder"], trial=self.trial_id)
        self.weights = torch.zeros(4, dtype=torch.float64)
        rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.rows = rows[self.rank :: self.world]

    def step(self):
        if self.rank == self.config.get("rank") and self.iteration == 2:
            _fail(self.config["how"], self.config["folder"])
        errors = self.rows @ self.weights - self.rows.sum(1)
        gradient = 2 * errors @ self.rows / 64
        loss = errors.square().sum() / 64
        dist.all_reduce(gradient)
        dist.all_reduce(loss)
        self.weights -= self.config["lr"] * gradient
        return {"loss": loss.item()}

    def save_checkpoint(self, checkpoint_dir):
        dist.barrier()
        Path(checkpoint_dir, "weights").write_text(json.dumps(self.weights.tolist()))

    def load_checkpoint(self, checkpoint):
        self.weights = torch.tensor(json.loads(Path(checkpoint, "weights").read_text()), dtype=torch.float64)


class Hangs(Trainable):
    """Rank 1 waits forever in its third step."""

    def step(self):
        while os.environ["RANK"] == "1" and self.iteration == 2:
            time.sleep(0.1)
        return {"loss": 1.0}


SCRIPT = """
import argparse, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--fails", type=int, default=-1)
lr, fails = vars(parser.parse_args()).values()
rank = int(os.environ["RANK"])
assert os.environ["WORLD_SIZE"] == "2" and os.environ["MASTER_ADDR"] and os.environ["MASTER_PORT"]
if rank == fails:
    sys.exit(f"rank {rank} fails")
for epoch in range(3):
    if rank == 0:
        print(f"loss={lr}", flush=True)
"""


def occupy(config):
    """Hold a GPU for a while, and note which one."""
    began = time.time()
    time.sleep(0.3)
    client.report({"loss": config["x"]})
    context = ray.get_runtime_context()
    [gpu] = context.get_accelerator_ids()["GPU"]
    device = f"{context.get_node_id()}:{gpu}"
    visible = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
    own = visible[int(os.environ["LOCAL_RANK"])] == gpu
    about = {"trial": client.about()["trial"], "node": context.get_node_id(), "own": own}
    note(config["folder"], device=device, began=began, ended=time.time(), **about)
