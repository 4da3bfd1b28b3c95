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
from trainables.data import datasets, sources
from trainables.data.row_cache import RowCache
from trainables.data.sources import Source
from trainables.process_state import ProcessState


class SharedRows:
    """For a trainable whose ``Settings`` name its rows, and whose ``Config`` preprocesses them.

    ``process_state``: what trials of the class share in this process.
    """

    Config: ClassVar[type[PreprocessingConfig]]
    Settings: ClassVar[type[SplitSettings]] = DataSettings
    process_state: ClassVar[ProcessState] = ProcessState()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.process_state = ProcessState()

    @classmethod
    def data(cls, settings: Any) -> Source | tuple[Any, Any]:
        """The rows that ``settings`` (a ``Settings``) describe, or ``(features, target)`` of them.

        ``features``: a data frame, or an array n x ...; ``target``: n numbers, texts or booleans.
        """
        return cls._row_cache().load(settings)

    @classmethod
    def shared(cls, settings: dict[str, Any], *, sweep_seed: int) -> Source:
        """The rows that all trials of a sweep read and none changes: made once and handed to each process."""
        given = parse(cls.Settings, settings, where="trainable")
        source = cls._load(given)
        usual = PreprocessingConfig(
            **{name: cls.Config.model_fields[name].default for name in PreprocessingConfig.model_fields}
        )
        if source.table.missing and usual.missing == "none":
            return source
        return datasets.fit_ahead(source, given, usual, sweep_seed=sweep_seed)

    @classmethod
    def adopt(cls, settings: dict[str, Any], shared: Source, *, sweep_seed: int) -> None:
        """Take what ``shared`` returned for these settings, so that no trial here loads it again.

        The class starts with a new ``ProcessState``, so that nothing of an earlier sweep is left.
        """
        cls.process_state = ProcessState()
        cls._row_cache().adopt(parse(cls.Settings, settings, where="trainable"), shared)

    @classmethod
    def _row_cache(cls) -> RowCache:
        return cls.process_state.part(RowCache)

    @classmethod
    def _source(cls, settings: SplitSettings) -> Source:
        source = cls._row_cache().adopted(settings)
        return cls._load(settings) if source is None else source

    @classmethod
    def _load(cls, settings: SplitSettings) -> Source:
        found = cls.data(settings)
        if isinstance(found, Source):
            return found
        if not isinstance(found, tuple) or len(found) != 2:
            what = type(found).__name__
            raise ValueError(f"data: {cls.__name__}.data must return (features, target), got {what}")
        source = sources.of_arrays(*found, task=settings.task)
        cls._row_cache().adopt(settings, source)
        return source


def further_metrics(settings: SplitSettings, task: Task) -> tuple[MetricName, ...]:
    """The metrics wanted besides the usual one; raises ValueError for one that the task does not have."""
    for name in settings.metrics:
        if name not in METRICS[task]:
            raise ValueError(
                f"metrics: '{name}' is none of {task}; must be one of {', '.join(METRICS[task])}"
            )
    return tuple(dict.fromkeys(name for name in settings.metrics if name not in ("accuracy", "rmse")))
