"""What workers get of a sweep: the ``Recipe`` of its trials, and what all of them share."""

from __future__ import annotations

import copy
import os
import sys
from typing import TYPE_CHECKING, Any

import ray
from ray import cloudpickle

from tuner.errors import Problem, SpecError
from tuner.modules import LOADED_FILES, load_file

if TYPE_CHECKING:
    from tuner.sweep import Sweep  # which workers need not import


class Recipe:
    """What a worker needs to make trials of a sweep: the trainable, its settings, the CPU threads."""

    def __init__(self, trainable: Any, sweep: Sweep, *, threads: int) -> None:
        try:
            self._trainable = cloudpickle.dumps(trainable)
        except Exception as error:
            what = f"cannot be sent to the workers: {type(error).__name__}: {error}"
            raise SpecError([Problem("trainable", what)]) from error
        # Under the names that the driver has for them, which the pickle refers to.
        named = {name for name in LOADED_FILES if name.encode() in self._trainable}
        self._files = {name: LOADED_FILES[name] for name in named}
        self.settings = dict(sweep.trainable.settings)
        self.sweep_seed = sweep.seed
        self.objective = sweep.objective
        self.resource = sweep.scheduler.resource
        self.threads = threads
        self._folder = os.getcwd()
        self._path = [entry for entry in sys.path if entry and os.path.isdir(entry)]

    def with_threads(self, threads: int) -> Recipe:
        """The same for a worker of so many CPU threads."""
        other = copy.copy(self)
        other.threads = threads
        return other

    def load(self) -> Any:
        """The trainable class, in a worker; a function becomes one as Ray Tune does it."""
        if os.path.isdir(self._folder):  # relative paths mean what they mean where the sweep was started
            os.chdir(self._folder)
        sys.path[:] = [*self._path, *(entry for entry in sys.path if entry not in self._path)]
        for name, path in self._files.items():
            if not path.is_file():
                raise FileNotFoundError(f"there is no file {path} on the node {os.uname().nodename}")
            if name not in sys.modules:
                load_file(path, name=name)
        trainable = cloudpickle.loads(self._trainable)
        if isinstance(trainable, type):
            return trainable
        from tuner.engine.function import as_trainable

        return as_trainable(trainable, self.objective.metrics)


def share(sweep: Sweep) -> list[ray.ObjectRef]:
    """What all trials of the sweep share, if anything, once on each machine. Raises SpecError."""
    try:
        shared = sweep.trainable.shared(seed=sweep.seed)
        return [] if shared is None else [ray.put(shared)]
    except Exception as error:
        what = f"what its trials share cannot be sent to the workers: {type(error).__name__}: {error}"
        raise SpecError([Problem("trainable", what)]) from error
