"""Libraries that training does not need and a worker therefore must not import."""

import subprocess
import sys
from typing import get_args

import torch

from trainables.configs import OptimizerName
from trainables.models.mlp import MLP

TRAINING = """
import sys, tempfile
import torch
from ray.tune.trainable import trainable
from trainables.models.mlp import MLP
from trainables.configs import OptimizerName

trainable.DEFAULT_STORAGE_PATH = tempfile.mkdtemp()

def train(**config):
    trials = [MLP(config={**config, "dropout": 0.1, "seed": seed}) for seed in range(3)]
    MLP.fused_step(trials)
    assert all(trial._stacked_result for trial in trials)
    for trial in trials:
        trial.train()
        trial.restore(trial.save(tempfile.mkdtemp()))
        trial.train()
    print("imported:", *{"torch._dynamo", "sympy", "sklearn"} & sys.modules.keys())

MLP.adopt({"dataset": "wine"}, torch.load(sys.argv[1], weights_only=False), sweep_seed=0)
for optimizer in OptimizerName.__args__:
    train(dataset="wine", optimizer=optimizer)
train(dataset="iris")
"""

STACKED = """
import sys
sys.modules["ray"] = None  # importing it fails
import torch
from torch import nn
from torch.nn import functional
from trainables.training import loop
from trainables.training import optimizers
from trainables.stacking import stack
from trainables.stacking.record import StackingRecord
from trainables.layers.dropout import replace_dropout
from trainables.training.metrics import Metrics
from trainables.training.randomness import RandomStreams
from trainables.configs import TrainingConfig

rows = torch.randn(50, 4), torch.randint(0, 3, (50,))

def learner(seed):
    config = TrainingConfig(lr=0.01 * (seed + 1), optimizer="adam", batch_size=20, warmup=1.0, mixup=0.1)
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 3)]
    network = replace_dropout(nn.Sequential(*layers))
    return loop.Learner(
        network=network, forward=network, optimizer=optimizers.build(config, network.parameters()),
        loss=functional.cross_entropy, config=config, seed=seed,
        streams=RandomStreams(seed, torch.device("cpu")),
        training=rows, validation=rows, task="classification", target_scale=1.0,
        metrics=Metrics("classification"), shape=(4,), device=torch.device("cpu"),
    )

results = stack.advance([learner(seed) for seed in range(3)], StackingRecord())
print(len(results), all(result["val_loss"] > 0 for result in results))
"""


def printed(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_training_saving_and_restoring_import_only_what_loads_the_data(tmp_path):
    """Trials with shared data load none, and never import the compiler."""
    path = str(tmp_path / "shared.pt")
    torch.save(MLP.shared({"dataset": "wine"}, sweep_seed=0), path)
    *shared, own = printed(TRAINING, path)
    assert shared == ["imported:"] * len(get_args(OptimizerName))
    assert own == "imported: sklearn"


def test_stacks_train_without_ray():
    assert printed(STACKED) == ["3 True"]
