"""``measure_lanes``: find the number of trials that train fastest at once in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tuner.contract import ExplainsLanes
from tuner.worker.process import crashes_explained, device_is_lost, free_gpu_memory


def measure_lanes(trainable: Any, configs: Sequence[dict[str, Any]], most: int) -> tuple[int, str | None]:
    """Return the number of such trials, and why it is 1 if that is known.

    ``trainable``: a class that trains in lanes. The number is 0 if the measurement made the accelerator
    unusable. Raises TrialError if the measurement fails.
    """
    why = None
    with crashes_explained():
        lanes = int(trainable.best_lanes(configs, most=most))
        if lanes <= 1 and isinstance(trainable, ExplainsLanes):
            why = trainable.why_alone(configs) or "more lanes are not faster"
    if device_is_lost():
        return 0, "the measurement made the accelerator unusable"
    free_gpu_memory()
    return lanes, why
