"""What a worker does not pay for: libraries that training has no use for."""

import subprocess
import sys

import torch

from trainables.mlp import MLP

TRAINING = """
import sys, tempfile
import torch
from ray.tune.trainable import trainable
from trainables.mlp import MLP
from trainables.recipe import OptimizerName

trainable.DEFAULT_STORAGE_PATH = tempfile.mkdtemp()
shared = {shared}
if shared is not None:
    MLP.adopt({{"dataset": "wine"}}, shared, sweep_seed=0)
for optimizer in OptimizerName.__args__:
    config = {{"dataset": "wine", "optimizer": optimizer, "dropout": 0.1}}
    trials = [MLP(config={{**config, "seed": seed}}) for seed in range(3)]
    MLP.fused_step(trials)
    assert all(trial._in_stack for trial in trials)
    for trial in trials:
        trial.train()
        trial.restore(trial.save(tempfile.mkdtemp()))
        trial.train()
print(*{{"torch._dynamo", "sympy", "sklearn"}} & sys.modules.keys())
"""

FROM_A_FILE = "torch.load({path!r}, weights_only=False)"


def imported(code):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_training_saving_and_restoring_do_not_import_the_compiler():
    assert imported(TRAINING.format(shared=None)) == {"sklearn"}


def test_trials_that_are_handed_their_data_do_not_import_what_loads_it(tmp_path):
    path = tmp_path / "shared.pt"
    torch.save(MLP.shared({"dataset": "wine"}, sweep_seed=0), path)
    assert imported(TRAINING.format(shared=FROM_A_FILE.format(path=str(path)))) == set()
