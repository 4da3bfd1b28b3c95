"""``ReportReturnValue``: reports what a Hydra app returns. The sweeper ``tuner`` adds it to each job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback

from tuner import client


class ReportReturnValue(Callback):
    """A callback that reports the app's return value at its end, unless the app has reported results itself.

    - ``metrics``: the names of the values. For several, the app returns a sequence or a mapping.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = list(metrics)

    def on_job_end(self, config: Any, job_return: JobReturn, **options: Any) -> None:
        """Report the value. Raises TypeError if there is no result at all."""
        about = client.about()
        if not about or about["reports"] or job_return.status is not JobStatus.COMPLETED:
            return
        value = job_return.return_value
        if isinstance(value, dict):
            client.report(value)
            return
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if value is None or len(values) != len(self._metrics):
            wanted = ", ".join(self._metrics)
            raise TypeError(f"the app must return {wanted} or call tuner.client.report, got {value!r}")
        client.report(dict(zip(self._metrics, values, strict=True)))
