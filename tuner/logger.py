"""Loggers: Ray Tune callbacks that receive each result as it arrives. A sweep has none by default."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tuner.code.importing import import_tune
from tuner.errors import Problem, SpecError, said
from tuner.spec import Spec, describe, kind_and_settings, locate
from tuner.synonyms import tracker

if TYPE_CHECKING:
    from ray.tune import Callback

LOGGERS = {
    "csv": "tuner.trackers._csv:CsvLogger",
    "json": "ray.tune.logger:JsonLoggerCallback",
    "tensorboard": "ray.tune.logger:TBXLoggerCallback",
}
"""Short name -> class. Each logger writes one folder per trial below ``logs`` in the results folder."""

_LIBRARIES = {
    "ray.air.integrations.comet": ("comet_ml", "comet-ml"),
    "ray.air.integrations.mlflow": ("mlflow", "mlflow"),
    "ray.air.integrations.wandb": ("wandb", "wandb"),
    "ray.tune.logger.aim": ("aim", "aim"),
    "ray.tune.logger.tensorboardx": ("tensorboardX", "tensorboardX"),
}
"""Ray module -> the library that its logger needs, and the library's name for pip.

Ray 2.60 imports these modules without the library. It fails only when the logger is built.
"""


class LoggerSpec(Spec):
    """A logger and its arguments."""

    kind: str = Field(description="short name or package.module:Class, a ray.tune.Callback")
    settings: dict[str, Any] = Field(default_factory=dict, description="arguments of the callback")

    @classmethod
    def parse(cls, value: Any) -> LoggerSpec:
        """Build from a sweep's entry: a name, or a mapping with ``kind`` and settings."""
        if isinstance(value, LoggerSpec):
            return value
        if isinstance(value, str):
            return cls(kind=value)
        if not isinstance(value, Mapping):
            raise SpecError([Problem("", f"must be a name or a mapping with 'kind', got {describe(value)}")])
        kind, settings = kind_and_settings(value, what="logger")
        return cls(kind=kind, settings=settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the logger as a sweep file writes it."""
        return {"kind": self.kind, **self.settings}

    def check(self) -> type[Callback]:
        """Return the logger's class.

        Raises SpecError when there is no such class, its library is missing, or it rejects the settings.
        """
        import_tune()
        from ray.tune import Callback

        if self.kind not in LOGGERS and (path := tracker(self.kind)) is not None:
            raise SpecError([Problem("", f"unknown logger '{self.kind}'; write {path}")])
        found = locate(self.kind, LOGGERS, what="logger")
        if not (inspect.isclass(found) and issubclass(found, Callback)):
            raise SpecError([Problem("", f"'{self.kind}' must be a subclass of ray.tune.Callback")])
        try:
            inspect.signature(found).bind(**self.settings)
        except TypeError as error:
            raise SpecError([Problem("", f"'{self.kind}' does not take these settings: {error}")]) from None
        for base in found.__mro__:
            library, package = _LIBRARIES.get(base.__module__, ("", ""))
            if library and find_spec(library) is None:
                what = f"'{self.kind}' needs {package}, which is not installed; pip install {package}"
                raise SpecError([Problem("", what)])
        return found

    def build(self) -> Callback:
        """Return the callback. Raises SpecError when it cannot be built."""
        found = self.check()
        try:
            return found(**self.settings)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            remedy = f"; is it installed? pip install {missing}" if missing else ""
            what = f"cannot build '{self.kind}': {said(error)}{remedy}"
            raise SpecError([Problem("", what)]) from error
