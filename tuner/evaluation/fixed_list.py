"""``FixedList``: a searcher that suggests given configurations in order."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from tuner.objective import Objective
from tuner.searchers.base import Searcher, SearcherSpec
from tuner.space import Config, SearchSpace


class FixedList(SearcherSpec):
    """Suggest ``configs`` in their order. They may contain names that the space lacks."""

    configs: tuple[dict[str, Any], ...] = Field(min_length=1)

    conditions: ClassVar[bool] = True
    opaque: ClassVar[bool] = True
    exhaustive: ClassVar[bool] = True

    def size(self, space: SearchSpace) -> int:
        return len(self.configs)

    def build(self, space: SearchSpace, *, objective: Objective, seed: int) -> Searcher:
        return _FixedListSearcher(self.configs)


class _FixedListSearcher(Searcher):
    def __init__(self, configs: tuple[dict[str, Any], ...]) -> None:
        self._configs = configs

    def suggest(self, trial: int) -> Config | None:
        return dict(self._configs[trial]) if trial < len(self._configs) else None
