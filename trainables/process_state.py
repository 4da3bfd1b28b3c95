"""``ProcessState``: state that the trials of one trainable share within a process.

Each trainable class owns one and passes its parts to the code that needs them: ``data.row_cache.RowCache``,
``torch.devices.Devices`` and ``stacking.record.StackingRecord``. Modules of this package have no other state
that changes while trials run.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

Kind = TypeVar("Kind")


class ProcessState:
    """Holds one part per class, and creates it at the first request."""

    def __init__(self) -> None:
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[Kind]) -> Kind:
        """Return the only ``kind`` of this process and trainable."""
        if kind not in self._parts:
            self._parts[kind] = kind()
        return cast(Kind, self._parts[kind])

    def __reduce__(self) -> tuple[type[ProcessState], tuple[()]]:
        # A class pickled by value must not carry rows to another process.
        return ProcessState, ()
