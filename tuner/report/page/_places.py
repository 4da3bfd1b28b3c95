"""The axes of the searched hyperparameters, and the place of a configuration's values on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json import dumps
from typing import Any

from tuner.report._hyperparameters import bounds, choices, layers
from tuner.report.page.data import DimensionData

Place = Callable[[Mapping[str, Any]], float | None]
"""Maps a configuration to a place on one axis; ``None``: it has none there."""


def axis_of(name: str, entry: Mapping[str, Any]) -> tuple[DimensionData, Place]:
    """Return the axis of a dimension as the sweep writes it, and the places on it."""
    if (span := bounds(entry)) is not None:
        return _number(name, entry, *span)
    if (values := choices(entry)) is not None:
        return _values(name, values)
    fewest, most = layers(entry) or (1, 1)
    return DimensionData(name, "layers", fewest, most, is_whole=True), _number_of_layers(name)


def plain(value: Any) -> Any:
    """Return a value of a configuration as JSON has it: a tuple becomes a list."""
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return value


def _number(name: str, entry: Mapping[str, Any], low: float, high: float) -> tuple[DimensionData, Place]:
    is_log = bool(entry.get("log")) and 0 < low < high

    def place(config: Mapping[str, Any]) -> float | None:
        value = config.get(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            return None
        return value

    return DimensionData(name, "number", low, high, is_log, is_whole="int" in entry), place


def _values(name: str, values: list[Any]) -> tuple[DimensionData, Place]:
    positions = {dumps(plain(value)): float(position) for position, value in enumerate(values)}

    def place(config: Mapping[str, Any]) -> float | None:
        return positions.get(dumps(plain(config[name]))) if name in config else None

    known = tuple(plain(value) for value in values)
    return DimensionData(name, "values", 0.0, max(len(values) - 1.0, 0.0), values=known), place


def _number_of_layers(name: str) -> Place:
    def place(config: Mapping[str, Any]) -> float | None:
        text = config.get(name)
        return text.count(";") + 1.0 if isinstance(text, str) else None

    return place
