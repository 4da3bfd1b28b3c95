"""``SharedRows``: a sweep's rows, loaded once and shared by the trials of a machine."""

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
    """A mixin for trainables whose ``Settings`` name the rows and whose ``Config`` preprocesses them."""

    Config: ClassVar[type[PreprocessingConfig]]
    Settings: ClassVar[type[SplitSettings]] = DataSettings
    process_state: ClassVar[ProcessState] = ProcessState()
    """State that the class's trials share in this process. Each subclass has its own."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.process_state = ProcessState()

    @classmethod
    def data(cls, settings: Any) -> Source | tuple[Any, Any]:
        """Return the rows that ``settings`` (a ``Settings``) describe, or ``(features, target)``.

        ``features``: a data frame, or an array n x ...; ``target``: n numbers, texts or booleans.
        """
        return cls._row_cache().load(settings)

    @classmethod
    def shared(cls, settings: dict[str, Any], *, sweep_seed: int) -> Source:
        """Load the rows that all trials of a sweep read, and fit the default preprocessing to them."""
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
        """Use ``shared``, the result of ``shared()``, for these settings, so that trials do not load it.

        The class gets a new ``ProcessState``, which drops everything of an earlier sweep.
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
    """Return the metrics beyond the usual one. Raises ValueError for a metric of another task."""
    for name in settings.metrics:
        if name not in METRICS[task]:
            raise ValueError(
                f"metrics: '{name}' is not a metric of {task}; must be one of {', '.join(METRICS[task])}"
            )
    return tuple(dict.fromkeys(name for name in settings.metrics if name not in ("accuracy", "rmse")))
