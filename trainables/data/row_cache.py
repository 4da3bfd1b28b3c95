"""``RowCache``: the rows that a process has loaded and preprocessed, for all its trials."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any
from weakref import WeakValueDictionary

from trainables.configs import DataSettings, PreprocessingConfig, SplitSettings
from trainables.data import datasets, sources
from trainables.data.datasets import Dataset
from trainables.data.sources import Source


class RowCache:
    """Caches sources by their settings, and data sets by source, division and preprocessing.

    - ``sources``: most sources kept that this process loaded, for the current and a few earlier sweeps.
    - ``datasets``, ``bytes``: most data sets kept beyond those in use, and their largest total size.
    """

    def __init__(self, *, sources: int = 4, datasets: int = 8, bytes: int = 2 * 2**30) -> None:  # noqa: A002
        self._limits = sources, datasets, bytes
        self._adopted: tuple[dict[str, Any], Source] | None = None
        self._loaded: OrderedDict[Hashable, Source] = OrderedDict()
        self._in_use: WeakValueDictionary[Hashable, Dataset] = WeakValueDictionary()
        self._recent: OrderedDict[Hashable, Dataset] = OrderedDict()

    def adopt(self, settings: SplitSettings, source: Source) -> None:
        """Keep rows for these settings that another process has loaded."""
        self._adopted = _about_rows(settings), source

    def adopted(self, settings: SplitSettings) -> Source | None:
        """Return the adopted rows if they belong to these settings, else ``None``."""
        about, source = self._adopted or (None, None)
        return source if about == _about_rows(settings) else None

    def load(self, settings: DataSettings) -> Source:
        """Return ``sources.load(settings)``, or the same object as before if the file is unchanged."""
        key = sources.key(settings)
        if key not in self._loaded:
            self._loaded[key] = sources.load(settings)
        self._loaded.move_to_end(key)
        if len(self._loaded) > self._limits[0]:
            self._loaded.popitem(last=False)
        return self._loaded[key]

    def prepared(
        self, source: Source, settings: SplitSettings, config: PreprocessingConfig, *, sweep_seed: int
    ) -> Dataset:
        """Return ``datasets.prepare(...)``. Equal arguments give the same object while it is cached."""
        key = (id(source), *datasets.key(settings, config, sweep_seed), settings.precision)
        dataset = self._in_use.get(key)
        if dataset is None:
            dataset = datasets.prepare(source, settings, config, sweep_seed=sweep_seed)
            self._in_use[key] = dataset
        self._remember(key, dataset)
        return dataset

    def _remember(self, key: Hashable, dataset: Dataset) -> None:
        _, number, size = self._limits
        self._recent[key] = dataset
        self._recent.move_to_end(key)
        while len(self._recent) > 1 and (
            len(self._recent) > number or sum(map(_size, self._recent.values())) > size
        ):
            self._recent.popitem(last=False)


def _about_rows(settings: SplitSettings) -> dict[str, Any]:
    """Return the settings that determine the rows, without those about their use."""
    return settings.model_dump(exclude=set(SplitSettings.model_fields) - {"task"})


def _size(dataset: Dataset) -> int:
    return int(dataset.training.features.nbytes + dataset.validation.features.nbytes)
