"""``WorkerSetup``: the part of a sweep that its workers need, and the data that all trials share."""

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

import tuner
from tuner.code.fingerprint import fingerprint
from tuner.code.modules import LOADED_FILES, is_found, load_file
from tuner.code.travel import CodeArchive, moved
from tuner.errors import Problem, SpecError, said
from tuner.storage.lock import FILE_NAME as LOCK
from tuner.storage.lock import read_owner

if TYPE_CHECKING:
    from tuner.sweep import Sweep  # workers do not need this import


class WorkerSetup:
    """The trainable, settings and number of CPU threads from which a worker creates trials.

    ``travels`` includes the user's code, for workers on other nodes.
    """

    def __init__(self, trainable: Any, sweep: Sweep, *, threads: int, travels: bool = False) -> None:
        try:
            self._trainable = cloudpickle.dumps(trainable)
        except Exception as error:
            what = f"cannot be sent to the workers: {said(error)}"
            raise SpecError([Problem("trainable", what)]) from error
        # The pickle refers to these modules by their names in the driver.
        self._files = {name: f for name, f in LOADED_FILES.items() if name.encode() in self._trainable}
        self.settings = dict(sweep.trainable.settings)
        self.sweep_seed = sweep.seed
        self.objective = sweep.objective
        self.resource = sweep.scheduler.resource
        self.threads = threads
        files = sweep.trainable.files()
        travels = travels and bool(fingerprint(trainable, files))  # installed packages are on every node
        roots = _roots([*(file.path for file in self._files.values()), *files]) if travels else []
        self._archive = CodeArchive(roots) if travels else None
        self._folder = os.getcwd()
        self._path = [entry for entry in sys.path if entry and os.path.isdir(entry)]

    def with_threads(self, threads: int) -> WorkerSetup:
        """Return a copy for a worker with another number of CPU threads."""
        other = copy.copy(self)
        other.threads = threads
        return other

    def load(self) -> Any:
        """Load the trainable class in a worker. A function is wrapped in a class."""
        places = {} if self._archive is None else self._archive.unpack()
        folder = moved(self._folder, places)
        if os.path.isdir(folder):  # a sweep's relative paths refer to the driver's working directory
            os.chdir(folder)
        ray_path = list(sys.path)  # the search path of tasks that trials start
        path = [moved(entry, places) for entry in self._path]
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        for name, loaded in self._files.items():
            file = Path(moved(str(loaded.path), places))
            if not file.is_file():
                raise FileNotFoundError(f"there is no file {file} on node {os.uname().nodename}")
            module = load_file(file, name=name, source=loaded.source)
            if not is_found(name, file.resolve(), ray_path):
                cloudpickle.register_pickle_by_value(module)
        trainable = cloudpickle.loads(self._trainable)
        if isinstance(trainable, type):
            return trainable
        from tuner.worker.function import as_trainable

        modes = [each.mode for each in self.objective.all]
        return as_trainable(trainable, self.objective.metrics, modes)


@dataclass(frozen=True)
class Results:
    """The results folder of a sweep."""

    folder: str
    token: str
    """The token in the folder's lock file, which distinguishes it from a folder of the same name."""

    def are_here(self) -> bool:
        """Return whether this process sees the folder."""
        return bool(read_owner(Path(self.folder, LOCK)).get("token") == self.token)


@dataclass(frozen=True)
class Place:
    """A worker's description of its machine."""

    node: str
    """The machine's address."""
    host: str
    """The machine's name."""
    versions: dict[str, str]
    """Versions that must be equal on all machines."""
    sees_results: bool
    node_id: str = ""
    """Ray's name of the machine."""
    gpus: tuple[str, ...] = ()
    """The GPUs of the process."""
    members: tuple[Place, ...] = ()
    """The places of ranks 1, 2, ... if it is the leader of a gang."""

    @classmethod
    def here(cls, *, sees_results: bool) -> Place:
        """Describe the machine of this worker."""
        context = ray.get_runtime_context()
        return cls(
            node=str(ray.util.get_node_ip_address()),
            host=os.uname().nodename,
            versions=versions(),
            sees_results=sees_results,
            node_id=context.get_node_id(),
            gpus=tuple(map(str, context.get_accelerator_ids().get("GPU", ()))),
        )


def versions() -> dict[str, str]:
    """Return the installed versions of Python and of the packages that results depend on."""
    found = {"Python": platform.python_version(), "tuner": tuner.__version__}
    for name in ("ray", "torch"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _roots(files: Iterable[Path]) -> list[Path]:
    """Return the folders of the user's files, and the current folder if it can be a project."""
    here = Path.cwd()
    return [*([] if here in (Path.home(), Path("/")) else [here]), *(file.parent for file in files)]


def share(sweep: Sweep) -> list[ray.ObjectRef]:
    """Put the data that all trials share, if any, into Ray's object store. Raises SpecError."""
    try:
        shared = sweep.trainable.shared(seed=sweep.seed)
        return [] if shared is None else [ray.put(shared)]
    except Exception as error:
        what = f"its shared data cannot be sent to the workers: {said(error)}"
        raise SpecError([Problem("trainable", what)]) from error
