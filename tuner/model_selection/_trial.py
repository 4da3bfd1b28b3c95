"""``SearchTrial``: a candidate of ``TunerSearchCV`` as a trial on Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from ray.tune import Trainable

from tuner.model_selection._evaluation import Evaluation, SearchCandidate

CHECKPOINT_FILE = "candidate.json"

_HELD: dict[str, Evaluation] = {}


@contextmanager
def held(evaluation: Evaluation) -> Iterator[dict[str, str]]:
    """Yield the settings with which trials of this process's sweep find ``evaluation``."""
    name = uuid4().hex[:8]
    _HELD[name] = evaluation
    try:
        yield {"search": name}
    finally:
        del _HELD[name]


class SearchTrial(Trainable):
    """Evaluates one candidate. A checkpoint holds its scores so far, as JSON."""

    evaluation: ClassVar[Evaluation | None] = None

    @classmethod
    def shared(cls, settings: dict[str, Any], *, sweep_seed: int) -> Evaluation:
        """Return the evaluation that the search in this process holds."""
        if settings.get("search") not in _HELD:
            raise ValueError(
                "search: only TunerSearchCV.fit() holds the data of its search, so nothing else can run it"
            )
        return _HELD[settings["search"]]

    @classmethod
    def adopt(cls, settings: dict[str, Any], shared: Evaluation, *, sweep_seed: int) -> None:
        """Keep the evaluation for the trials of this process."""
        cls.evaluation = shared

    def setup(self, config: dict[str, Any]) -> None:
        """Start the candidate with this configuration."""
        assert self.evaluation is not None
        self._candidate = SearchCandidate(self.evaluation, config)

    def step(self) -> dict[str, Any]:
        """Evaluate for one iteration."""
        return self._candidate.step()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the candidate's progress."""
        state = {"iteration": self._candidate.iteration, "values": self._candidate.values}
        Path(checkpoint_dir, CHECKPOINT_FILE).write_text(json.dumps(state), encoding="utf-8")

    def load_checkpoint(self, checkpoint: str) -> None:
        """Continue after the iterations that a checkpoint holds."""
        state = json.loads(Path(checkpoint, CHECKPOINT_FILE).read_text(encoding="utf-8"))
        self._candidate.iteration, self._candidate.values = state["iteration"], state["values"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another candidate in the same process."""
        self._last_result = None  # Ray would store the last candidate's result with a checkpoint
        self.setup(new_config)
        return True
