"""``begun``: initial points and a warm start for a searcher of an open space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.objective import Ending
from tuner.searchers.base import Searcher
from tuner.searchers.earlier import Earlier
from tuner.space import Config, Dimension
from tuner.space.values import written


def begun(
    searcher: Searcher, points: Sequence[Mapping[str, Any]], earlier: Earlier | None, *, learns: bool
) -> Searcher:
    """Return a searcher of an open space that starts with the initial points.

    If it learns, it is told the trials of the earlier sweep first. If not, it continues its sequence after
    them.
    """
    skipped = 0
    if earlier is not None and learns:
        earlier.tell(searcher)
    elif earlier is not None:
        skipped = len(earlier.trials)
    return _PointsFirst(searcher, points, skipped) if points or skipped else searcher


class _PointsFirst(Searcher):
    """Gives the first trials the values of the initial points, for the names that the points have.

    The searcher chooses the other values, and learns from all.
    """

    def __init__(self, searcher: Searcher, points: Sequence[Mapping[str, Any]], skipped: int) -> None:
        self._searcher = searcher
        self._points = points
        self._skipped = skipped

    def suggest(self, trial: int) -> Config | None:
        if trial < len(self._points):
            self._searcher.take(trial + self._skipped, dict(self._points[trial]))
            return {}
        return self._searcher.suggest(trial + self._skipped)

    def ask(self, trial: int, name: str, dimension: Dimension) -> Any:
        point = self._points[trial] if trial < len(self._points) else {}
        if name in point and not dimension.contains(point[name]):
            what = f"'{name}' can never be {written(point[name])}; {dimension.in_words()}"
            raise ValueError(f"searcher.initial_points.{trial}: {what}")
        return self._searcher.ask(trial + self._skipped, name, dimension)

    def report(self, trial: int, iteration: int, value: float) -> None:
        self._searcher.report(trial, iteration, value)

    def finish(self, trial: int, ending: Ending, value: float | None) -> None:
        self._searcher.finish(trial, ending, value)

    def finish_all(self, trial: int, ending: Ending, values: tuple[float, ...] | None) -> None:
        self._searcher.finish_all(trial, ending, values)

    def save(self, folder: Path) -> None:
        self._searcher.save(folder)
