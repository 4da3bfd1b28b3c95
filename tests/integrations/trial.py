"""A trial without Ray, for the tests of callbacks."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuner import client


class Trial:
    """Records the reports of a script. At one of them it writes a checkpoint, and the trial must end."""

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        saves_into: Path | None = None,
        ends_at: int | None = None,
        continues_from: Path | None = None,
        reported: int = 0,
    ) -> None:
        self.reports: list[dict[str, Any]] = []
        self._config = config
        self._saves_into = saves_into
        self._ends_at = ends_at
        self._continues_from = continues_from
        self._reported = reported
        self._must_end = False
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._asks = False

    def about(self) -> Mapping[str, Any]:
        folder = self._continues_from
        checkpoint = None if folder is None else str(folder)
        return {"config": self._config, "checkpoint": checkpoint, "reports": self._reported}

    def report(self, metrics: Mapping[str, Any], checkpoint: client.CheckpointLike, rank: int) -> None:
        self.reports.append(dict(metrics))
        if len(self.reports) == self._ends_at:
            self._must_end = True
            assert checkpoint is not None
            assert self._saves_into is not None
            self._saves_into.mkdir(parents=True)
            if callable(checkpoint):
                checkpoint(str(self._saves_into))
            else:
                shutil.copytree(checkpoint, self._saves_into, dirs_exist_ok=True)
        if self._must_end and not self._asks:
            raise SystemExit(0)

    def folder(self) -> str:
        return self._folder.name

    def should_stop(self) -> bool:
        self._asks = True
        return self._must_end

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make this the trial of ``tuner.client``."""
        client.connect(self)
        try:
            with contextlib.suppress(SystemExit):
                yield
        finally:
            client.disconnect(self)
            self._folder.cleanup()


def interrupted(script: Any, config: Mapping[str, Any], folder: Path, *, at: int) -> list[dict[str, Any]]:
    """Return the reports of a script that ends at a report and continues from its checkpoint."""
    first = Trial(config, saves_into=folder, ends_at=at)
    with first.running():
        script()
    assert len(first.reports) == at
    return first.reports + continued(script, config, folder)


def continued(script: Any, config: Mapping[str, Any], folder: Path | None) -> list[dict[str, Any]]:
    """Return the reports of a script, from a checkpoint if there is one, to its end."""
    trial = Trial(config, continues_from=folder)
    with trial.running():
        script()
    return trial.reports
