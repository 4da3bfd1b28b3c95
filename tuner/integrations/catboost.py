"""``TunerCallback`` for CatBoost 1.2. It works on CPUs, where CatBoost has callbacks."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any

from tuner.integrations._boosting import Boosting


class TunerCallback(Boosting):
    """Reports ``validation-RMSE`` and the like: the name of the evaluation set and the metric.

    A checkpoint is CatBoost's snapshot, which holds its random generator too. CatBoost writes it after its
    callbacks, so it lacks the last round. A trial that continues repeats this round without reporting it.
    """

    _file = "tuner.snapshot"

    @cached_property
    def train_dir(self) -> str:
        """The model's argument ``train_dir``: a folder of this trial for CatBoost's files."""
        folder = tempfile.mkdtemp(prefix="tuner-catboost-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        if self.model is not None and Path(self.model).exists():
            shutil.copy(self.model, Path(folder, self._file))
        return folder

    @property
    def snapshots(self) -> dict[str, Any]:
        """Further arguments of ``fit``, which let the training continue from the checkpoint."""
        file = Path(self.train_dir, self._file)
        return {"save_snapshot": True, "snapshot_file": str(file), "snapshot_interval": 0}

    def after_iteration(self, info: Any) -> bool:
        """Report the last values of ``info.metrics``. Return whether the training continues."""
        self._begin()
        if info.iteration <= self.rounds:
            return True
        metrics = {
            f"{name}-{metric}": float(curve[-1])
            for name, values in info.metrics.items()
            for metric, curve in values.items()
        }
        return not self._report(info.iteration, metrics, self._save)

    def _save(self, file: str) -> None:
        snapshot = Path(self.train_dir, self._file)
        if snapshot.exists():  # in the first round it does not exist yet, so the trial would start over
            shutil.copy(snapshot, file)
