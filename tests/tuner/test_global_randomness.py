"""A trial draws the same numbers from the global generators whatever else runs in its process."""

import random
import subprocess
import sys

import numpy as np
import torch

from tuner.worker.randomness import GlobalRandomness


def draws():
    return random.random(), np.random.random(), torch.rand(1).item()


def test_a_trial_s_draws_depend_on_its_seed_alone():
    alone = GlobalRandomness()
    alone.begin(0, 7)
    expected = [draws() for _ in range(4)]
    random.seed(7)
    assert expected[0][0] == random.random()

    shared = GlobalRandomness()
    shared.begin(5, 3)
    draws()
    shared.end(5)
    shared.begin(1, 7)
    seen = [draws()]
    shared.begin(2, 8)
    draws()
    for lane in (1, 2, 1, 2, 1):
        shared.enter(lane)
        found = draws()
        seen += [found] if lane == 1 else []
    assert seen == expected


def test_draws_differ_between_seeds_and_between_iterations():
    randomness = GlobalRandomness()
    found = set()
    for seed, iteration in [(1, 0), (2, 0), (1, 3), (1, 4)]:
        randomness.begin(0, seed, iteration=iteration)
        found.add(draws())
    assert len(found) == 4


def test_torch_is_seeded_when_a_trial_is_the_first_to_import_it():
    code = (
        "from tuner.worker.randomness import GlobalRandomness; r = GlobalRandomness(); r.begin(0, 7)\n"
        "import sys; assert 'torch' not in sys.modules\n"
        "import torch; print(torch.rand(1).item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    torch.manual_seed(7)
    assert float(done.stdout) == torch.rand(1).item()
