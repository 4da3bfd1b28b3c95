"""Functions and classes that end or report in every way that users try, for tests on a real cluster."""

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import ray
from ray import train, tune
from ray.tune import Trainable


class TwoArguments(BaseException):
    def __init__(self, first, second):
        super().__init__(first)


class ColourError(Exception):
    def __str__(self):
        raise ValueError("this cannot be said")


def _raise(error):
    raise error


ENDINGS = {
    "exit 1": lambda: sys.exit(1),
    "exit text": lambda: sys.exit("no data"),
    "exit 0": lambda: sys.exit(0),
    "exit": lambda: sys.exit(),
    "argparse": lambda: argparse.ArgumentParser().parse_args(["--nope"]),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "cancelled": lambda: _raise(asyncio.CancelledError()),
    "generator exit": lambda: _raise(GeneratorExit()),
    "stop iteration": lambda: _raise(StopIteration("no more")),
    "two arguments": lambda: _raise(TwoArguments("first", "second")),
    "odd text": lambda: _raise(ValueError("a \0 and a \ud800")),
    "long text": lambda: _raise(ValueError("x" * 100_000)),
    "no text": lambda: _raise(ColourError()),
}


def ends(config):
    """Report once, unless told not to, and end as ``how`` says."""
    if config["reports"]:
        tune.report({"loss": 1.0})
    ENDINGS[config["how"]]()


class Ends(Trainable):
    """Report once, and end as ``how`` says in the method that ``where`` names."""

    def _end(self, where):
        if self.config["where"] == where:
            ENDINGS[self.config["how"]]()

    def setup(self, config):
        self._end("setup")

    def step(self):
        if self.iteration > 0:
            self._end("step")
        return {"loss": 1.0}

    def save_checkpoint(self, checkpoint_dir):
        self._end("save")

    def load_checkpoint(self, checkpoint_dir):
        pass

    def cleanup(self):
        self._end("cleanup")


VALUES = {"float": 0.25, "zero": 0.0, "int": 1, "numpy": np.float32(0.25), "array": np.array([0.25])}


def value_of(config):
    if config["value"] in VALUES:
        return VALUES[config["value"]]
    import torch

    return {"torch": torch.tensor(0.25), "learned": torch.tensor([0.25], requires_grad=True)}[config["value"]]


def returns(config):
    """Return or report a number of some kind, as ``way`` says."""
    value = value_of(config)
    if config["way"] == "return":
        return value
    if config["way"] == "return the metric":
        return {"loss": value}
    if config["way"] == "report":
        return tune.report({"loss": value, "weights": [value, value], "rows": np.zeros(3)})
    assert train.get_checkpoint() is None
    return train.report({"loss": value, "id": train.get_context().get_trial_id()})


def yields(config):
    yield {"loss": value_of(config)}


def reports_nested(config):
    tune.report({"loss": 1.0, "val": {"loss": value_of(config), "by": {"class": 2}}})


class ReportsNested(Trainable):
    def step(self):
        return {"val": {"loss": 1 / self.iteration if self.iteration else 2.0}}


def returns_two(config):
    return 1.0, value_of(config)


def returns_text(config):
    return "low"


def reports_a_number(config):
    tune.report(0.5)


def writes_a_file(config):
    Path(tune.get_context().get_trial_dir(), "note.txt").write_text(str(config["x"]))
    tune.report({"loss": config["x"]})


@ray.remote
def _one():
    return 1


def waits_for_a_task(config):
    tune.report({"loss": ray.get(_one.remote())})


def prints(config):
    print("printed by", config["x"])
    logging.warning("logged by %s", config["x"])
    tune.report({"loss": 1.0})
    if config["x"] == 2:
        argparse.ArgumentParser(prog="train").parse_args(["--nope"])


def prints_nothing(config):
    return 1.0


DEATHS = {
    "segmentation fault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def dies(config):
    """Kill the process, after a child process has left with ``os._exit`` as well."""
    if os.fork() == 0:
        os._exit(5)
    os.wait()
    DEATHS[config["how"]]()


def tidies(config):
    """Report until stopped, and need some time to clean up."""
    try:
        for _ in range(1000):
            tune.report({"loss": 1.0})
    finally:
        _tidy(config)


class Tidies(Trainable):
    """Needs some time to clean up."""

    def step(self):
        return {"loss": 1.0}

    def cleanup(self):
        _tidy(self.config)


def _tidy(config):
    time.sleep(0.5)
    Path(config["folder"], str(config["number"])).touch()
