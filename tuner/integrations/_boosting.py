"""``Boosting``: what the callbacks of the boosting libraries share.

A checkpoint consists of a model and the number of its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from tuner import client

_ROUNDS = "rounds"


class Boosting:
    """Reports the metrics of boosting rounds.

    - ``every``: the number of rounds between two reports. With 1 an iteration of the trial is a round.
    """

    _file: ClassVar[str]
    """The name of the model's file in a checkpoint."""

    def __init__(self, *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self._every = every

    @cached_property
    def rounds(self) -> int:
        """The rounds that the trial has trained before: 0 if it is new."""
        folder = client.checkpoint()
        return 0 if folder is None else int(Path(folder, _ROUNDS).read_text(encoding="ascii"))

    @cached_property
    def model(self) -> str | None:
        """The file with the model to continue from; ``None`` if the trial is new."""
        folder = client.checkpoint()
        return None if folder is None else str(Path(folder, self._file))

    def remaining(self, rounds: int) -> int:
        """Return how many of ``rounds`` are left. Ends the trial, with SystemExit, if none is."""
        if self.rounds >= rounds:
            raise SystemExit(0)
        return rounds - self.rounds

    def _begin(self) -> None:
        """Tell the trial that the library has ended the training."""
        client.should_stop()

    def _report(self, rounds: int, metrics: Mapping[str, float], save: Callable[[str], Any] | None) -> bool:
        """Report the metrics after a number of rounds if they are due. Return whether the trial must end.

        ``save`` writes the model into a file. ``None`` means that the trial cannot be paused.
        """
        if rounds % self._every:
            return False

        def write(folder: str) -> None:
            assert save is not None
            save(str(Path(folder, self._file)))
            Path(folder, _ROUNDS).write_text(str(rounds), encoding="ascii")

        client.report(metrics, step=rounds, checkpoint=None if save is None else write)
        return client.should_stop()
