"""``ProcessState``: what the trials of one trainable share in one process.

Each class of trainables holds one, and passes its parts on to what it calls: ``data.row_cache.RowCache``,
``torch.devices.Devices`` and ``stacking.record.StackingRecord``. No module of this package holds anything
that changes while trials run.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

Kind = TypeVar("Kind")


class ProcessState:
    """Parts by their class, each made when it is first asked for."""

    def __init__(self) -> None:
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[Kind]) -> Kind:
        """The only ``kind`` of this process and trainable."""
        if kind not in self._parts:
            self._parts[kind] = kind()
        return cast(Kind, self._parts[kind])

    def __reduce__(self) -> tuple[type[ProcessState], tuple[()]]:
        # A class that is pickled by value must not carry rows to another process.
        return ProcessState, ()
