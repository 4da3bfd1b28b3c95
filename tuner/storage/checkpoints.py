"""Where checkpoints are kept: each is written whole or not at all, and a full disk is one error for all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pyarrow.fs

from tuner.errors import TrialError
from tuner.ray_internals import StorageContext
from tuner.storage.disk import trouble

Folder = tuple[Any, str]
"""A file system of pyarrow's, and the path of a folder in it."""

PARTIAL = ".partial"
"""The ending of a checkpoint folder that is being written."""


class StorageFailed(TrialError):
    """A checkpoint could not be written, and that is not the trial's fault."""


class Storage(StorageContext):
    """Ray's storage of a trial; a checkpoint appears in it under its name only when all of it is there."""

    def persist_current_checkpoint(self, checkpoint: Any) -> Any:
        """Copy a checkpoint to its place. Raises StorageFailed where nothing can be written there."""
        system, target = self.storage_filesystem, self.checkpoint_fs_path
        partial = f"{target}{PARTIAL}"
        if not Path(checkpoint.path).is_dir():
            raise TrialError(f"the checkpoint must be a folder, and there is none at {checkpoint.path}")
        folder = Path(self.experiment_fs_path)
        if not folder.is_dir():
            what = f"there is no such folder on {os.uname().nodename}"
            raise StorageFailed(f"{folder}: {what}; all machines must share the results folder")
        try:
            for left in (partial, target):  # by a process that died
                remove(system, left)
            system.create_dir(partial)
            pyarrow.fs.copy_files(
                checkpoint.path,
                partial,
                source_filesystem=checkpoint.filesystem,
                destination_filesystem=system,
            )
            system.move(partial, target)
        except OSError as error:
            if (reason := trouble(folder, error)) is None:
                raise
            raise StorageFailed(f"{folder}: cannot be written: {reason}") from error
        return type(checkpoint)(filesystem=system, path=target)


def remove(system: pyarrow.fs.FileSystem, path: str) -> None:
    """Delete a folder, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        system.delete_dir(path)


def contents(checkpoint: Any) -> tuple[int, int]:
    """How many files a checkpoint has, and how many bytes together. Raises OSError if it is not there."""
    selector = pyarrow.fs.FileSelector(checkpoint.path, recursive=True)
    sizes = [info.size or 0 for info in checkpoint.filesystem.get_file_info(selector) if info.is_file]
    return len(sizes), sum(sizes)


def make_durable(checkpoint: Any) -> None:
    """Write a checkpoint to the disk itself, where it lies on a local one."""
    if not isinstance(checkpoint.filesystem, pyarrow.fs.LocalFileSystem):
        return
    for folder, _, files in os.walk(checkpoint.path):
        for name in (*files, "."):
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def blame_storage(trial: Any, error: TrialError) -> None:
    """Raise StorageFailed where a trial cannot be saved because nothing can be written at all."""
    folder = Path(trial._storage.experiment_fs_path)
    if not isinstance(error, StorageFailed) and (reason := trouble(folder)) is not None:
        raise StorageFailed(f"{folder}: cannot be written: {reason}") from None
