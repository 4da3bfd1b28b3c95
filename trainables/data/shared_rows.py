"""``SharedRows``: the rows of a sweep, loaded once and shared by the trials of a machine."""

from __future__ import annotations

from typing import Any, ClassVar

from trainables.configs import (
    METRICS,
    DataSettings,
    MetricName,
    PreprocessingConfig,
    SplitSettings,
    Task,
    parse,
)
from trainables.data import datasets as data
from trainables.data import sources
from trainables.data.sources import Source

_ADOPTED: dict[type, tuple[dict[str, Any], Source]] = {}
"""By class, the rows that this process was handed, or has from the class itself, and the settings of both."""


class SharedRows:
    """For a trainable whose ``Settings`` name its rows, and whose ``Config`` preprocesses them."""

    Config: ClassVar[type[PreprocessingConfig]]
    Settings: ClassVar[type[SplitSettings]] = DataSettings

    @classmethod
    def data(cls, settings: Any) -> Source | tuple[Any, Any]:
        """The rows that ``settings`` (a ``Settings``) describe, or ``(features, target)`` of them.

        ``features``: a data frame, or an array n x ...; ``target``: n numbers, texts or booleans.
        """
        return sources.load(settings)

    @classmethod
    def shared(cls, settings: dict[str, Any], *, sweep_seed: int) -> Source:
        """What all trials of a sweep read and none changes: made once, and handed to each process."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._load(given)
        usual = PreprocessingConfig(
            **{name: cls.Config.model_fields[name].default for name in PreprocessingConfig.model_fields}
        )
        if source.table.missing and usual.missing == "none":
            return source
        return data.fit_ahead(source, given, usual, sweep_seed=sweep_seed)

    @classmethod
    def adopt(cls, settings: dict[str, Any], shared: Source, *, sweep_seed: int) -> None:
        """Take what ``shared`` returned for these settings, so that no trial here loads it again."""
        _ADOPTED[cls] = _about_rows(parse(cls.Settings, settings, where="trainable")), shared

    @classmethod
    def _source(cls, settings: SplitSettings) -> Source:
        about, source = _ADOPTED.get(cls, (None, None))
        return source if source is not None and about == _about_rows(settings) else cls._load(settings)

    @classmethod
    def _load(cls, settings: SplitSettings) -> Source:
        found = cls.data(settings)
        if isinstance(found, Source):
            return found
        if not isinstance(found, tuple) or len(found) != 2:
            what = type(found).__name__
            raise ValueError(f"data: {cls.__name__}.data must return (features, target), got {what}")
        source = sources.of_arrays(*found, task=settings.task)
        _ADOPTED[cls] = _about_rows(settings), source
        return source


def _about_rows(settings: SplitSettings) -> dict[str, Any]:
    """The settings on which the rows depend, not what is done with them."""
    return settings.model_dump(exclude=set(SplitSettings.model_fields) - {"task"})


def further_metrics(settings: SplitSettings, task: Task) -> tuple[MetricName, ...]:
    """The metrics wanted beside the usual one; raises ValueError for one that the task does not have."""
    for name in settings.metrics:
        if name not in METRICS[task]:
            raise ValueError(
                f"metrics: '{name}' is none of {task}; must be one of {', '.join(METRICS[task])}"
            )
    return tuple(dict.fromkeys(name for name in settings.metrics if name not in ("accuracy", "rmse")))
