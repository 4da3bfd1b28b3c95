"""``Checkpoints``: which checkpoints of a trial are needed, in the place of Ray's manager.

Ray deletes a checkpoint as soon as there is a better one, before our journal knows. Here the controller asks
which ones a new checkpoint has ``freed``, and deletes them when that is written down.
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
from tuner.ray_internals import TrainingResult
from tuner.storage.checkpoints import Folder, Storage, contents, remove


class StoredExperiment(Experiment):
    """An experiment of Ray's whose trials write checkpoints whole or not at all."""

    _storage_context_cls = Storage


@dataclass
class Checkpoints:
    """The newest checkpoint of a trial, to continue from, and the one at its best value, to keep.

    Of several objectives the newest is both.
    """

    objective: Objective
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)
    latest_checkpoint_result: TrainingResult | None = None
    best_checkpoint_result: TrainingResult | None = None
    contents: dict[str, tuple[int, int]] = field(default_factory=dict)  # by path: files and bytes
    freed: list[TrainingResult] = field(default_factory=list)

    def register_checkpoint(self, result: TrainingResult) -> None:
        """Take in a new checkpoint; what it makes superfluous is added to ``freed``."""
        self.measure(result.checkpoint)
        before = {self.latest_checkpoint_result, self.best_checkpoint_result} - {None}
        self.latest_checkpoint_result = result
        best = self.best_checkpoint_result
        if best is None or self._score(result) >= self._score(best):
            self.best_checkpoint_result = result
        needed = (result, self.best_checkpoint_result)
        self.freed += [old for old in before if old is not None and old not in needed]

    def measure(self, checkpoint: Any) -> None:
        """Note how many files and bytes a checkpoint has. Raises OSError if it cannot be read."""
        self.contents[checkpoint.path] = contents(checkpoint)

    def take_freed(self) -> list[Folder]:
        """The folders that are not needed any more, each once."""
        freed, self.freed = self.freed, []
        for result in freed:
            del self.contents[result.checkpoint.path]
        return [(result.checkpoint.filesystem, result.checkpoint.path) for result in freed]

    def is_damaged(self) -> bool:
        """Whether the newest is not there as it was written."""
        latest = self.latest_checkpoint_result
        return latest is not None and not is_whole(latest.checkpoint, self.contents[latest.checkpoint.path])

    def drop_latest(self) -> None:
        """Forget the newest; the trial continues from the best, or from its start."""
        broken, best = self.latest_checkpoint_result, self.best_checkpoint_result
        self.latest_checkpoint_result = self.best_checkpoint_result = None if best is broken else best
        if broken is not None:
            self.freed.append(broken)

    def _score(self, result: TrainingResult) -> float:
        value = None if self.objective.others else result.metrics.get(self.objective.metric)
        return -math.inf if value is None or math.isnan(value) else self.objective.score(value)


def copy_checkpoint(source: Trial, trial: Trial, *, metric: str) -> None:
    """Let a paused trial continue from the last checkpoint of another; it gets a copy of its own.

    The source may be gone, or have deleted that one, before the trial is restored.
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
    # Without a value: it is not the one to keep for the best that the trial itself has reached.
    result = TrainingResult(checkpoint=copy, metrics={**latest.metrics, metric: math.nan})
    trial.run_metadata.checkpoint_manager.register_checkpoint(result)


def take_checkpoints(
    trial: Trial, checkpoints: Sequence[StoredCheckpoint], objective: Objective
) -> list[str]:
    """Let a trial continue from the checkpoints that an earlier run of the sweep left of it, the newest last.

    Everything else in its folder is deleted: what a killed process wrote only in part. The names of those
    that are missing or damaged, and so are not used.
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
            TrainingResult(checkpoint=checkpoint, metrics=_reported(each, objective))
        )
    selector = pyarrow.fs.FileSelector(folder, allow_not_found=True)
    for info in system.get_file_info(selector):
        if info.type is pyarrow.fs.FileType.Directory and info.base_name not in kept:
            remove(system, info.path)
    return damaged


def _reported(checkpoint: StoredCheckpoint, objective: Objective) -> dict[str, Any]:
    """What the trial had reported when its checkpoint was taken; a copy has no value of its own."""
    result = checkpoint.result
    values: Sequence[Any] = [math.nan] if checkpoint.is_copy else result.values or [result.value]
    return {
        "training_iteration": result.iteration,
        "time_total_s": result.seconds,
        "metrics": result.metrics,
        **dict(zip(objective.metrics, values, strict=False)),
    }


def is_whole(checkpoint: Any, expected: tuple[int, int] | None) -> bool:
    """Whether all is there that was written; of journals that do not say how much, whether anything is."""
    try:
        found = contents(checkpoint)
    except OSError:
        return False
    if expected is not None:
        return found == tuple(expected)
    files, size = found
    return files == 0 or size > 0
