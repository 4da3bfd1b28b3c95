"""Process-wide state is restored between trials."""

import logging
import multiprocessing
import os
import socket
import sys
import types
import warnings

import numpy as np
import pytest
import torch

from tests.present import present
from tuner.worker.surroundings import Surroundings


def process_state():
    """Return a snapshot of the process-wide state."""
    return (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        np.geterr(),
        list(warnings.filters),
        list(logging.getLogger().handlers),
        logging.getLogger().level,
        multiprocessing.get_start_method(allow_none=True),
        socket.getdefaulttimeout(),
        (os.getcwd(), dict(os.environ), list(sys.path), list(sys.argv), sys.stdout),
    )


def test_changes_by_a_trial_are_undone(tmp_path):
    before = Surroundings()
    state = process_state()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_float32_matmul_precision("medium")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = True
    torch.set_grad_enabled(False)
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    logging.basicConfig(filename=tmp_path / "log", level=logging.DEBUG, force=True)
    multiprocessing.set_start_method("spawn", force=True)
    socket.setdefaulttimeout(3)
    os.chdir(tmp_path)
    os.environ["LEFT"] = "behind"
    sys.path.insert(0, str(tmp_path))
    sys.argv.append("--left")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    opened = sys.stdout
    assert before.restore() is None
    opened.close()
    assert torch.is_grad_enabled()
    assert state == process_state()


def test_torch_first_imported_by_a_trial_gets_its_initial_state_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    before = Surroundings()
    monkeypatch.undo()
    torch.set_default_dtype(torch.float64)
    assert before.restore() is None
    assert torch.get_default_dtype() is torch.float32


def test_an_open_process_group_makes_the_process_unfit(tmp_path):
    before = Surroundings()
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1
    )
    assert before.restore() == "a process group of torch.distributed was not destroyed"
    torch.distributed.destroy_process_group()
    assert before.restore() is None


def test_changed_interop_threads_make_the_process_unfit(monkeypatch):
    before = Surroundings()
    monkeypatch.setattr("torch.get_num_interop_threads", lambda: 17)
    assert "set_num_interop_threads" in present(before.restore())


@pytest.fixture
def module(monkeypatch):
    """Return a function that puts a module in place of one that is not installed."""

    def put(name, **parts):
        found = types.SimpleNamespace(**parts)
        monkeypatch.setitem(sys.modules, name, found)
        return found

    return put


def test_an_open_run_of_a_tracker_is_ended(module):
    ended = []
    wandb = module("wandb", run="r1", finish=lambda: ended.append("wandb"))
    runs = ["inner", "outer"]
    module("mlflow", active_run=lambda: runs[0] if runs else None, end_run=lambda: ended.append(runs.pop(0)))
    assert Surroundings().restore() is None
    assert ended == ["wandb", "inner", "outer"]
    wandb.run = None
    assert Surroundings().restore() is None
    assert len(ended) == 3


def test_a_tracker_that_does_not_end_makes_the_process_unfit(module, monkeypatch):
    monkeypatch.setattr("tuner.worker.surroundings._SECONDS_TO_FINISH", 0.05)
    import threading

    gate = threading.Event()
    module("wandb", run="r1", finish=lambda: gate.wait(20))
    assert Surroundings().restore() == "a run of wandb did not end"
    gate.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_tracker_that_fails_to_end_makes_the_process_unfit(module):
    module("wandb", run="r1", finish=lambda: 1 / 0)
    assert Surroundings().restore() == "a run of wandb did not end"
