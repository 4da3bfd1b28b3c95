"""Loggers: Ray Tune callbacks that get each result as it comes, beside the journal. None by default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tuner.errors import Problem, SpecError
from tuner.spec import Spec, describe, kind_and_settings, locate

if TYPE_CHECKING:
    from ray.tune import Callback

LOGGERS = {
    "csv": "ray.tune.logger:CSVLoggerCallback",
    "json": "ray.tune.logger:JsonLoggerCallback",
    "tensorboard": "ray.tune.logger:TBXLoggerCallback",
}
"""Short name -> Ray's class; they write a folder per trial below ``logs`` in the results folder."""


class LoggerSpec(Spec):
    """A logger by short name or ``package.module:Class`` (a ``ray.tune.Callback``), and its arguments."""

    kind: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, value: Any) -> LoggerSpec:
        """From what a sweep holds: a name, or a mapping with ``kind`` and settings."""
        if isinstance(value, LoggerSpec):
            return value
        if isinstance(value, str):
            return cls(kind=value)
        if not isinstance(value, Mapping):
            raise SpecError([Problem("", f"must be a name or a mapping with 'kind', got {describe(value)}")])
        kind, settings = kind_and_settings(value, what="logger")
        return cls(kind=kind, settings=settings)

    def to_dict(self) -> dict[str, Any]:
        """As a sweep file writes it."""
        return {"kind": self.kind, **self.settings}

    def check(self) -> type[Callback]:
        """The class. Raises SpecError when it is none, or does not take these settings."""
        from ray.tune import Callback

        found = locate(self.kind, LOGGERS, what="logger")
        if not (inspect.isclass(found) and issubclass(found, Callback)):
            raise SpecError([Problem("", f"'{self.kind}' must be a subclass of ray.tune.Callback")])
        try:
            inspect.signature(found).bind(**self.settings)
        except TypeError as error:
            raise SpecError([Problem("", f"'{self.kind}' does not take these settings: {error}")]) from None
        return found

    def build(self) -> Callback:
        """The callback itself."""
        return self.check()(**self.settings)
