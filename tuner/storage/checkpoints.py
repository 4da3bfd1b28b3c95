"""Storage of checkpoints. Each is written atomically, and every full disk raises the same error."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pyarrow.fs

from tuner.errors import TrialError
from tuner.ray_internals.tune import StorageContext
from tuner.storage.disk import trouble

Folder = tuple[Any, str]
"""A pyarrow file system, and the path of a folder in it."""

PARTIAL = ".partial"
"""The suffix of a checkpoint folder while it is being written."""


class StorageFailed(TrialError):
    """A checkpoint could not be written, for a reason outside the trial."""


class Storage(StorageContext):
    """Ray's storage of a trial, with a rename that makes each checkpoint appear only when it is complete."""

    def persist_current_checkpoint(self, checkpoint: Any) -> Any:
        """Copy a checkpoint into the results folder. Raises StorageFailed if the folder is not writable."""
        system, target = self.storage_filesystem, self.checkpoint_fs_path
        partial = f"{target}{PARTIAL}"
        if not Path(checkpoint.path).is_dir():
            raise TrialError(f"the checkpoint must be a folder; no folder exists at {checkpoint.path}")
        folder = Path(self.experiment_fs_path)
        if not folder.is_dir():
            what = f"this folder does not exist on {os.uname().nodename}"
            raise StorageFailed(f"{folder}: {what}; all machines must share the results folder")
        try:
            for leftover in (partial, target):  # a process that died may have left either
                remove(system, leftover)
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
    """Delete a folder if it exists."""
    with contextlib.suppress(FileNotFoundError):
        system.delete_dir(path)


def contents(checkpoint: Any) -> tuple[int, int]:
    """Return the number of files in a checkpoint and their total bytes. Raises OSError if it is missing."""
    selector = pyarrow.fs.FileSelector(checkpoint.path, recursive=True)
    sizes = [info.size or 0 for info in checkpoint.filesystem.get_file_info(selector) if info.is_file]
    return len(sizes), sum(sizes)


def make_durable(checkpoint: Any) -> None:
    """Flush a checkpoint to the disk, if the disk is local."""
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
    """Raise StorageFailed if a trial could not be saved because its results folder is not writable."""
    folder = Path(trial._storage.experiment_fs_path)
    if not isinstance(error, StorageFailed) and (reason := trouble(folder)) is not None:
        raise StorageFailed(f"{folder}: cannot be written: {reason}") from None
