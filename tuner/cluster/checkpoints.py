"""``Checkpoints``: decides which checkpoints of a trial are needed. It replaces Ray's checkpoint manager.

Ray deletes a checkpoint when a better one exists, before our journal records the new one. ``Checkpoints``
only lists the checkpoints that are no longer needed. The controller deletes them after the journal entry.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.fs
from ray import tune
from ray.tune import CheckpointConfig
from ray.tune.experiment import Experiment, Trial

from tuner.journal.history import StoredCheckpoint
from tuner.objective import Objective
from tuner.ray_internals.tune import TrainingResult
from tuner.storage.checkpoints import Folder, Storage, contents, remove


class StoredExperiment(Experiment):
    """A Ray experiment whose trials write checkpoints atomically."""

    _storage_context_cls = Storage


@dataclass
class Checkpoints:
    """The checkpoints of one trial."""

    objective: Objective
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)
    latest_checkpoint_result: TrainingResult | None = None
    """The newest checkpoint, from which the trial continues."""
    best_checkpoint_result: TrainingResult | None = None
    """The checkpoint at the trial's best value. With several objectives it is the newest one."""
    contents: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The number of files and of bytes of each checkpoint, by path."""
    freed: list[TrainingResult] = field(default_factory=list)
    """Checkpoints that are no longer needed."""

    def register_checkpoint(self, result: TrainingResult) -> None:
        """Add a new checkpoint, and move checkpoints that it replaces to ``freed``."""
        self.measure(result.checkpoint)
        before = {self.latest_checkpoint_result, self.best_checkpoint_result} - {None}
        self.latest_checkpoint_result = result
        best = self.best_checkpoint_result
        if best is None or self._score(result) >= self._score(best):
            self.best_checkpoint_result = result
        needed = (result, self.best_checkpoint_result)
        self.freed += [old for old in before if old is not None and old not in needed]

    def measure(self, checkpoint: Any) -> None:
        """Record the number of files and of bytes of a checkpoint. Raises OSError if it cannot be read."""
        self.contents[checkpoint.path] = contents(checkpoint)

    def take_freed(self) -> list[Folder]:
        """Return the folders that are no longer needed. Each is returned once."""
        freed, self.freed = self.freed, []
        for result in freed:
            del self.contents[result.checkpoint.path]
        return [(result.checkpoint.filesystem, result.checkpoint.path) for result in freed]

    def is_damaged(self) -> bool:
        """Return whether the newest checkpoint is missing or differs from what was written."""
        latest = self.latest_checkpoint_result
        return latest is not None and not is_whole(latest.checkpoint, self.contents[latest.checkpoint.path])

    def drop_latest(self) -> None:
        """Discard the newest checkpoint. The trial then continues from the best one, or starts over."""
        broken, best = self.latest_checkpoint_result, self.best_checkpoint_result
        self.latest_checkpoint_result = self.best_checkpoint_result = None if best is broken else best
        if broken is not None:
            self.freed.append(broken)

    def _score(self, result: TrainingResult) -> float:
        value = None if self.objective.others else result.metrics.get(self.objective.metric)
        return -math.inf if value is None or math.isnan(value) else self.objective.score(value)


def copy_checkpoint(source: Trial, trial: Trial, *, metric: str) -> None:
    """Copy the last checkpoint of a source to a paused trial, which continues from the copy.

    A copy is needed because the source may delete its checkpoint before the trial is restored.
    """
    latest = source.latest_checkpoint_result
    original = latest.checkpoint
    folder = f"{trial.storage.trial_fs_path}/from_{source.trial_id}_{os.path.basename(original.path)}"
    copy = tune.Checkpoint(folder, original.filesystem)
    remove(copy.filesystem, folder)
    copy.filesystem.create_dir(folder)
    pyarrow.fs.copy_files(
        original.path, folder, source_filesystem=original.filesystem, destination_filesystem=copy.filesystem
    )
    # The copy has no value, so it does not become the trial's best checkpoint.
    result = TrainingResult(checkpoint=copy, metrics={**latest.metrics, metric: math.nan})
    trial.run_metadata.checkpoint_manager.register_checkpoint(result)


def take_checkpoints(
    trial: Trial, checkpoints: Sequence[StoredCheckpoint], objective: Objective
) -> list[str]:
    """Register a trial's checkpoints of an earlier run, newest last, so that it can continue from them.

    All other folders of the trial are deleted, such as a checkpoint that a killed process did not complete.
    Returns the names of checkpoints that are missing or damaged. They are not used.
    """
    system, folder = trial.storage.storage_filesystem, trial.storage.trial_fs_path
    damaged = []
    kept = set()
    for each in checkpoints:
        name = os.path.basename(each.path)
        checkpoint = tune.Checkpoint(f"{folder}/{name}", system)  # the results folder may have moved
        if (number := re.fullmatch(r"checkpoint_(\d+)", name)) is not None:
            trial.storage.current_checkpoint_index = max(
                trial.storage.current_checkpoint_index, int(number[1])
            )
        if not is_whole(checkpoint, each.contents):
            damaged.append(name)
            continue
        kept.add(name)
        trial.run_metadata.checkpoint_manager.register_checkpoint(
            TrainingResult(checkpoint=checkpoint, metrics=_result_at(each, objective))
        )
    selector = pyarrow.fs.FileSelector(folder, allow_not_found=True)
    for info in system.get_file_info(selector):
        if info.type is pyarrow.fs.FileType.Directory and info.base_name not in kept:
            remove(system, info.path)
    return damaged


def _result_at(checkpoint: StoredCheckpoint, objective: Objective) -> dict[str, Any]:
    """Return the trial's result at a checkpoint. A copy has no value, since the source reported it."""
    result = checkpoint.result
    values: Sequence[Any] = [math.nan] if checkpoint.is_copy else result.values or [result.value]
    return {
        "training_iteration": result.iteration,
        "time_total_s": result.seconds,
        "metrics": result.metrics,
        **dict(zip(objective.metrics, values, strict=False)),
    }


def is_whole(checkpoint: Any, expected: tuple[int, int] | None) -> bool:
    """Return whether a checkpoint has the expected number of files and of bytes.

    If an old journal has no numbers, the checkpoint must exist, and its files must not all be empty.
    """
    try:
        found = contents(checkpoint)
    except OSError:
        return False
    if expected is not None:
        return found == tuple(expected)
    files, size = found
    return files == 0 or size > 0
