"""Libraries that training does not need and a worker therefore must not import."""

import subprocess
import sys

import torch

from trainables.models.mlp import MLP

TRAINING = """
import sys, tempfile
import torch
from ray.tune.trainable import trainable
from trainables.models.mlp import MLP
from trainables.configs import OptimizerName

trainable.DEFAULT_STORAGE_PATH = tempfile.mkdtemp()
shared = {shared}
if shared is not None:
    MLP.adopt({{"dataset": "wine"}}, shared, sweep_seed=0)
for optimizer in OptimizerName.__args__:
    config = {{"dataset": "wine", "optimizer": optimizer, "dropout": 0.1}}
    trials = [MLP(config={{**config, "seed": seed}}) for seed in range(3)]
    MLP.fused_step(trials)
    assert all(trial._stacked_result for trial in trials)
    for trial in trials:
        trial.train()
        trial.restore(trial.save(tempfile.mkdtemp()))
        trial.train()
print(*{{"torch._dynamo", "sympy", "sklearn"}} & sys.modules.keys())
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

FROM_A_FILE = "torch.load({path!r}, weights_only=False)"


def imported(code):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_training_saving_and_restoring_do_not_import_the_compiler():
    assert imported(TRAINING.format(shared=None)) == {"sklearn"}


def test_trials_with_shared_data_do_not_import_the_libraries_that_load_data(tmp_path):
    path = tmp_path / "shared.pt"
    torch.save(MLP.shared({"dataset": "wine"}, sweep_seed=0), path)
    assert imported(TRAINING.format(shared=FROM_A_FILE.format(path=str(path)))) == set()


def test_stacks_train_without_ray():
    assert imported(STACKED) == {"3", "True"}
