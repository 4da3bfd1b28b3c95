"""Loggers: what receives each result as it arrives. A sweep has none by default.

A logger is a tracker, which a separate process fills from the journal (``tuner.trackers``), or a Ray Tune
callback, which the driver calls.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pydantic import Field

from tuner.code.importing import import_tune
from tuner.errors import Problem, SpecError, said
from tuner.spec import Flag, Spec, describe, kind_and_settings, locate
from tuner.synonyms import tracker

if TYPE_CHECKING:
    from ray.tune import Callback

TRACKERS = {
    "mlflow": "tuner.trackers._mlflow:MlflowSpec",
    "wandb": "tuner.trackers._wandb:WandbSpec",
    "trackio": "tuner.trackers._trackio:TrackioSpec",
    "tensorboard": "tuner.trackers._tensorboard:TensorBoardSpec",
}
"""Short name of a tracker -> class."""

LOGGERS = {
    **TRACKERS,
    "csv": "tuner.trackers._csv:CsvLogger",
    "json": "ray.tune.logger:JsonLoggerCallback",
}
"""Short name of a logger -> class. ``csv`` and ``json`` write below ``logs`` in the results folder."""

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


class Identity(NamedTuple):
    """The sweep that a tracker receives."""

    id: str
    name: str
    folder: Path
    """The results folder."""

    @property
    def series(self) -> str:
        """The name without a final number, which repeated runs of one sweep file share."""
        return re.sub(r"-\d+$", "", self.name)


class TrackerSpec(Spec):
    """The settings of a tracker. Each subclass is one tracker, for one library."""

    kind: ClassVar[str]
    library: ClassVar[str]
    """The module that must be installed."""
    extra: ClassVar[str]
    """The extra of this package that installs it."""

    checkpoint: Flag = Field(
        default=True, description="whether to send the checkpoint of the best trial at the end of the sweep"
    )

    def problems(self) -> list[Problem]:
        """Return what prevents the use of the tracker on this machine. Opens no connection."""
        if find_spec(self.library) is not None:
            return []
        what = f"'{self.kind}' needs {self.library}, which is not installed"
        return [Problem("", f"{what}; pip install 'tuner-ray[{self.extra}]'")]

    def destination(self, identity: Identity) -> str:
        """Return the place that the results go to, which identifies it. Opens no connection."""
        raise NotImplementedError

    def open(self, identity: Identity) -> Any:
        """Connect, and return a ``tuner.trackers.sender.Tracker``. Raises errors of the library."""
        raise NotImplementedError


def trackers() -> dict[str, type[TrackerSpec]]:
    """Return the class of each tracker by its short name. Needs none of their libraries."""
    return {name: locate(name, TRACKERS, what="tracker") for name in TRACKERS}


class LoggerSpec(Spec):
    """A logger and its arguments."""

    kind: str = Field(description="short name or package.module:Class, a ray.tune.Callback")
    settings: dict[str, Any] = Field(default_factory=dict, description="settings of the logger")

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

    def tracker(self) -> TrackerSpec | None:
        """Return the tracker's settings; ``None``: the logger is a Ray Tune callback.

        Raises SpecError when the settings are wrong.
        """
        if self.kind not in TRACKERS:
            return None
        return trackers()[self.kind](**self.settings)

    def check(self) -> type[TrackerSpec] | type[Callback]:
        """Return the logger's class.

        Raises SpecError when there is no such class, its library is missing, or it rejects the settings.
        """
        found = self.tracker()
        if found is None:
            return self._callback()
        if problems := found.problems():
            raise SpecError(problems)
        return type(found)

    def _callback(self) -> type[Callback]:
        """Return the callback's class."""
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
        """Return the callback of a logger that is no tracker. Raises SpecError when it cannot be built."""
        found = self._callback()
        try:
            return found(**self.settings)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            remedy = f"; is it installed? pip install {missing}" if missing else ""
            what = f"cannot build '{self.kind}': {said(error)}{remedy}"
            raise SpecError([Problem("", what)]) from error
