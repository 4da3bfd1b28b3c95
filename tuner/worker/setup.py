"""What workers get of a sweep: the ``WorkerSetup`` of its trials, and what all of them share."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import cloudpickle

from tuner.code.fingerprint import fingerprint
from tuner.code.modules import LOADED_FILES, is_found, load_file
from tuner.code.travel import CodeArchive, moved
from tuner.errors import Problem, SpecError, said
from tuner.storage.lock import FILE_NAME as LOCK
from tuner.storage.lock import read_owner

if TYPE_CHECKING:
    from tuner.sweep import Sweep  # which workers need not import


class WorkerSetup:
    """What a worker needs to make trials of a sweep: the trainable, its settings, the CPU threads.

    ``travels``: the user's code is sent along, since workers may be on other nodes.
    """

    def __init__(self, trainable: Any, sweep: Sweep, *, threads: int, travels: bool = False) -> None:
        try:
            self._trainable = cloudpickle.dumps(trainable)
        except Exception as error:
            what = f"cannot be sent to the workers: {said(error)}"
            raise SpecError([Problem("trainable", what)]) from error
        # Under the names that the driver has for them, which the pickle refers to.
        self._files = {name: f for name, f in LOADED_FILES.items() if name.encode() in self._trainable}
        self.settings = dict(sweep.trainable.settings)
        self.sweep_seed = sweep.seed
        self.objective = sweep.objective
        self.resource = sweep.scheduler.resource
        self.threads = threads
        travels = travels and bool(fingerprint(trainable))  # what is installed is installed everywhere
        self._luggage = CodeArchive(_roots(file.path for file in self._files.values())) if travels else None
        self._folder = os.getcwd()
        self._path = [entry for entry in sys.path if entry and os.path.isdir(entry)]

    def with_threads(self, threads: int) -> WorkerSetup:
        """The same for a worker of so many CPU threads."""
        other = copy.copy(self)
        other.threads = threads
        return other

    def load(self) -> Any:
        """The trainable class, in a worker; a function becomes one as Ray Tune does it."""
        places = {} if self._luggage is None else self._luggage.unpack()
        folder = moved(self._folder, places)
        if os.path.isdir(folder):  # relative paths mean what they mean where the sweep was started
            os.chdir(folder)
        found_by_ray = list(sys.path)  # by the processes of tasks that trials start
        path = [moved(entry, places) for entry in self._path]
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        for name, loaded in self._files.items():
            file = Path(moved(str(loaded.path), places))
            if not file.is_file():
                raise FileNotFoundError(f"there is no file {file} on the node {os.uname().nodename}")
            module = load_file(file, name=name, source=loaded.source)
            if not is_found(name, file.resolve(), found_by_ray):
                cloudpickle.register_pickle_by_value(module)
        trainable = cloudpickle.loads(self._trainable)
        if isinstance(trainable, type):
            return trainable
        from tuner.worker.function import as_trainable

        return as_trainable(trainable, self.objective.metrics)


@dataclass(frozen=True)
class Results:
    """The results folder of a sweep, and what its lock's file says, to tell it from another of its name."""

    folder: str
    token: str

    def are_here(self) -> bool:
        """Whether this process sees that folder."""
        return bool(read_owner(Path(self.folder, LOCK)).get("token") == self.token)


@dataclass(frozen=True)
class Place:
    """What a worker says of where it is. ``versions``: of what must be the same everywhere."""

    node: str
    host: str
    versions: dict[str, str]
    sees_results: bool


def versions() -> dict[str, str]:
    """Of Python and of the packages that results depend on, as they are here."""
    found = {"Python": platform.python_version()}
    for name in ("tuner", "ray", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _roots(files: Iterable[Path]) -> list[Path]:
    """The folders that the user's code is in: the current one, unless it is no project's, and the files'."""
    here = Path.cwd()
    return [*([] if here in (Path.home(), Path("/")) else [here]), *(file.parent for file in files)]


def share(sweep: Sweep) -> list[ray.ObjectRef]:
    """What all trials of the sweep share, if anything, once on each machine. Raises SpecError."""
    try:
        shared = sweep.trainable.shared(seed=sweep.seed)
        return [] if shared is None else [ray.put(shared)]
    except Exception as error:
        what = f"what its trials share cannot be sent to the workers: {said(error)}"
        raise SpecError([Problem("trainable", what)]) from error
